"""The grammar of searches and its cursors take any text."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any, Final

import bson
from hypothesis import strategies as st

from bridge.adapters.mongo.search_filter import clauses_of, joined
from bridge.domain.task import ID_LIMIT, Task
from bridge.ports.reader import TaskFilter
from bridge.search.grammar import parse, to_text
from bridge.search.match import matches
from bridge.search.page import Position, PositionError, Sort, SortKey
from bridge.search.page import read_cursor as read_position
from bridge.search.page import write_cursor as write_position
from bridge.search.query import EVERYTHING, Field, QueryError
from tests.fuzz import strangers
from tests.fuzz.examples import fuzzed
from web.api.pagination import CursorError, read_cursor, write_cursor

NOW: Final = datetime(2026, 1, 31, 8, tzinfo=UTC)
TASK: Final = Task("t", "charge_card", "w", NOW, NOW, NOW, 3)
ALL: Final = TaskFilter()

_pieces: Final = st.sampled_from(
    [*(f"{field}:" for field in Field), "var.", 'var."', "OR", "AND", "-", "(", ")", '"', "\\", ",", ":", "<", "<=",
     ">", ">=", " ", "failed", "5m", "9999999d", "2026-01-31", "9999-12-31", "0001-01-01T00:00:00+14:00", "-5", "0"]
)  # fmt: skip
queries: Final = st.lists(_pieces | strangers.texts, max_size=12).map("".join)
sorts: Final = st.builds(Sort, st.sampled_from(SortKey), st.booleans())


def cursors(valid: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return cursors that nobody wrote: other JSON in the same coat, one sign changed, or no cursor at all."""
    coated = strangers.values.map(
        lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().strip("=")
    )
    likely = st.tuples(strangers.scalars, strangers.scalars, st.text(max_size=16)).map(
        lambda row: base64.urlsafe_b64encode(json.dumps(row).encode()).decode()
    )

    def spoiled(drawn: tuple[str, int, str]) -> str:
        text, place, sign = drawn
        at = place % len(text)
        return text[:at] + sign + text[at + 1 :]

    return st.one_of(
        coated, likely, strangers.texts, st.tuples(valid, st.integers(0, 500), st.text(max_size=2)).map(spoiled)
    )


@fuzzed(queries)
def test_a_query_is_refused_or_means_the_same_when_written_again(text: str) -> None:
    try:
        query = parse(text)
    except QueryError as error:
        assert 0 <= error.position <= error.end
        return
    assert parse(to_text(query)) == query
    matches(query, TASK, NOW)
    bson.encode(joined(clauses_of(query, NOW)))


@fuzzed(sorts, strangers.moments, st.integers(-(2**63) + 1, 2**63 - 1), st.text(min_size=1, max_size=ID_LIMIT))
def test_a_position_is_read_as_it_was_written(sort: Sort, moment: datetime, number: int, task_id: str) -> None:
    by_moment = sort.key in {SortKey.UPDATED, SortKey.CREATED, SortKey.FINISHED}
    position = Position(moment if by_moment else number, task_id)
    assert read_position(write_position(EVERYTHING, sort, position), EVERYTHING, sort) == position


@fuzzed(sorts, cursors(st.just(write_position(EVERYTHING, Sort(), Position(NOW, "t")))))
def test_a_foreign_position_is_refused(sort: Sort, cursor: str) -> None:
    try:
        position = read_position(cursor, EVERYTHING, sort)
    except PositionError:
        return
    bson.encode({"value": position.value, "id": position.task_id})


@fuzzed(strangers.moments, st.text(min_size=1, max_size=ID_LIMIT))
def test_a_cursor_of_the_listing_is_read_as_it_was_written(moment: datetime, task_id: str) -> None:
    assert read_cursor(write_cursor(ALL, (moment, task_id)), ALL) == (moment, task_id)


@fuzzed(cursors(st.just(write_cursor(ALL, (NOW, "t")))))
def test_a_foreign_cursor_of_the_listing_is_refused(cursor: str) -> None:
    try:
        position: Any = read_cursor(cursor, ALL)
    except CursorError:
        return
    bson.encode({"position": list(position)})
