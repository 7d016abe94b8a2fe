"""Due retries: fetch them, and ask the engine about those that no fetch brings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.domain.errors import LeaseStolen
from bridge.domain.lifecycle import Event, Move
from bridge.domain.messages import message
from bridge.domain.task import Task
from bridge.flow.deliver.sender import INCIDENT_CHECK_AFTER
from bridge.flow.lease import Lease
from bridge.flow.reconcile.engine_view import EngineView
from bridge.flow.reconcile.offer import Offer
from bridge.ports.clock import Clock
from bridge.ports.engine import EngineTask
from bridge.ports.store import TaskStore


@dataclass(frozen=True, slots=True)
class RetryLooks:
    """`nudges`: how many fetches a due retry gets before the engine is asked about it. `first` is the time between two
    checks, which grows up to `most`."""

    nudges: int
    first: timedelta
    most: timedelta


class DueRetries:
    """`nudge` gets the topics of due retries, to fetch them now: the engine itself wakes a waiting poll for an expired
    lock only every 30 s. `reacquire` gets due retries that are free in the engine, and that no fetch brought.
    """

    def __init__(
        self,
        *,
        view: EngineView,
        store: TaskStore,
        offer: Offer,
        lease: Lease,
        reacquire: Callable[[Task, EngineTask], Awaitable[None]],
        nudge: Callable[[Collection[str]], None],
        slots: asyncio.Semaphore,
        clock: Clock,
        looks: RetryLooks,
    ) -> None:
        self._view = view
        self._store = store
        self._offer = offer
        self._lease = lease
        self._reacquire = reacquire
        self._nudge = nudge
        self._slots = slots
        self._clock = clock
        self._looks = looks

    async def check(self, tasks: Sequence[Task]) -> None:
        """Check due retries that this replica has taken."""
        moves = [*await self._offered(tasks), *await self._settled(tasks)]
        if moves:
            await self._store.move(moves)
        ended = {move.task_id for move in moves}
        now = self._clock.now()
        await self._store.move(
            [
                Move(task.id, Event.DEFER, task.epoch, changes={"next_at": now + self._next_check(task)})
                for task in tasks
                if task.id not in ended
            ]
        )
        offered = {move.task_id for move in moves if move.event is Event.TAKE}
        self._nudge({task.topic for task in tasks if task.id in offered or task.id not in ended})

    def _next_check(self, task: Task) -> timedelta:
        return min(self._looks.first * int(2 ** min(task.reports, 10)), self._looks.most)

    async def _offered(self, tasks: Sequence[Task]) -> list[Move]:
        """Finish operators' retries that did not reach the engine, as their process ended."""
        ends = await asyncio.gather(*(self._offer_one(task) for task in tasks if task.is_retry_pending))
        return [move for move in ends if move is not None]

    async def _offer_one(self, task: Task) -> Move | None:
        async with self._slots:
            return await self._offer.finish(task.id)

    async def _settled(self, tasks: Sequence[Task]) -> list[Move]:
        """Return the moves that end retries which, by the engine's answer, will not come back."""
        overdue = [task for task in tasks if task.reports >= self._looks.nudges and not task.is_retry_pending]
        found = await self._view.of(overdue, "retry_not_checked")
        moves = await self._view.ends_of([task for task in overdue if task.id in found and found[task.id] is None])
        free: list[tuple[Task, EngineTask]] = []
        for task in overdue:
            description = found.get(task.id)
            if description is None:
                continue
            if description.retries == 0:
                moves.append(self._exhausted(task, description))
            elif not _is_locked(description.lock_until, self._clock.now()):
                free.append((task, description))
            elif description.worker_id not in {None, task.worker_id}:
                stolen = LeaseStolen(message("lock.held", worker=description.worker_id), status=400)
                moves.append(self._lease.lost(task, stolen))
        await asyncio.gather(*(self._reacquire_one(task, description) for task, description in free))
        return moves

    async def _reacquire_one(self, task: Task, found: EngineTask) -> None:
        async with self._slots:
            await self._reacquire(task, found)

    def _exhausted(self, task: Task, found: EngineTask) -> Move:
        now = self._clock.now()
        changes = {"updated_at": now, "finished_at": now, "retries": 0, "error": found.error or task.error}
        return Move(task.id, Event.EXHAUSTED, task.epoch, changes={**changes, "next_at": now + INCIDENT_CHECK_AFTER})


def _is_locked(until: datetime | None, now: datetime) -> bool:
    return until is not None and until > now
