"""Many small calls made into few large ones: what comes in while one batch is under way makes up the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batch(Generic[Item, Result]):
    """Gathers items and hands them to `flush` together, at once when nothing is under way.

    A lone item waits for nobody, and the busier it gets the larger the batches are. `flush` returns one result an
    item, in order; what it raises reaches every caller of that batch. `lanes` batches may run side by side. `rest` is
    the least time between the beginnings of two batches: what comes sooner goes together. `delay` is for what is in no
    hurry: how long even a lone item waits for others.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        limit: int = 200,
        lanes: int = 1,
        rest: timedelta = timedelta(0),
        delay: timedelta = timedelta(0),
    ) -> None:
        self._flush = flush
        self._limit = limit
        self._lanes = lanes
        self._rest = rest.total_seconds()
        self._delay = delay.total_seconds()
        self._next_at = 0.0
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._open = 0

    async def put(self, item: Item) -> Result:
        """Add an item and return its result. A caller that is cancelled doesn't take its item back."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._open < self._lanes:
            self._open += 1
            lane = asyncio.create_task(self._drain())
            self._running.add(lane)
            lane.add_done_callback(self._running.discard)
        return await future

    async def _drain(self) -> None:
        # Counted here and not by the task's end, which is noticed a turn of the loop later: whoever puts in between
        # would wait for a lane that takes nothing any more.
        try:
            await asyncio.sleep(self._delay)  # at the least, everyone who is ready in this turn of the loop joins
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
        self._next_at = loop.time() + self._rest

    async def _run(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._flush([item for item, _ in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"a batch of {len(batch)} got {len(results)} results")
        except asyncio.CancelledError:
            _fail(batch, asyncio.CancelledError())
            lane = asyncio.current_task()
            if lane is not None and lane.cancelling():
                raise
        except Exception as error:  # noqa: BLE001 - it reaches everyone who waits for it
            _fail(batch, error)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)


def _fail(batch: Sequence[tuple[Item, asyncio.Future[Result]]], error: BaseException) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
