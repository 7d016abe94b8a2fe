"""Calls that come together are made together; each caller gets its own answer, and never waits in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import pytest

from bridge.domain.errors import StoreUnavailable
from bridge.runtime.batch import Batch


class Sink:
    """A flush that notes its batches, and waits for `open` where one is set."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.now = 0
        self.most = 0
        self.arrived = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        self.error: BaseException | None = None
        self.missing = 0

    async def flush(self, items: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(items))
        self.now += 1
        self.most = max(self.most, self.now)
        self.arrived.set()
        try:
            await self.open.wait()
            if self.error is not None:
                error, self.error = self.error, None
                raise error
            missing, self.missing = self.missing, 0
            return [item * 10 for item in items[missing:]]
        finally:
            self.now -= 1


async def in_time(*calls: Awaitable[object]) -> Sequence[object]:
    """Wait for the calls, but not for ever: a caller that was forgotten is a failure."""
    async with asyncio.timeout(5):
        return await asyncio.gather(*calls, return_exceptions=True)


def put_all(batch: Batch[int, int], items: Sequence[int]) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(batch.put(item)) for item in items]


async def when(condition: Callable[[], bool], event: asyncio.Event) -> None:
    async with asyncio.timeout(5):
        while not condition():
            event.clear()
            await event.wait()


async def test_a_lone_item_waits_for_nobody() -> None:
    sink = Sink()
    assert await Batch(sink.flush).put(1) == 10
    assert sink.batches == [[1]]


async def test_what_is_ready_together_goes_together_and_each_gets_its_own() -> None:
    sink = Sink()
    batch = Batch(sink.flush)
    assert await in_time(*(batch.put(item) for item in (1, 2, 3))) == [10, 20, 30]
    assert sink.batches == [[1, 2, 3]]


async def test_what_comes_while_one_is_under_way_makes_up_the_next() -> None:
    sink = Sink()
    sink.open.clear()
    batch = Batch(sink.flush)
    first = put_all(batch, [1])
    await when(lambda: len(sink.batches) == 1, sink.arrived)
    rest = put_all(batch, [2, 3])
    sink.open.set()
    assert await in_time(*first, *rest) == [10, 20, 30]
    assert sink.batches == [[1], [2, 3]]


async def test_a_batch_has_at_most_the_limit_in_the_order_of_arrival() -> None:
    sink = Sink()
    batch = Batch(sink.flush, limit=2)
    await in_time(*(batch.put(item) for item in range(5)))
    assert sink.batches == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("concurrent", [1, 2, 3])
async def test_as_many_batches_as_are_allowed_run_side_by_side(concurrent: int) -> None:
    sink = Sink()
    sink.open.clear()
    batch = Batch(sink.flush, limit=1, max_concurrent=concurrent)
    callers = put_all(batch, range(6))
    await when(lambda: sink.now == concurrent, sink.arrived)
    sink.open.set()
    assert await in_time(*callers) == [0, 10, 20, 30, 40, 50]
    assert sink.most == concurrent


@pytest.mark.parametrize("concurrent", [1, 2])
@pytest.mark.parametrize("callers", [1, 2, 3])
async def test_a_caller_that_puts_again_at_once_is_not_forgotten(concurrent: int, callers: int) -> None:
    """It is awake before its drain task has been cleared away, and must not count on that task."""
    sink = Sink()
    batch = Batch(sink.flush, max_concurrent=concurrent)

    async def one_after_another() -> list[int]:
        return [await batch.put(item) for item in range(3)]

    assert await in_time(*(one_after_another() for _ in range(callers))) == [[0, 10, 20]] * callers


async def test_an_error_reaches_all_callers_of_its_batch_and_nobody_else() -> None:
    sink = Sink()
    sink.open.clear()
    sink.error = StoreUnavailable("away")
    batch = Batch(sink.flush)
    first = put_all(batch, [1, 2])
    await when(lambda: len(sink.batches) == 1, sink.arrived)
    rest = put_all(batch, [3, 4])
    sink.open.set()
    answers = await in_time(*first, *rest)
    assert [str(answer) for answer in answers] == ["away", "away", "30", "40"]
    assert sink.batches == [[1, 2], [3, 4]]
    assert await in_time(batch.put(5)) == [50]


class Picky(Sink):
    """Refuses every batch that has one of `odd` in it; after `calls` calls the store is away."""

    def __init__(self, *odd: int, calls: int = 100) -> None:
        super().__init__()
        self.odd = odd
        self.calls = calls
        self.again: list[int] = []

    async def flush(self, items: Sequence[int]) -> Sequence[int]:
        if len(self.batches) == self.calls:
            raise StoreUnavailable("away")
        results = await super().flush(items)
        if wrong := [item for item in items if item in self.odd]:
            raise TypeError(f"no place for {wrong}")
        return results

    async def alone(self, item: int) -> int:
        self.again.append(item)
        (result,) = await self.flush([item])
        return -result


async def test_where_a_batch_fails_each_gets_its_own_end() -> None:
    sink = Picky(2, 4)
    answers = await in_time(*(Batch(sink.flush).put(item) for item in [2]))
    assert ([str(answer) for answer in answers], sink.batches) == (["no place for [2]"], [[2]])
    batch, sink.batches = Batch(sink.flush), []
    answers = await in_time(*(batch.put(item) for item in (1, 2, 3, 4)))
    assert [str(answer) for answer in answers] == ["10", "no place for [2]", "30", "no place for [4]"]
    assert sink.batches == [[1, 2, 3, 4], [1], [2], [3], [4]]


async def test_what_is_repeated_alone_may_be_called_otherwise() -> None:
    sink = Picky(2)
    batch = Batch(sink.flush, alone=sink.alone)
    answers = await in_time(*(batch.put(item) for item in (1, 2, 3)))
    assert [str(answer) for answer in answers] == ["-10", "no place for [2]", "-30"]
    assert sink.again == [1, 2, 3]
    assert await in_time(batch.put(5)) == [50]


async def test_an_outage_is_not_asked_about_once_for_each() -> None:
    sink = Picky(1, calls=2)
    batch = Batch(sink.flush)
    answers = await in_time(*(batch.put(item) for item in (1, 2, 3, 4)))
    assert [str(answer) for answer in answers] == ["no place for [1]", "away", "away", "away"]
    assert sink.batches == [[1, 2, 3, 4], [1]]


async def test_a_caller_that_is_cancelled_does_not_take_its_item_back() -> None:
    sink = Sink()
    sink.open.clear()
    batch = Batch(sink.flush)
    first = put_all(batch, [1])
    await when(lambda: len(sink.batches) == 1, sink.arrived)
    given_up, other = put_all(batch, [2, 3])
    await in_time(asyncio.wait({given_up, other}, timeout=0))
    given_up.cancel()
    sink.open.set()
    answers = await in_time(*first, given_up, other)
    assert [answers[0], answers[2]] == [10, 30]
    assert isinstance(answers[1], asyncio.CancelledError)
    assert sink.batches == [[1], [2, 3]]


async def test_a_caller_cancelled_in_a_batch_that_fails_harms_nobody() -> None:
    sink = Sink()
    sink.open.clear()
    sink.error = StoreUnavailable("away")
    batch = Batch(sink.flush)
    given_up, other = put_all(batch, [1, 2])
    await when(lambda: len(sink.batches) == 1, sink.arrived)
    given_up.cancel()
    sink.open.set()
    answers = await in_time(given_up, other)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert isinstance(answers[1], StoreUnavailable)


async def with_more_behind(sink: Sink, batch: Batch[int, int]) -> Sequence[object]:
    """Put two items together, and two more while those are under way: only the same drain task can take them."""
    sink.open.clear()
    first = put_all(batch, [1, 2])
    await when(lambda: len(sink.batches) == 1, sink.arrived)
    rest = put_all(batch, [3, 4])
    await in_time(asyncio.wait(rest, timeout=0))
    sink.open.set()
    answers = await in_time(*first, *rest)
    assert sink.batches == [[1, 2], [3, 4]]
    return answers


async def test_a_flush_that_is_cancelled_cancels_its_callers_and_the_drain_goes_on() -> None:
    """What it awaits may end as cancelled, without anyone having cancelled the drain task."""
    sink = Sink()
    sink.error = asyncio.CancelledError()
    batch = Batch(sink.flush)
    answers = await with_more_behind(sink, batch)
    assert [type(answer) for answer in answers[:2]] == [asyncio.CancelledError] * 2
    assert answers[2:] == [30, 40]
    assert await in_time(batch.put(5)) == [50]


@pytest.mark.parametrize("missing", [1, 2])
async def test_too_few_results_are_an_error_of_the_whole_batch_and_the_drain_goes_on(missing: int) -> None:
    """Nobody can tell whose result is missing."""
    sink = Sink()
    sink.missing = missing
    batch = Batch(sink.flush)
    answers = await with_more_behind(sink, batch)
    assert [type(answer) for answer in answers[:2]] == [RuntimeError] * 2
    assert [str(answer) for answer in answers[:2]] == [f"a batch of 2 got {2 - missing} results"] * 2
    assert answers[2:] == [30, 40]
    assert await in_time(batch.put(5)) == [50]


async def test_a_drain_that_is_cancelled_ends_and_the_next_item_opens_another() -> None:
    sink = Sink()
    sink.open.clear()
    batch = Batch(sink.flush)
    (caller,) = put_all(batch, [1])
    await when(lambda: len(sink.batches) == 1, sink.arrived)
    (drain,) = asyncio.all_tasks() - {caller, asyncio.current_task()}
    (waiting,) = put_all(batch, [2])
    await in_time(asyncio.wait({waiting}, timeout=0))
    drain.cancel()
    assert [type(answer) for answer in await in_time(caller, drain)] == [asyncio.CancelledError] * 2
    assert drain.cancelled()
    sink.open.set()
    assert await in_time(waiting, batch.put(3)) == [20, 30]
    assert sink.batches == [[1], [2, 3]]


async def test_what_comes_soon_after_a_batch_goes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    sink, rests, over, pause = Sink(), asyncio.Event(), asyncio.Event(), asyncio.sleep

    async def rest(seconds: float) -> None:
        if seconds > 0:
            rests.set()
            await over.wait()
        else:
            await pause(0)

    monkeypatch.setattr(asyncio, "sleep", rest)
    batch = Batch(sink.flush, min_interval=timedelta(hours=1))
    await batch.put(1)
    first = asyncio.create_task(batch.put(2))
    await rests.wait()
    later = [asyncio.create_task(batch.put(number)) for number in (3, 4)]
    over.set()
    assert await asyncio.gather(first, *later) == [20, 30, 40]
    assert sink.batches == [[1], [2, 3, 4]]


async def test_a_full_batch_does_not_rest() -> None:
    sink = Sink()
    batch = Batch(sink.flush, limit=2, min_interval=timedelta(days=1))
    await batch.put(1)
    both = [batch.put(2), batch.put(3)]
    assert await asyncio.gather(*both) == [20, 30]
    assert sink.batches == [[1], [2, 3]]


async def test_what_is_in_no_hurry_waits_for_others_even_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sink, over, asked = Sink(), asyncio.Event(), list[float]()

    async def wait(seconds: float) -> None:
        asked.append(seconds)
        await over.wait()

    monkeypatch.setattr(asyncio, "sleep", wait)
    batch = Batch(sink.flush, linger=timedelta(seconds=3))
    items = put_all(batch, [1])
    await in_time(asyncio.wait(items, timeout=0))
    items += put_all(batch, [2])
    assert (asked, sink.batches) == ([3.0], [])
    over.set()
    assert await in_time(*items) == [10, 20]
    assert sink.batches == [[1, 2]]
