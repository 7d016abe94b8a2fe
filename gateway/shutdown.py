"""The shutdown of a process: in an order that loses nothing, and in time, whatever handlers do."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

from bridge.domain.errors import EngineError, GatewayError
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import Task
from bridge.ports.journal import Level
from bridge.runtime.loop import Loop
from gateway.settings import Role
from gateway.wiring import Gateway

LAST: Final = 2.0
"""Seconds after everything is closed until the process ends, whatever still runs in it."""
OVERTIME: Final = 15.0
"""Seconds beyond SHUTDOWN_GRACE until a process that was told to stop ends, in any state."""

_RELEASED_AT_ONCE: Final = 16
_MOST_RELEASED: Final = 5000
_LEAST_DRAIN: Final = 3.0
"""The least seconds for the delivery of outcomes, also where the grace is over."""


class Shutdown:
    """Ends the parts of a process. `poll` is the loop of the fetches, `consuming` whether messages were taken."""

    def __init__(
        self,
        gateway: Gateway,
        loops: Sequence[Loop],
        running: Sequence[asyncio.Task[None]],
        *,
        poll: Loop | None,
        consuming: bool,
    ) -> None:
        self._gateway = gateway
        self._loops = loops
        self._running = running
        self._poll = poll
        self._consuming = consuming

    async def run(self) -> None:
        """Stop fetching, keep the batch, stop consuming, let handlers end, deliver, unlock unstarted tasks, close."""
        gateway = self._gateway
        over = asyncio.get_running_loop().time() + gateway.settings.shutdown_grace
        gateway.journal.write("stopping", replica=gateway.replica)
        gateway.handle.stop()
        if self._poll is not None:
            self._poll.stop()
        # A poll may still be held by the engine for seconds: handlers end meanwhile.
        await asyncio.gather(self._part("poll", gateway.poll.stop()), self._end_work(over))
        gateway.loop_watch.stop()
        for loop in self._loops:
            loop.stop()
        for end in await asyncio.gather(*self._running, return_exceptions=True):
            if isinstance(end, Exception):
                self._tell("loops", end)
        await self._part("renew", gateway.renew.settle())
        await self._part("reconcile", gateway.reconciler.stop())
        await self._part("relay", gateway.relay.drain())
        await self._part("release", self._release_unstarted())
        await self._part("leave", gateway.heartbeat.leave())
        await self._part("deliver", self._drain(over))
        gateway.run.close()
        if gateway.roles & {Role.WEB, Role.INTAKE}:
            await self._part("publisher", gateway.publisher.close())
        await self._part("engine", gateway.engine.close())
        await self._part("statistics", gateway.statistics.flush())
        await self._part("dashboard_store", gateway.dashboard_store.close())
        await self._part("access", gateway.access_store.close())
        await self._part("store", gateway.store.close())
        await self._part("telemetry", gateway.telemetry.end())

    async def _part(self, part: str, end: Awaitable[object]) -> None:
        """Wait for one step of the shutdown; log a failure, and go on with the next step."""
        try:
            await end
        except Exception as error:  # noqa: BLE001 - handlers' outcomes and locks depend on the steps that follow
            self._tell(part, error)

    def _tell(self, part: str, error: Exception) -> None:
        known = isinstance(error, GatewayError)
        self._gateway.journal.write(
            "shutdown_step_failed",
            level=Level.WARNING if known else Level.ERROR,
            part=part,
            error=str(error) if known else repr(error),
            stack=None if known else error,
        )

    async def _end_work(self, over: float) -> None:
        if self._consuming:
            await self._part("consumer", self._gateway.consumer.stop())
            await self._part("consumer", self._gateway.consumer.close())
        await self._part("deliver", self._drain(over))

    def _drain(self, over: float) -> Awaitable[object]:
        left = max(_LEAST_DRAIN, over - asyncio.get_running_loop().time())
        return self._gateway.delivery.drain(timedelta(seconds=left))

    async def _release_unstarted(self) -> None:
        """Release tasks that have not begun: other processes fetch them at once, and no retry is used."""
        gateway = self._gateway
        if Role.INTAKE not in gateway.roles:
            return
        tasks = await gateway.store.unstarted(gateway.replica, _MOST_RELEASED)
        now = gateway.clock.now()
        changes = {"next_at": now + timedelta(seconds=1), "updated_at": now}
        happened = await gateway.store.move([Move(t.id, Event.RELEASE, t.epoch, changes=changes) for t in tasks])
        slots = asyncio.Semaphore(_RELEASED_AT_ONCE)

        async def unlock(task: Task) -> None:
            async with slots:
                with suppress(EngineError):  # then the lock ends by itself
                    await gateway.lease.release(task, task.lease_until)

        released = [task for task, yes in zip(tasks, happened, strict=True) if yes]
        await asyncio.gather(*(unlock(task) for task in released))
        if released:
            gateway.journal.write("locks_released", tasks=len(released))


def exit_after(seconds: float, code: int, before: Callable[[], None]) -> None:
    """End this process after `seconds` with `code`, unless it has ended by then: after `before`, and without cleanup.

    Python itself waits at its end for the threads of any pool, and for coroutines that ignore their cancellation.
    """

    def end() -> None:
        time.sleep(seconds)
        try:
            before()
        finally:
            os._exit(code)

    threading.Thread(target=end, name="exit", daemon=True).start()


def left_threads() -> list[str]:
    """Return the names of the threads that Python would wait for."""
    return sorted(
        thread.name for thread in threading.enumerate() if not thread.daemon and thread is not threading.main_thread()
    )
