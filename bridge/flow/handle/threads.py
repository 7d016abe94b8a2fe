"""The threads of plain handlers. A function can't be stopped: a run that is given up keeps its slot until it ends."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from bridge.domain.errors import ProcessEnding
from bridge.domain.task import Task
from bridge.domain.topic import Topic
from bridge.ports.journal import Journal, Level

Job = Callable[[], None]


class Threads:
    """Gives each topic with a plain handler as many slots as its `concurrency`, and each run a thread.

    A run that is given up while its function goes on (its time is over, or its lock is lost) leaves a *stuck* thread.
    The slot is free again when the function ends; until then the next tasks wait in the queue. The threads are
    daemons: the end of the process does not wait for them.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._pools: dict[str, _Pool] = {}
        self._stopping = asyncio.Event()

    @asynccontextmanager
    async def slot(self, topic: Topic[Any, Any]) -> AsyncIterator[Slot]:
        """Wait for a slot, and hold it at least as long as this context.

        Raises `ProcessEnding` where `stop` is called before a slot is free.
        """
        pool = self._pools.get(topic.name)
        if pool is None:
            pool = self._pools[topic.name] = _Pool(topic.name, topic.concurrency)
        if self._stopping.is_set():
            raise ProcessEnding("no handler begins any more")
        await pool.enter()
        slot = Slot(pool, self._journal, self._stopping)
        try:
            yield slot
        finally:
            slot.leave()

    def stuck(self) -> Mapping[str, int]:
        """Return how many stuck threads each topic has; topics without any are left out."""
        return {name: pool.stuck for name, pool in self._pools.items() if pool.stuck}

    def stop(self) -> None:
        """End all waiting for slots and for the end of stuck threads."""
        self._stopping.set()
        for pool in self._pools.values():
            pool.refuse()

    def close(self) -> None:
        """End the idle threads; the others end with their function, or with the process."""
        for pool in self._pools.values():
            pool.close()


class Slot:
    """The right to run one function of a topic in a thread."""

    def __init__(self, pool: _Pool, journal: Journal, stopping: asyncio.Event) -> None:
        self._pool = pool
        self._journal = journal
        self._stopping = stopping
        self._run: _Run | None = None

    async def call(self, function: Callable[[], Any], task: Task) -> Any:
        """Run `function` in a free thread, and return or raise as the function does.

        A cancelled call returns at once, and the thread is stuck until the function ends. Raises `RuntimeError` where
        the machine has no thread left; the function has not begun then.
        """
        run = _Run(function, asyncio.get_running_loop())
        self._pool.begin(run)
        self._run = run
        try:
            return await run.result
        except asyncio.CancelledError:
            if not run.ended.done():
                self._give_up(run, task)
            raise

    def leave(self) -> None:
        """Free the slot, at the end of the function that runs in it."""
        if self._run is None or self._run.ended.done():
            self._pool.leave()
        else:
            self._run.ended.add_done_callback(lambda _: self._pool.leave())

    async def settled(self) -> None:
        """Return when the function has ended; at once where the process ends before that."""
        if self._run is None or self._run.ended.done():
            return
        stopping = asyncio.ensure_future(self._stopping.wait())
        either: set[asyncio.Future[Any]] = {self._run.ended, stopping}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()

    def _give_up(self, run: _Run, task: Task) -> None:
        pool, since = self._pool, run.loop.time()
        pool.stuck += 1
        self._journal.write("thread_stuck", task=task, level=Level.WARNING, stuck=pool.stuck, slots=pool.slots)

        def freed(_: object) -> None:
            pool.stuck -= 1
            late = round(run.loop.time() - since, 3)
            self._journal.write("thread_freed", task=task, seconds=late, stuck=pool.stuck, slots=pool.slots)

        run.ended.add_done_callback(freed)


@dataclass(slots=True)
class _Answer:
    value: Any = None
    error: BaseException | None = None


class _Run:
    """One call of a function in a thread: its caller waits for `result`; `ended` is set once the thread is free."""

    def __init__(self, function: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.result: asyncio.Future[Any] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._function = function
        self._context = contextvars.copy_context()

    def __call__(self) -> None:
        try:
            answer = _Answer(self._context.run(self._function))
        except BaseException as error:  # noqa: BLE001 - any error goes to the caller that waits for the result
            answer = _Answer(error=error)
        with suppress(RuntimeError):  # the loop is closed, and the caller gone
            self.loop.call_soon_threadsafe(self._end, answer)

    def _end(self, answer: _Answer) -> None:
        self.ended.set_result(None)
        if self.result.done():
            return
        if answer.error is None:
            self.result.set_result(answer.value)
        elif isinstance(answer.error, StopIteration):
            # A future can't carry it.
            error = RuntimeError("the handler ran out of items: StopIteration")
            error.__cause__ = answer.error
            self.result.set_exception(error)
        else:
            self.result.set_exception(answer.error)


class _Pool:
    """A topic's slots and threads. A run begins only in a slot, so there are never more threads than slots."""

    def __init__(self, name: str, slots: int) -> None:
        self.slots = slots
        self.stuck = 0
        self._name = name
        self._free = slots
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._idle = self._threads = 0

    async def enter(self) -> None:
        if self._free and not self._waiting:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()
            raise

    def leave(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def refuse(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(ProcessEnding("no handler begins any more"))

    def begin(self, run: _Run) -> None:
        if self._idle:
            self._idle -= 1
        else:
            # Before the job is put: one whose thread can't start must not wait for another's.
            name = f"topic-{self._name}_{self._threads}"
            threading.Thread(target=_serve, args=(self._jobs,), name=name, daemon=True).start()
            self._threads += 1
        run.ended.add_done_callback(self._ended)
        self._jobs.put(run)

    def close(self) -> None:
        for _ in range(self._threads):
            self._jobs.put(None)

    def _ended(self, _: object) -> None:
        self._idle += 1


def _serve(jobs: SimpleQueue[Job | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
