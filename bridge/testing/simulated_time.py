"""An event loop whose time is simulated: while nothing is to be done it jumps to the next timer, and nobody waits."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar, TypeVarTuple

BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The time when a simulation begins."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_OWN_FILES: Final = 1
"""What the loop itself listens to: the pipe by which threads wake it."""


class _Selector(selectors.DefaultSelector):
    """Takes a pause for over, unless there is something that may end it: a thread, or a connection."""

    def __init__(self, is_busy: Callable[[], bool]) -> None:
        super().__init__()
        self.now = 0.0
        self._is_busy = is_busy

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        if timeout is None or self._is_busy() or len(self.get_map()) > _OWN_FILES:
            began = time.monotonic()
            found = super().select(timeout)
            self.now += time.monotonic() - began
        else:
            self.now += timeout
        return found


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Runs coroutines in simulated time: `asyncio.sleep`, `asyncio.timeout` and all timers go by it.

    Real time passes while a function runs in a thread of the loop's, while `is_busy`, and while a connection is open:
    what is outside this process does not jump.
    """

    def __init__(self, is_busy: Callable[[], bool] = lambda: False) -> None:
        self._in_threads = 0
        self._clock = _Selector(lambda: self._in_threads > 0 or is_busy())
        super().__init__(self._clock)
        self._threads = ThreadPoolExecutor()
        self.set_default_executor(self._threads)

    def time(self) -> float:
        """Return the simulated seconds since the loop was made."""
        return self._clock.now

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Run a function in a thread, meanwhile in real time, also if nobody waits for the function any more."""
        work = (executor or self._threads).submit(func, *args)
        self._in_threads += 1
        running = asyncio.wrap_future(work, loop=self)
        # Added after `wrap_future`'s own callback: the loop has the result before time may jump.
        work.add_done_callback(self._tell_end)
        return running

    async def shutdown_default_executor(self, *args: Any, **timeout: Any) -> None:
        """Wait for the threads in real time: `asyncio` waits in a thread of its own, which no executor counts."""
        self._in_threads += 1
        try:
            await super().shutdown_default_executor(*args, **timeout)
        finally:
            self._in_threads -= 1

    def _tell_end(self, _work: object) -> None:
        if not self.is_closed():
            self.call_soon_threadsafe(self._left_thread)

    def _left_thread(self) -> None:
        self._in_threads -= 1


class SimulatedClock:
    """The time of a `SimulatedLoop`, as a `bridge.ports.clock.Clock`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return BEGIN + timedelta(milliseconds=int(self._loop.time() * 1000))


def seconds_of(moment: datetime) -> float:
    """Return how many simulated seconds after the beginning a moment is."""
    return (moment - BEGIN).total_seconds()
