"""The keyset cursor: it comes back as it went, and nothing forged gets through."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.task import Source, State
from bridge.ports.reader import TaskFilter
from web.api.pagination import CursorError, _digest, read_cursor, write_cursor

AFTER = (datetime(2026, 1, 31, 8, 0, 0, 123000, tzinfo=UTC), "t1")
WANTED = TaskFilter(states=(State.FAILED, State.QUEUED), topics=("a", "b"))


def _pack(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_it_comes_back_as_it_went() -> None:
    assert read_cursor(write_cursor(WANTED, AFTER), WANTED) == AFTER


def test_the_order_of_choices_does_not_matter() -> None:
    turned = TaskFilter(states=(State.QUEUED, State.FAILED), topics=("b", "a"))
    assert read_cursor(write_cursor(WANTED, AFTER), turned) == AFTER


@pytest.mark.parametrize(
    "other",
    [
        TaskFilter(),
        TaskFilter(states=WANTED.states, topics=("a",)),
        TaskFilter(states=WANTED.states, topics=WANTED.topics, source=Source.PUSHED),
        TaskFilter(states=WANTED.states, topics=WANTED.topics, business_key="x"),
        TaskFilter(states=WANTED.states, topics=WANTED.topics, since=AFTER[0]),
    ],
)
def test_another_filter_is_refused(other: TaskFilter) -> None:
    with pytest.raises(CursorError, match="another filter"):
        read_cursor(write_cursor(WANTED, AFTER), other)


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "x",
        "ü",
        "====",
        "a" * 600,
        _pack({}),
        _pack(["0001-01-01T00:00:00+14:00", "t1", _digest(WANTED)]),
        _pack(["9999-12-31T23:59:59-14:00", "t1", _digest(WANTED)]),
        _pack(["2026-01-31T08:00:00+00:00", "\ud800", _digest(WANTED)]),
        _pack([]),
        _pack(["2026-01-31T08:00:00+00:00", "t1"]),
        _pack([1, "t1", "digest"]),
        _pack(["2026-01-31T08:00:00+00:00", {"$gt": ""}, "digest"]),
        _pack(["2026-01-31T08:00:00", "t1", "digest"]),
        _pack(["soon", "t1", "digest"]),
        _pack(["2026-01-31T08:00:00+00:00", "", "digest"]),
    ],
)
def test_what_is_not_ours_is_refused(forged: str) -> None:
    with pytest.raises(CursorError, match="not a cursor"):
        read_cursor(forged, WANTED)


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    with pytest.raises(CursorError):
        read_cursor(text, WANTED)


@given(st.integers(0, 400), st.characters(codec="ascii"))
def test_a_changed_cursor_is_refused_or_still_typed(place: int, letter: str) -> None:
    cursor = write_cursor(WANTED, AFTER)
    place %= len(cursor)
    try:
        created_at, task_id = read_cursor(cursor[:place] + letter + cursor[place + 1 :], WANTED)
    except CursorError:
        return
    assert isinstance(task_id, str)
    assert created_at.tzinfo is not None
