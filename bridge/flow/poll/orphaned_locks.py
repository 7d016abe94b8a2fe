"""Orphaned locks: tasks that the engine locked for a fetch whose answer was lost are unlocked, beside the fetching."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bridge.domain.errors import EngineError
from bridge.flow.lease import RELEASE_WITHIN, unlock
from bridge.ports.clock import Clock
from bridge.ports.engine import Engine, EngineTask
from bridge.ports.journal import Journal, Level
from bridge.runtime.loop import delay_after

_FIRST_DELAY: Final = timedelta(seconds=1)
_MOST_DELAY: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _Orphan:
    """A fetch without an answer: the engine may lock tasks for it until `held_until`; they lapse by `lapsed_at`."""

    held_until: datetime
    lapsed_at: datetime


class OrphanedLocks:
    """Lists the tasks that the worker id of each such fetch holds, and unlocks them; `released` gets their topics.

    A list that the engine does not give is asked for again after a growing delay, and logged once.
    """

    def __init__(
        self, engine: Engine, clock: Clock, journal: Journal, released: Callable[[Collection[str]], None]
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._journal = journal
        self._released = released
        self._orphans: dict[str, _Orphan] = {}
        self._releasing: asyncio.Task[None] | None = None
        self._failures = 0
        self._again_at: datetime | None = None
        self._chance = random.Random()  # noqa: S311 - it spreads load, it keeps no secret

    def expect(self, worker_id: str, held_until: datetime, lock: timedelta) -> None:
        """Look for locks of this worker id once the engine holds its fetch no longer; `lock` is the longest of them."""
        self._orphans[worker_id] = _Orphan(held_until, held_until + lock)

    def due_in(self) -> timedelta | None:
        """Return the time until something can be released; None where nothing is expected."""
        if not self._orphans:
            return None
        due = min(orphan.held_until for orphan in self._orphans.values())
        return max(due if self._again_at is None else max(due, self._again_at), self._clock.now()) - self._clock.now()

    def start(self) -> None:
        """Begin to release what is due, unless that is under way."""
        if not self.is_releasing and self.due_in() == timedelta(0):
            self._releasing = asyncio.create_task(self._release_due())

    @property
    def is_releasing(self) -> bool:
        return self._releasing is not None and not self._releasing.done()

    async def idle(self) -> None:
        """Wait for what is under way."""
        if self._releasing is not None:
            await self._releasing

    async def release_all(self) -> None:
        """Release at the end of the process, when no fetch is under way; other locks lapse by themselves."""
        await self.idle()
        try:
            for worker_id in list(self._orphans):
                await self._release(worker_id)
        except EngineError as error:
            self._journal.write("orphaned_locks_left", level=Level.WARNING, calls=len(self._orphans), error=str(error))

    async def _release_due(self) -> None:
        now = self._clock.now()
        try:
            for worker_id, orphan in list(self._orphans.items()):
                if orphan.lapsed_at <= now:
                    del self._orphans[worker_id]
                elif orphan.held_until <= now:
                    await self._release(worker_id)
        except EngineError as error:
            self._failures += 1
            self._again_at = self._clock.now() + delay_after(self._failures, _FIRST_DELAY, _MOST_DELAY, self._chance)
            if self._failures == 1:
                self._journal.write("orphaned_locks_not_listed", level=Level.WARNING, error=str(error))
        else:
            self._failures, self._again_at = 0, None

    async def _release(self, worker_id: str) -> None:
        found = await self._engine.locked_by(worker_id)
        await self.unlock(found)
        self._orphans.pop(worker_id, None)
        if found:
            self._journal.write("orphaned_locks_released", tasks=len(found), worker_id=worker_id)
            self._released({task.topic for task in found})

    async def unlock(self, tasks: Sequence[EngineTask]) -> None:
        """Unlock the tasks; a lock that can't be released, or is about to lapse, lapses by itself.

        The engine does not check the worker id of an unlock: a late one would free a lock of a worker that fetched
        the task since.
        """
        for task in tasks:
            if task.lock_until is not None and task.lock_until <= self._clock.now() + RELEASE_WITHIN:
                continue
            try:
                await unlock(self._engine, task.id)
            except EngineError as error:
                self._journal.write("orphaned_lock_left", level=Level.WARNING, task_id=task.id, error=str(error))
