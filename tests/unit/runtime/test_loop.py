"""A loop goes on through failures, rests longer each time, and ends at once when it is told to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from datetime import timedelta

import pytest

from bridge.domain.errors import GatewayError, StoreUnavailable
from bridge.ports.journal import Level
from bridge.runtime.loop import Loop, Signal, delay_after
from tests.unit.fakes import Notes

FIRST = timedelta(seconds=1)
MOST = timedelta(seconds=60)
NONE = timedelta(0)
HOUR = timedelta(hours=1)


class Step:
    """A step that fails by what it is given, one error a turn (None: it goes well), and stops the loop in the end."""

    def __init__(self, *errors: BaseException | None) -> None:
        self.errors = list(errors)
        self.turns = 0
        self.loop: Loop | None = None

    async def __call__(self) -> None:
        error = self.errors[self.turns] if self.turns < len(self.errors) else None
        self.turns += 1
        if self.turns >= len(self.errors) and self.loop is not None:
            self.loop.stop()
        if error is not None:
            raise error


class Chance(random.Random):
    """A chance that always comes out the same."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self._value = value

    def random(self) -> float:
        return self._value


@pytest.mark.parametrize(("failures", "seconds"), [(0, 1), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (10**6, 60)])
def test_a_delay_doubles_up_to_its_cap(failures: int, seconds: int) -> None:
    assert delay_after(failures, FIRST, MOST, Chance(0)) == timedelta(seconds=seconds)


@pytest.mark.parametrize("failures", [1, 4, 9])
def test_a_delay_is_spread_by_half_and_no_more(failures: int) -> None:
    full = delay_after(failures, FIRST, MOST, Chance(0))
    delays = [delay_after(failures, FIRST, MOST, random.Random(seed)) for seed in range(200)]
    assert full / 2 < min(delays) < full * 0.55
    assert full * 0.95 < max(delays) <= full


def test_a_long_outage_does_not_overflow() -> None:
    assert delay_after(10**9, timedelta(days=300), timedelta(days=365), Chance(0)) <= timedelta(days=365)


async def test_failures_in_a_row_are_counted_and_told_until_one_goes_well() -> None:
    notes = Notes()
    loop = Loop("poll", Step(StoreUnavailable("away"), StoreUnavailable("still away"), None), notes)
    assert [await loop.run_once() for _ in range(2)] == [False, False]
    assert loop.failures == 2
    assert [(line.event, line.level, line.values) for line in notes.lines] == [
        ("loop_failed", Level.WARNING, {"loop": "poll", "failures": 1, "error": "away"}),
        ("loop_failed", Level.WARNING, {"loop": "poll", "failures": 2, "error": "still away"}),
    ]
    assert await loop.run_once()
    assert (loop.failures, len(notes.lines)) == (0, 2)


async def test_an_unexpected_error_is_told_with_its_stack_and_does_not_end_the_loop() -> None:
    notes = Notes()
    error = KeyError("surprise")
    step = Step(error, StoreUnavailable("away"), None, None)
    step.loop = loop = Loop("relay", step, notes, first_delay=NONE, most_delay=NONE)
    await _in_time(loop.run())
    assert step.turns == 4
    first = notes.lines[0]
    assert (first.event, first.level, first.values["stack"]) == ("loop_error", Level.ERROR, error)
    assert first.values["error"] == "KeyError('surprise')"
    assert notes.of("loop_failed")[0].values["failures"] == 2, "it counts with the others"


async def test_cancellation_is_not_taken_for_a_failure() -> None:
    loop = Loop("relay", Step(asyncio.CancelledError()), Notes())
    with pytest.raises(asyncio.CancelledError):
        await loop.run_once()
    assert loop.failures == 0


async def test_a_step_that_goes_well_is_repeated_without_a_rest() -> None:
    step = Step(*[None] * 50)
    step.loop = loop = Loop("relay", step, Notes(), first_delay=HOUR, most_delay=HOUR)
    await _in_time(loop.run())
    assert step.turns == 50


async def test_a_stop_lets_the_step_under_way_be_the_last() -> None:
    started, finish = asyncio.Event(), asyncio.Event()
    turns: list[str] = []

    async def step() -> None:
        started.set()
        await finish.wait()
        turns.append("done")

    loop = Loop("relay", step, Notes())
    running = asyncio.create_task(loop.run())
    await started.wait()
    before = loop.stopping
    loop.stop()
    assert (before, loop.stopping) == (False, True)
    assert not running.done()
    finish.set()
    await _in_time(running)
    assert turns == ["done"]


async def test_a_stop_ends_a_rest_at_once() -> None:
    failed = asyncio.Event()

    class Telling(Notes):
        def write(self, event: str, **values: object) -> None:
            failed.set()

    step = Step(GatewayError("away"))
    loop = Loop("relay", step, Telling(), first_delay=HOUR, most_delay=HOUR)
    running = asyncio.create_task(loop.run())
    await failed.wait()
    await asyncio.wait({running}, timeout=0)
    assert not running.done(), "it rests, for half an hour at least"
    loop.stop()
    await _in_time(running)
    assert step.turns == 1


async def test_a_pause_after_a_good_step_ends_early_by_a_wake_up_and_by_a_stop() -> None:
    turn = asyncio.Event()
    turns: list[int] = []

    async def step() -> None:
        turns.append(len(turns))
        turn.set()

    loop = Loop("reconcile", step, Notes(), every=HOUR)
    running = asyncio.create_task(loop.run())
    await turn.wait()
    await asyncio.wait({running}, timeout=0)
    assert turns == [0], "it pauses"
    turn.clear()
    loop.wake()
    async with asyncio.timeout(5):
        await turn.wait()
    assert turns == [0, 1]
    loop.stop()
    await _in_time(running)
    assert turns == [0, 1]


async def test_a_loop_that_was_stopped_does_not_begin() -> None:
    step = Step(None)
    loop = Loop("relay", step, Notes())
    loop.stop()
    await _in_time(loop.run())
    assert step.turns == 0


async def test_a_wake_up_that_comes_early_is_kept_for_one_wait() -> None:
    signal = Signal()
    signal.wake()
    signal.wake()
    await _in_time(signal.wait())
    waiting = asyncio.create_task(signal.wait(HOUR))
    await asyncio.wait({waiting}, timeout=0)
    assert not waiting.done()
    signal.wake()
    await _in_time(waiting)


async def test_a_wait_ends_when_its_time_is_up() -> None:
    await _in_time(Signal().wait(NONE))


async def _in_time(call: Awaitable[None]) -> None:
    async with asyncio.timeout(5):
        await call
