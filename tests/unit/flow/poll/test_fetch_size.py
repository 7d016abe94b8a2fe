"""The size of a call grows while that makes tasks cheaper, and only then."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from bridge.flow.poll.fetch_size import FIRST, SETTLED, SLOW, FetchSize

MS = timedelta(milliseconds=1)


def _after(calls: int, most: int, takes: Callable[[int], timedelta]) -> list[int]:
    """Return the sizes of so many calls in a row, all of them filled."""
    size, asked = FetchSize(most), []
    for _ in range(calls):
        asked.append(size.now)
        size.learn(size.now, takes(size.now))
    return asked


def test_calls_stay_as_they_are_while_they_are_quick() -> None:
    assert set(_after(50, 1000, lambda size: SLOW - MS)) == {FIRST}


def test_a_call_that_costs_the_same_whatever_it_brings_is_doubled_to_the_most() -> None:
    assert _after(5, 500, lambda size: 600 * MS) == [FIRST, 200, 400, 500, 500]


def test_a_call_that_costs_by_the_task_stays_small_and_is_tried_again_after_a_while() -> None:
    sizes = _after(2 * SETTLED, 1000, lambda size: 5 * size * MS)
    assert sizes[:3] == [FIRST, 2 * FIRST, FIRST]
    assert sizes.count(2 * FIRST) == 2, "one try in so many calls"
    assert max(sizes) == 2 * FIRST


def test_the_size_grows_for_as_long_as_it_pays() -> None:
    sizes = _after(SETTLED, 1000, lambda size: 200 * MS + size * MS)
    assert sizes[:5] == [FIRST, 200, 400, 800, 400], "800 saved less than a fifth"
    assert set(sizes[4:]) == {400}


def test_no_call_is_larger_than_the_most() -> None:
    assert set(_after(5, 40, lambda size: 600 * MS)) == {40}


def test_without_a_backlog_it_begins_anew() -> None:
    size = FetchSize(1000)
    size.learn(FIRST, 600 * MS)
    assert size.now == 2 * FIRST
    size.forget()
    assert size.now == FIRST
    size.learn(FIRST, 600 * MS)
    assert size.now == 2 * FIRST, "what was tried before is forgotten, too"


def test_after_an_answer_that_can_not_be_read_the_size_is_halved_and_tried_again_after_a_while() -> None:
    size = FetchSize(500)
    size.halve(FIRST)
    assert size.now == FIRST // 2
    size.halve(size.now)
    for _ in range(SETTLED):
        assert size.now == FIRST // 4
        size.learn(size.now, 600 * MS)
    assert size.now == FIRST // 2


def test_a_halved_size_is_never_none_and_outlasts_the_backlog() -> None:
    size = FetchSize(500)
    for _ in range(10):
        size.halve(size.now)
    assert size.now == 1
    size.forget()
    assert size.now == 1
