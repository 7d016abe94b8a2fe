"""The gateway's background loops, and how long they wait after a failure."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from bridge.domain.errors import GatewayError
from bridge.ports.journal import Journal, Level


def delay_after(failures: int, first: timedelta, most: timedelta, chance: random.Random) -> timedelta:
    """Return the wait after the n-th failure in a row: doubled each time, capped, and spread by up to half.

    The spread keeps replicas and tasks that failed together from coming back together.
    """
    grown = min(most, first * int(2 ** min(max(failures - 1, 0), 20)))
    return timedelta(seconds=grown.total_seconds() * (1 - chance.random() / 2))


@dataclass(slots=True)
class Signal:
    """Wakes a loop that waits; a wake-up without a waiter is kept for the next wait."""

    _event: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        self._event.set()

    async def wait(self, at_most: timedelta | None = None) -> None:
        """Return when woken, or when the time is up."""
        try:
            async with asyncio.timeout(None if at_most is None else at_most.total_seconds()):
                await self._event.wait()
        except TimeoutError:
            return
        finally:
            self._event.clear()


class Loop:
    """Repeats a step until `stop` is called; a step that fails is repeated after a growing delay.

    `every` is the pause after a step that went well; `wake` ends a pause early.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], Awaitable[object]],
        journal: Journal,
        *,
        first_delay: timedelta = timedelta(milliseconds=200),
        most_delay: timedelta = timedelta(seconds=15),
        every: timedelta = timedelta(0),
        chance: random.Random | None = None,
    ) -> None:
        self.name = name
        self.failures = 0
        self.fault: Exception | None = None
        """The error of the last step; None where it went well."""
        self._step = step
        self._journal = journal
        self._delays = (first_delay, most_delay)
        self._chance = chance or random.Random()  # noqa: S311 - it spreads load, it keeps no secret
        self._every = every
        self._stopping = asyncio.Event()
        self._woken = Signal()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        """Make the step under way the last one."""
        self._stopping.set()
        self._woken.wake()

    def wake(self) -> None:
        """End the pause, or skip the next one."""
        self._woken.wake()

    async def run(self) -> None:
        """Repeat the step until `stop` is called."""
        while not self._stopping.is_set():
            delay = self._every if await self.run_once() else delay_after(self.failures, *self._delays, self._chance)
            if delay > timedelta(0) and not self._stopping.is_set():
                await self._woken.wait(delay)

    async def run_once(self) -> bool:
        """Do one step; return whether it went well."""
        try:
            await self._step()
        except GatewayError as error:
            self.failures, self.fault = self.failures + 1, error
            self._journal.write(
                "loop_failed", level=Level.WARNING, loop=self.name, failures=self.failures, error=str(error)
            )
            return False
        except Exception as error:  # noqa: BLE001 - a loop that ends would leave its tasks without a next step
            self.failures, self.fault = self.failures + 1, error
            self._journal.write(
                "loop_error", level=Level.ERROR, loop=self.name, failures=self.failures, error=repr(error), stack=error
            )
            return False
        self.failures, self.fault = 0, None
        return True
