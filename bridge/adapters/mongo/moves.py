"""The rules of `domain.lifecycle` as filters and updates of a compare-and-set. Pure, and independent of the events.

A move becomes one write for each state it may lead to; the rules' guards are disjoint, so at most one of them matches.
Each write leaves its token in the document and doesn't match a document with it: a write sent twice happens once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from bridge.documents.payload import PAYLOAD
from bridge.documents.raw import Raw
from bridge.documents.task_codec import to_attempt, to_fields
from bridge.domain.lifecycle import (
    HISTORY_LIMIT,
    LEASES,
    TABLE,
    Event,
    Move,
    Origin,
    Rule,
    clears_history,
    counts,
    sets,
)
from bridge.domain.task import FINAL, Completion, State

TOKENS: Final = 8
"""How many of the latest writes a document names; between a write and its read-back there are fewer others."""

_EXPIRES: Final = FINAL | {State.SUPERSEDED}
"""What is kept no longer than finished tasks are: of a task that another worker took, the end is not reported."""

Write = tuple[Raw, Raw]


def alike(moves: Sequence[Move]) -> list[list[Move]]:
    """Return the moves in groups, each of which is one write: they differ in the task's id alone.

    One that brings values of a task's own is alone: `True` and `1` are the same to Python, and not to the engine.
    """
    groups: list[list[Move]] = []
    latest: dict[tuple[Event, int | None, str | None, str | None], list[Move]] = {}
    for move in moves:
        key = (move.event, move.epoch, move.claim_id, move.topic)
        group = latest.get(key)
        if group is not None and _is_alike(group[0], move):
            group.append(move)
            continue
        fresh = [move]
        groups.append(fresh)
        if not any(_brings_values(move.changes.get(name)) for name in PAYLOAD):
            latest[key] = fresh
    return groups


def _is_alike(one: Move, other: Move) -> bool:
    return (
        one.due_by == other.due_by
        and one.origin == other.origin
        and one.attempt == other.attempt
        and one.changes == other.changes
    )


def _brings_values(field: object) -> bool:
    return bool(field.variables if type(field) is Completion else field)


def writes_of(moves: Sequence[Move], token: int, retention: timedelta | None) -> list[Write]:
    """Return the filter and the update of each write that makes moves which are `alike`, each of another task.

    None where moves as they are can't happen to any task.
    """
    move = moves[0]
    ids: Raw = {"$eq": move.task_id} if len(moves) == 1 else {"$in": [each.task_id for each in moves]}
    guards: dict[State | None, list[Raw]] = {}
    for rule in TABLE[move.event]:
        if rule.claimed == (move.claim_id is not None):
            guards.setdefault(rule.to, []).append(_guard(rule, move))
    return [(_filter(ids, move, found, token), _update(move, to, token, retention)) for to, found in guards.items()]


def _guard(rule: Rule, move: Move) -> Raw:
    guard: Raw = {"state": {"$in": _SOURCES[rule]}}
    if rule.claimed:
        guard["claim_id"] = {"$eq": move.claim_id}
    if rule.outcome is not None:
        guard["outcome"] = {"$ne": None} if rule.outcome else {"$eq": None}
    if rule.same is not None:
        # Without an origin nothing is the same, nor another: an id is never one of none.
        guard |= {"_id": {"$in": []}} if move.origin is None else _of_origin(move.origin, rule.same)
    return guard


def _of_origin(origin: Origin, same: bool) -> Raw:
    """Return `Origin.is_of` as a filter."""
    known, instances = origin.process_instance_id is not None, [None, origin.process_instance_id]
    if same:
        return {"topic": {"$eq": origin.topic}} | ({"process_instance_id": {"$in": instances}} if known else {})
    other: Raw = {"topic": {"$ne": origin.topic}}
    return {"$or": [other, {"process_instance_id": {"$nin": instances}}]} if known else other


def _filter(ids: Raw, move: Move, guards: list[Raw], token: int) -> Raw:
    wanted: Raw = {"_id": ids, "tokens": {"$ne": token}}
    if move.epoch is not None:
        wanted["epoch"] = {"$eq": move.epoch}
    if move.topic is not None:
        wanted["topic"] = {"$eq": move.topic}
    if move.due_by is not None:
        wanted["next_at"] = {"$ne": None, "$lte": move.due_by}
    return {**wanted, **guards[0]} if len(guards) == 1 else {**wanted, "$or": guards}


def _changes(move: Move, to: State | None) -> Raw:
    """Return the update without a token; as in `lifecycle.apply`, what the mover sets goes before what is counted."""
    wanted: Raw = {"$set": {**sets(move.event), **to_fields(move.changes)}}
    if to is not None:
        wanted["$set"]["state"] = to.value
    if clears_history(move.event):
        wanted["$set"]["history"] = []
    counters = {name: by for name, by in counts(move.event).items() if name not in move.changes}
    if counters:
        wanted["$inc"] = counters
    return {operator: values for operator, values in wanted.items() if values}


def _update(move: Move, to: State | None, token: int, retention: timedelta | None) -> Raw:
    update = _changes(move, to)
    pushed: Raw = {"tokens": {"$each": [token], "$slice": -TOKENS}}
    if move.attempt is not None:
        pushed["history"] = {"$each": [to_attempt(move.attempt)], "$slice": -HISTORY_LIMIT}
    ended = move.changes.get("finished_at") or move.changes.get("updated_at")
    if to in _EXPIRES and retention is not None and ended is not None:
        update.setdefault("$set", {})["expire_at"] = ended + retention
    elif move.event in LEASES:
        update.setdefault("$set", {})["expire_at"] = None
    return {**update, "$push": pushed}


_SOURCES: Final[Mapping[Rule, list[str]]] = {
    rule: sorted(state.value for state in rule.sources) for rules in TABLE.values() for rule in rules
}
