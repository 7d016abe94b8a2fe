"""The URL of the list of tasks, read to a typed query, an order and a page; and written again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Final

from bridge.domain.task import UNREADABLE, State
from bridge.search.grammar import parse, to_text
from bridge.search.moments import read_stored_instant
from bridge.search.page import Sort
from bridge.search.query import (
    EVERYTHING,
    Compare,
    Field,
    Node,
    Operator,
    QueryError,
    all_of,
    among,
    conditions,
)
from web.i18n.texts import msg

LIMITS: Final = (25, 50, 100, 200)
LIMIT: Final = 50
NEWEST: Final = Sort()
SPANS: Final[Mapping[str, timedelta]] = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
FIELDS: Final = ("q", "state", "topic", "error", "process", "since", "until", "sort", "limit", "columns")
"""What a listing keeps of a URL, apart from the page that it is at."""
FILTERS: Final[Mapping[str, str]] = {
    "state": msg("State"),
    "topic": msg("Topic"),
    "error": msg("Error"),
    "process": msg("Process"),
    "since": msg("Updated since"),
    "until": msg("Updated before"),
}
DEFAULT_COLUMNS: Final = ("state", "task", "topic", "key", "error", "attempts", "updated")
COLUMNS: Final[Mapping[str, str]] = {
    "state": msg("State"),
    "task": msg("Task"),
    "topic": msg("Topic"),
    "key": msg("Business key"),
    "process": msg("Process"),
    "activity": msg("Activity"),
    "instance": msg("Process instance"),
    "tenant": msg("Tenant"),
    "error": msg("Error"),
    "attempts": msg("Attempts"),
    "retries": msg("Retries left"),
    "priority": msg("Priority"),
    "replica": msg("Replica"),
    "worker": msg("Worker"),
    "created": msg("Created"),
    "updated": msg("Updated"),
    "finished": msg("Finished"),
}
SORTED: Final = ("attempts", "priority", "created", "updated", "finished")

_LONGEST: Final = 2000
_SHOWN: Final = 100
"""How many characters are shown of a query that is too long."""
_WORDS: Final[Mapping[str, Field]] = {"topic": Field.TOPIC, "error": Field.ERROR, "process": Field.PROCESS}


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that can be taken away: `changes` are the fields of the URL as they are without it."""

    name: str
    value: str
    changes: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Listing:
    """The list that a URL asks for. `query` leaves the state out, so that each tab can have its own count."""

    fields: Mapping[str, str]
    typed: Node = EVERYTHING
    query: Node = EVERYTHING
    state: str | None = None
    sort: Sort = NEWEST
    limit: int = LIMIT
    after: str | None = None
    columns: tuple[str, ...] = DEFAULT_COLUMNS
    moments: Mapping[str, datetime] = field(default_factory=dict)
    error: QueryError | None = None
    wrong: tuple[str, ...] = ()

    @property
    def whole(self) -> Node:
        """The query with the state in it."""
        return self.query if self.state is None else all_of([among(Field.STATE, [self.state]), self.query])

    @property
    def filtered(self) -> bool:
        """Whether anything narrows the list."""
        return any(name in self.fields for name in ("q", *FILTERS))

    @property
    def text(self) -> str:
        """The whole filter in the query language, for bulk operations and the audit."""
        return to_text(self.whole)

    @property
    def fixed(self) -> Mapping[str, str]:
        """The fields whose meaning passes with time, as moments: what pages behind the first one are asked with."""
        return {name: moment.isoformat() for name, moment in self.moments.items()}

    def chips(self) -> tuple[Chip, ...]:
        """Return every filter but the state, which has its tabs, and the terms of the query one by one."""
        found = [Chip(FILTERS[n], self.fields[n], {n: None}) for n in FILTERS if n != "state" and n in self.fields]
        terms = conditions(self.typed)
        for place, term in enumerate(terms):
            if term == EVERYTHING:
                continue
            rest = [other for at, other in enumerate(terms) if at != place]
            found.append(Chip(msg("Query"), to_text(term), {"q": to_text(all_of(rest)) if rest else None}))
        return tuple(found)


def read_listing(
    given: Mapping[str, str],
    zone: tzinfo,
    now: datetime,
    *,
    topics: frozenset[str] | None = None,
    columns: tuple[str, ...] = DEFAULT_COLUMNS,
) -> Listing:
    """Return the listing of a URL. `topics` are those that the reader may see (None: all), `columns` their choice.

    Faults are named in `wrong`, or in `error` for the query box; the list is then empty.
    """
    fields = {name: given[name][: _LONGEST + 1] for name in FIELDS if given.get(name)}
    wrong: list[str] = []
    typed, error = _typed(fields.get("q", ""))
    if len(fields.get("q", "")) > _LONGEST:  # every link of the page has the query in it
        fields["q"] = f"{fields['q'][:_SHOWN]}…"
    terms: list[Node] = [typed] if typed != EVERYTHING else []
    terms += [among(at, [fields[name]]) for name, at in _WORDS.items() if name in fields]
    moments = _moments(fields, zone, now, wrong)
    terms += [Compare(Field.UPDATED, _BOUNDS[name], moment) for name, moment in moments.items()]
    if topics is not None:
        terms.append(among(Field.TOPIC, sorted(topics)))
    state = fields["state"] if fields.get("state") in {*State, UNREADABLE} else None
    if "state" in fields and state is None:
        wrong.append("state")
    limit = int(fields["limit"]) if fields.get("limit") in {str(each) for each in LIMITS} else LIMIT
    return Listing(
        fields=fields,
        typed=typed,
        query=all_of(terms) if terms else EVERYTHING,
        state=state,
        sort=_sort(fields.get("sort"), wrong),
        limit=limit,
        after=given.get("after") or None,
        columns=chosen_columns(fields.get("columns", "")) or columns,
        moments=moments,
        error=error,
        wrong=tuple(wrong),
    )


def chosen_columns(text: str) -> tuple[str, ...]:
    """Return the columns that a text names, in the order in which they always stand; none where it names none."""
    named = set(text.split(","))
    return tuple(name for name in COLUMNS if name in named)


_BOUNDS: Final[Mapping[str, Operator]] = {"since": Operator.AT_LEAST, "until": Operator.LESS}


def _typed(text: str) -> tuple[Node, QueryError | None]:
    try:
        return parse(text), None
    except QueryError as error:
        return EVERYTHING, error


def _moments(fields: Mapping[str, str], zone: tzinfo, now: datetime, wrong: list[str]) -> dict[str, datetime]:
    found = {}
    for name in _BOUNDS:
        text = fields.get(name)
        if text is None:
            continue
        span = SPANS.get(text)
        moment = read_stored_instant(text, zone) if span is None else (now - span).replace(second=0, microsecond=0)
        if moment is None:
            wrong.append(name)
        else:
            found[name] = moment
    return found


def _sort(text: str | None, wrong: list[str]) -> Sort:
    try:
        return NEWEST if text is None else Sort.read(text)
    except ValueError:
        wrong.append("sort")
        return NEWEST
