"""Tells from a command and the declared indexes how MongoDB can answer it: by equality, then sort, then range.

The server of the tests has no indexes to speak of and no query planner, so this is judged by the rules of MongoDB's:
an index is used by a prefix of its keys; keys that are compared for equality (also by `$in`, which is merged in order)
come first, then those sorted by, in one direction or all reversed, then one that is compared by range. A partial index
serves only who asks for what is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from beanie import Document
from pymongo import IndexModel, monitoring


class Cover(IntEnum):
    """How well a command is served, the best first."""

    COVERED = 0
    """An index has exactly what is asked for, in order."""
    MERGED = 1
    """Each part of an alternative has an index; what they find, which is little, is sorted in memory."""
    SELECTIVE = 2
    """An index of something that few tasks share finds them; they are sorted in memory."""
    ANCHORED = 3
    """An index gives the order and a bound; the rest is looked at task by task, until the limit or the time limit."""
    NONE = 4


@dataclass(frozen=True, slots=True)
class Index:
    """A declared index: its keys with their directions, and the field that its documents must have, if it's partial."""

    keys: tuple[tuple[str, int], ...]
    partial: str | None


SELECTIVE = frozenset({"_id", "business_key", "process_instance_id"})
_IGNORED = frozenset(
    {"hello", "isMaster", "ismaster", "ping", "endSessions", "getMore", "killCursors", "insert", "createIndexes"}
    | {"saslStart", "saslContinue", "authenticate", "getnonce", "logout"}
    | {"listIndexes", "listCollections", "create", "buildInfo", "dropDatabase"}
)


class Commands(monitoring.CommandListener):
    """Remembers the commands that a client sends."""

    def __init__(self) -> None:
        self.sent: list[Mapping[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name not in _IGNORED:
            self.sent.append(event.command)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Ask nothing: what was sent is all that matters."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Ask nothing: what was sent is all that matters."""


def declared(models: Iterable[type[Document]]) -> dict[str, list[Index]]:
    """Return the indexes of the models, by collection."""
    found: dict[str, list[Index]] = {}
    for model in models:
        settings = model.Settings
        indexes = found.setdefault(settings.name, [Index((("_id", 1),), None)])
        indexes += [_read(index) for index in getattr(settings, "indexes", ())]
    return found


def _read(index: IndexModel) -> Index:
    document = index.document
    partial = document.get("partialFilterExpression")
    keys = tuple((name, int(way)) for name, way in document["key"].items())
    needs = next(iter(partial)) if partial else (keys[0][0] if document.get("sparse") else None)
    return Index(keys, needs)


def unbounded(command: Mapping[str, Any]) -> str | None:
    """Return what bound a reading command lacks."""
    if "find" in command:
        lacks = [name for name in ("limit", "maxTimeMS") if not command.get(name)]
    elif "aggregate" in command:
        stages = {name for stage in command["pipeline"] for name in stage}
        lacks = ["$limit"] * ("$limit" not in stages) + ["maxTimeMS"] * (not command.get("maxTimeMS"))
    elif "findAndModify" in command:
        lacks = [] if command.get("maxTimeMS") else ["maxTimeMS"]
    else:
        lacks = []
    return " and ".join(lacks) or None


def cover(command: Mapping[str, Any], indexes: Mapping[str, Sequence[Index]]) -> Cover:
    """Return how well the command is served."""
    filters, sort = _question(command)
    collection = str(next(iter(command.values())))
    return max(
        (min((_serves(index, each, sort) for index in indexes[collection]), default=Cover.NONE) for each in filters),
        default=Cover.NONE,
    )


def _question(command: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], list[tuple[str, int]]]:
    match command:
        case {"find": _}:
            return [command["filter"]], list(command.get("sort", {}).items())
        case {"aggregate": _}:
            return [command["pipeline"][0]["$match"]], []
        case {"findAndModify": _}:
            return [command["query"]], list(command.get("sort", {}).items())
        case {"update": _}:
            return [update["q"] for update in command["updates"]], []
        case {"delete": _}:
            return [delete["q"] for delete in command["deletes"]], []
    raise AssertionError(f"a command of an unknown kind: {command}")


@dataclass(frozen=True, slots=True)
class _Wanted:
    equal: frozenset[str]
    ranged: frozenset[str]
    others: int
    alternatives: tuple[Mapping[str, Any], ...] | None


def _wanted(wanted: Mapping[str, Any]) -> _Wanted:
    equal: set[str] = set()
    ranged: set[str] = set()
    others = 0
    alternatives = None
    for clause in _flat(wanted):
        ((name, test),) = clause.items()
        if name == "$or":
            alternatives = tuple(test)
        elif name.startswith("$") or not isinstance(test, Mapping):
            others += 1
        elif test.keys() <= {"$eq", "$in"}:
            assert len(test.get("$in", ())) <= 200 or name == "_id"
            equal.add(name)
        elif test.keys() <= {"$gt", "$gte", "$lt", "$lte"}:
            ranged.add(name)
        else:
            others += 1
    return _Wanted(frozenset(equal), frozenset(ranged - equal), others, alternatives)


def _flat(wanted: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    for name, test in wanted.items():
        if name == "$and":
            for part in test:
                yield from _flat(part)
        else:
            yield {name: test}


def _serves(index: Index, wanted: Mapping[str, Any], sort: Sequence[tuple[str, int]]) -> Cover:
    asked = _wanted(wanted)
    if index.partial is not None and index.partial not in asked.equal | asked.ranged:
        return Cover.NONE
    place = 0
    while place < len(index.keys) and index.keys[place][0] in asked.equal:
        place += 1
    prefix = frozenset(name for name, _ in index.keys[:place])
    rest = [(name, way) for name, way in sort if name not in prefix]
    following = index.keys[place : place + len(rest)]
    ordered = following in {tuple(rest), tuple((name, -way) for name, way in rest)}
    tail = {name for name, _ in index.keys[place : place + 1]}
    narrowed = bool(prefix) or bool(tail & asked.ranged)
    complete = asked.equal <= prefix and asked.ranged <= tail | prefix
    exact = complete and not asked.others and not asked.alternatives
    if (exact or index.keys[0][0] in prefix & {"_id"}) and ordered:
        return Cover.COVERED
    if prefix & SELECTIVE:
        return Cover.COVERED if "_id" in prefix else Cover.SELECTIVE
    return Cover.ANCHORED if ordered and (narrowed or rest) else Cover.NONE


def merged(command: Mapping[str, Any], indexes: Mapping[str, Sequence[Index]]) -> bool:
    """Tell whether the command's alternatives have an index each."""
    filters, _ = _question(command)
    found = _wanted(filters[0]).alternatives
    collection = str(next(iter(command.values())))
    return found is not None and all(
        any(_serves(index, each, ()) is Cover.COVERED for index in indexes[collection]) for each in found
    )
