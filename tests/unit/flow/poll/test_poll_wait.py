"""How long fetches wait: less where a proxy cuts them or no node wakes them, and as set again when that is over."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bridge.domain.errors import CallCut, EngineUnavailable
from bridge.flow.engine.breaker import Breaker, Circuit
from bridge.flow.poll.poll import PollConfig
from bridge.flow.poll.poll_wait import PollWait, Why
from bridge.runtime.loop import Loop
from tests.unit.fakes import SECOND, HandClock, Notes
from tests.unit.flow.poll.poll_rig import NONE, PollRig

TEN = 10 * SECOND
MINUTE = 60 * SECOND
HALF = SECOND / 2
SHORT = timedelta(milliseconds=800)


class Rig:
    """A wait of ten seconds, and a clock by hand."""

    def __init__(self, most: timedelta = TEN) -> None:
        self.clock, self.notes = HandClock(), Notes()
        self.waits = PollWait(most, self.clock, self.notes)

    def call(self, took: timedelta | None = None, ages: tuple[timedelta, ...] = (), tasks: int | None = None) -> None:
        """Make a call that takes its whole wait, or so long, and brings tasks of these ages."""
        waited = self.waits.begin()
        took = waited if took is None else took
        self.clock.advance(took)
        self.waits.answered(waited, took, ages, len(ages) if tasks is None else tasks)

    def cut(self, took: timedelta) -> bool:
        waited = self.waits.begin()
        self.clock.advance(took)
        return self.waits.cut(waited, took)

    def late(self, age: timedelta = 5 * SECOND) -> None:
        """Let a task be made elsewhere while a call waits."""
        self.call(ages=(min(age, self.waits.now * 0.9),))


# cut by a proxy


def test_a_wait_that_is_cut_is_halved_and_told_once() -> None:
    rig = Rig()
    assert rig.cut(5 * SECOND)
    assert rig.waits.now == 2.5 * SECOND
    assert rig.cut(2 * SECOND)
    assert rig.waits.now == SECOND
    (line,) = rig.notes.of("poll_shortened")
    assert (line.values["wait"], line.values["why"], line.values["after"]) == (2.5, Why.CUT.value, 5.0)


def test_calls_that_were_cut_together_shorten_the_wait_once() -> None:
    rig = Rig()
    assert rig.cut(5 * SECOND)
    assert rig.waits.cut(TEN, 5 * SECOND)
    assert rig.waits.now == 2.5 * SECOND


def test_what_is_cut_however_short_is_no_matter_of_waiting() -> None:
    rig = Rig()
    while rig.waits.now > HALF:
        assert rig.cut(rig.waits.now)
    assert not rig.cut(HALF)


def test_a_longer_wait_is_tried_again_and_ever_more_seldom_while_it_is_cut() -> None:
    rig = Rig()
    tries: list[timedelta] = []
    since = rig.clock.now()
    rig.cut(5 * SECOND)
    for _ in range(4000):
        if rig.waits.now > 2.5 * SECOND or rig.waits.begin() > 2.5 * SECOND:
            tries.append(rig.clock.now() - since)
            since = rig.clock.now()
            rig.cut(5 * SECOND)
        else:
            rig.call()
    minutes = [round(gap / MINUTE) for gap in tries]
    assert minutes[:6] == [1, 2, 4, 8, 16, 32]
    assert set(minutes[6:]) <= {60, 61}
    assert len(rig.notes.of("poll_shortened")) == 1


def test_where_the_proxy_is_gone_the_wait_is_as_set_again_which_is_told() -> None:
    rig = Rig()
    rig.cut(5 * SECOND)
    for _ in range(80):
        rig.call()
    assert rig.waits.now == TEN
    assert [line.values["wait"] for line in rig.notes.of("poll_lengthened")] == [10]
    rig.cut(8 * SECOND)
    rig.clock.advance(MINUTE)
    assert rig.waits.begin() == 8 * SECOND, "a call that was held for as long as it may be ends the doubt"


# not held at all


def test_an_engine_that_answers_at_once_with_nothing_is_asked_twice_a_second() -> None:
    rig = Rig()
    calls = 0
    for _ in range(1000):
        if not rig.waits.due_in():
            rig.call(took=SECOND / 100)
            calls += 1
        rig.clock.advance(SECOND / 100)
    seconds = (rig.clock.now() - HandClock().now()).total_seconds()
    assert calls <= 2 * seconds + 1
    assert calls > 1.8 * seconds
    assert len(rig.notes.of("polls_not_held")) == 1
    rig.call()
    assert rig.waits.due_in() == NONE


def test_an_engine_that_has_tasks_is_asked_again_at_once() -> None:
    rig = Rig()
    for _ in range(10):
        rig.call(took=SECOND / 100, ages=(SECOND / 200,))
        assert rig.waits.due_in() == NONE


# not woken


def test_tasks_that_come_late_at_the_end_of_calls_make_them_short() -> None:
    rig = Rig()
    rig.late(6 * SECOND)
    assert rig.waits.now == TEN, "one may be chance"
    rig.late(4 * SECOND)
    assert rig.waits.now == SHORT
    (line,) = rig.notes.of("poll_shortened")
    assert (line.values["why"], line.values["after"]) == (Why.NOT_WOKEN.value, 4.0)


@pytest.mark.parametrize(
    ("took", "age"),
    [
        (3 * SECOND, SECOND / 20),  # the engine woke the call
        (TEN, SECOND / 20),  # made just as the call ended
        (3 * SECOND, 2 * SECOND),  # made by a transaction that took two seconds to commit
        (TEN, MINUTE),  # made before the call began: there was no room for it, or it was suspended
        (TEN, -5 * SECOND),  # by an engine node whose clock is ahead
    ],
)
def test_what_is_no_proof_changes_nothing(took: timedelta, age: timedelta) -> None:
    rig = Rig()
    for _ in range(50):
        rig.call(took=took, ages=(age,))
    assert rig.waits.now == TEN


def test_short_calls_are_at_most_two_a_second() -> None:
    rig = Rig()
    for _ in range(2):
        rig.late()
    rig.waits.begin()
    assert rig.waits.due_in() == HALF


def test_short_calls_stay_while_tasks_come_late_though_the_engine_wakes_half_of_them() -> None:
    rig = Rig()
    for _ in range(2):
        rig.late()
    for _ in range(200):
        rig.call(took=SECOND / 5, ages=(SECOND / 50,))
        rig.late()
        rig.clock.advance(5 * SECOND)
    assert rig.waits.now == SHORT


def test_long_calls_come_back_when_the_engine_wakes_them_and_one_late_task_ends_that() -> None:
    rig = Rig()
    for _ in range(2):
        rig.late()
    for _ in range(25):
        rig.call(took=SECOND / 5, ages=(SECOND / 50,))
    assert rig.waits.now == SHORT, "the proofs are fresh"
    rig.clock.advance(10 * MINUTE)
    rig.call(took=SECOND / 5, ages=(SECOND / 50,))
    assert rig.waits.now == TEN
    rig.late()
    assert rig.waits.now == SHORT
    assert len(rig.notes.of("poll_shortened")) == 2


def test_an_hour_without_a_task_brings_long_calls_back() -> None:
    rig = Rig()
    for _ in range(2):
        rig.late()
    for _ in range(59 * 75):
        rig.call()
    assert rig.waits.now == SHORT
    for _ in range(2 * 75):
        rig.call()
    assert rig.waits.now == TEN


# the poll itself


async def test_a_poll_that_is_cut_is_no_failure_while_the_engine_answers_and_its_locks_are_released() -> None:
    rig = PollRig({"a": 4}, config=PollConfig(TEN, 100, min_interval=NONE))
    (task_id,) = rig.add("a")
    loop = Loop("poll", rig.poll.run_once, rig.notes)
    rig.engine.fail_next("fetch", CallCut("fetch: HTTP 504"), after=True)
    rig.engine.takes = lambda _: rig.clock.advance(4 * SECOND)
    assert await loop.run_once()
    await rig.settle()
    assert (loop.failures, rig.poll.wait) == (0, 2 * SECOND)
    assert rig.engine.locked("a") == {task_id}, "the engine locked it for nobody"
    rig.clock.advance(TEN)
    rig.engine.takes = lambda _: None
    turn = asyncio.create_task(rig.poll.run_once())
    assert (await rig.engine.next_call()).wait == TEN, "the call that was cut"
    assert (await rig.engine.next_call()).wait == 2 * SECOND
    rig.engine.end_waits()
    await turn
    await rig.settle()
    assert [line.values["tasks"] for line in rig.notes.of("orphaned_locks_released")] == [1]
    await rig.poll.stop()


async def test_a_poll_that_ends_as_the_engine_goes_away_is_a_failure_like_any() -> None:
    rig = PollRig({"a": 4}, config=PollConfig(TEN, 100, min_interval=NONE))
    rig.engine.fail_next("fetch", CallCut("reset"))
    rig.engine.fail_next("version", EngineUnavailable("the engine is away"))
    with pytest.raises(EngineUnavailable, match="away"):
        await rig.poll.run_once()
    assert rig.poll.wait == TEN


async def test_the_breaker_counts_no_poll_that_was_cut() -> None:
    breaker = Breaker(Notes(), limit=2)

    async def cut() -> None:
        raise CallCut("fetch: HTTP 504")

    for _ in range(10):
        with pytest.raises(CallCut):
            await breaker.guard(cut)
    assert breaker.circuit is Circuit.CLOSED


async def test_a_task_that_another_node_made_comes_late_and_makes_calls_short() -> None:
    """The engine's clock is an hour behind ours, which is not to matter."""
    rig = PollRig({"a": 4}, config=PollConfig(TEN, 100, min_interval=NONE))
    for _ in range(2):
        turn = asyncio.create_task(rig.poll.run_once())
        assert (await rig.engine.next_call()).wait == TEN
        rig.clock.advance(4 * SECOND)
        rig.engine.add("a", on_another_node=True)
        rig.clock.advance(6 * SECOND)
        rig.engine.end_waits()
        await turn
        await rig.settle()
    assert rig.poll.wait == SHORT
    assert len(rig.kept("a")) == 2
