"""Makes many small calls into few large ones: items that come while one batch is under way make up the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, Generic, TypeVar

from bridge.domain.errors import BrokerUnavailable, EngineUnavailable, StoreUnavailable

Item = TypeVar("Item")
Result = TypeVar("Result")

_OUTAGES: Final = (StoreUnavailable, BrokerUnavailable, EngineUnavailable)
"""Errors that no single item of a shared call causes: calls one by one would fail alike."""


async def flush_each(
    flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
    items: Sequence[Item],
    alone: Callable[[Item], Awaitable[Result]] | None = None,
) -> list[Result | Exception]:
    """Call `flush` for all items together; where that fails, for one after another. Return the result or error of each.

    After an outage no call is repeated: all items get it. `alone` is the call for a single item after `flush` failed,
    which may have had an effect for some items by then.
    """
    try:
        results = await flush(items)
    except _OUTAGES as outage:
        return [outage] * len(items)
    except Exception as error:  # noqa: BLE001 - it is raised to the items that cause it
        return [error] if len(items) == 1 else await _one_by_one(flush, items, alone)
    if len(results) != len(items):
        return [RuntimeError(f"a batch of {len(items)} got {len(results)} results")] * len(items)
    return list(results)


async def _one_by_one(
    flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
    items: Sequence[Item],
    alone: Callable[[Item], Awaitable[Result]] | None,
) -> list[Result | Exception]:
    ends: list[Result | Exception] = []
    for item in items:
        try:
            if alone is None:
                (end,) = await flush([item])
            else:
                end = await alone(item)
        except _OUTAGES as outage:
            return ends + [outage] * (len(items) - len(ends))
        except Exception as error:  # noqa: BLE001 - it is this item's end
            ends.append(error)
        else:
            ends.append(end)
    return ends


class Batch(Generic[Item, Result]):
    """Gathers items and hands them to `flush` together, at once when nothing is under way.

    A lone item does not wait, and batches grow with the load. `flush` returns one result an item, in order. Where it
    fails, its items go one by one, by `alone` if that is given, so that each caller gets the failure of its own item
    only; an outage reaches every caller of that batch. `max_concurrent` batches may run side by side. `min_interval`
    is the least time between the beginnings of two batches: items that come sooner go together. `linger` is how long
    even a lone item waits for others.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        alone: Callable[[Item], Awaitable[Result]] | None = None,
        limit: int = 200,
        max_concurrent: int = 1,
        min_interval: timedelta = timedelta(0),
        linger: timedelta = timedelta(0),
    ) -> None:
        self._flush = flush
        self._alone = alone
        self._limit = limit
        self._max_concurrent = max_concurrent
        self._min_interval = min_interval.total_seconds()
        self._linger = linger.total_seconds()
        self._next_at = 0.0
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._open = 0

    async def put(self, item: Item) -> Result:
        """Add an item and return its result. A caller that is cancelled doesn't take its item back."""
        return await self.enter(item)

    def enter(self, item: Item) -> asyncio.Future[Result]:
        """Add an item and return the future that gets its result."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._open < self._max_concurrent:
            self._open += 1
            drain = asyncio.create_task(self._drain())
            self._running.add(drain)
            drain.add_done_callback(self._running.discard)
        return future

    async def _drain(self) -> None:
        # Counted here and not by the task's end, which is noticed a turn of the loop later: an item that is put in
        # between would wait for a task that takes no more items.
        try:
            await asyncio.sleep(self._linger)  # at the least, all callers that are ready in this turn of the loop join
            while self._waiting:
                await self._pause()
                batch = [self._waiting.popleft() for _ in range(min(self._limit, len(self._waiting)))]
                await self._run(batch)
        finally:
            self._open -= 1

    async def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        early = self._next_at - loop.time()
        if early > 0 and len(self._waiting) < self._limit:
            await asyncio.sleep(early)
        self._next_at = loop.time() + self._min_interval

    async def _run(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            ends = await flush_each(self._flush, [item for item, _ in batch], self._alone)
        except asyncio.CancelledError:
            for _, future in batch:
                if not future.done():
                    future.set_exception(asyncio.CancelledError())
            drain = asyncio.current_task()
            if drain is not None and drain.cancelling():
                raise
            return
        for (_, future), end in zip(batch, ends, strict=True):
            if future.done():
                continue
            if isinstance(end, Exception):
                future.set_exception(end)
            else:
                future.set_result(end)
