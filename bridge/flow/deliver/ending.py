"""How a task ended in the engine: for an answer that was lost, and for a 204 that may stand for a BPMN error."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final, assert_never

from bridge.domain.errors import EngineRejected, TaskGone
from bridge.domain.lifecycle import Event, Move
from bridge.domain.messages import Message, message
from bridge.domain.replica import KEPT, replica_of
from bridge.domain.task import BpmnFault, Completion, Failure, Outcome, Task
from bridge.flow.deliver.error_events import ErrorEventDefinitions
from bridge.ports.clock import Clock
from bridge.ports.engine import Engine, EngineActivity, EngineLogEntry
from bridge.ports.store import Replicas

GONE: Final = message("ending.gone")
FAILURE_AS_ERROR: Final = message("ending.failure_as_error")
COMPLETION_AS_ERROR: Final = message("ending.completion_as_error")
UNTOLD: Final = message("ending.untold")
INTERRUPTED: Final = message("ending.interrupted")
DELETED: Final = message("ending.deleted")
BY_SOMEBODY: Final = message("ending.by_somebody")


class How(Enum):
    """How a task ended; THROWN: by a BPMN error that the model threw in place of the outcome sent."""

    BY_US = "by us"
    THROWN = "thrown"
    OTHERWISE = "otherwise"
    UNTOLD = "untold"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a task ended, and the text for its page; None where the outcome says enough."""

    how: How
    why: Message | None = None

    def move(self, task: Task, outcome: Outcome, now: datetime) -> Move:
        """Return the move that writes the ending down."""
        changes: dict[str, Any] = {"updated_at": now, "finished_at": now, "error": self.why}
        match self.how:
            case How.BY_US | How.THROWN:
                cleared = {"error_type": None, "error_fp": None} if isinstance(outcome, Failure) else {}
                thrown = self.how is How.THROWN
                return Move(task.id, Event.ENDED_BY_US, task.epoch, changes={**changes, **cleared}, thrown=thrown)
            case How.OTHERWISE:
                return Move(task.id, Event.GONE, task.epoch, changes=changes)
            case How.UNTOLD:
                return Move(task.id, Event.END_UNKNOWN, task.epoch, changes=changes)
            case _:
                assert_never(self.how)


_OURS: Final = Ending(How.BY_US)
_FAILURE_THROWN: Final = Ending(How.THROWN, FAILURE_AS_ERROR)
_COMPLETION_THROWN: Final = Ending(How.THROWN, COMPLETION_AS_ERROR)
_GONE: Final = Ending(How.OTHERWISE, GONE)
_DELETED: Final = Ending(How.UNTOLD, DELETED)


class Endings:
    """Asks the engine's history how a task ended.

    The external task log is asked first; history level `full` keeps it. The activity's history is next, from level
    `activity` on. Where the engine refuses both, the ending is UNTOLD.
    """

    def __init__(
        self, engine: Engine, error_events: ErrorEventDefinitions, clock: Clock, replicas: Replicas | None = None
    ) -> None:
        self._engine = engine
        self._error_events = error_events
        self._clock = clock
        self._replicas = replicas

    async def after_answer(self, task: Task, outcome: Outcome) -> Ending | None:
        """Return how the engine ended a task after a 204, where the outcome does not say so; else None.

        The model may throw a BPMN error in place of a failure or a completion; the engine answers 204 all the same.
        After a failure the engine is asked for the task, which exists unless an error was thrown. After a completion
        the history is asked, where the activity has an errorEventDefinition. Raises `EngineUnavailable` and
        `EngineRejected`.
        """
        match outcome:
            case Completion():
                if await self._error_events.may_throw(task) and await self._was_deleted(task):
                    return _COMPLETION_THROWN
            case Failure():
                try:
                    await self._engine.get(task.id)
                except TaskGone:
                    ending = await self.find_ending(task, outcome)
                    return None if ending.how is How.OTHERWISE else ending
            case BpmnFault():
                pass
            case _:
                assert_never(outcome)
        return None

    async def find_ending(self, task: Task, outcome: Outcome) -> Ending:
        """Return how the task ended, after the answer to `outcome` was lost. Raises `EngineUnavailable`."""
        last = await self._last_line(task)
        activity = await self._activity(task) if last is None else None
        deleted = _GONE
        if isinstance(outcome, Completion) and await self._error_events.may_throw(task):
            deleted = _DELETED
        if last is not None:
            return _by_log(last, outcome, deleted) if await self._is_ours(last.worker_id, task) else _GONE
        return Ending(How.UNTOLD, UNTOLD) if activity is None else _by_activity(activity, task, outcome, deleted)

    async def _is_ours(self, worker_id: str | None, task: Task) -> bool:
        """Return whether a worker id is the task's own, or belongs to an earlier lease of any replica.

        The outcome is kept over leases: a delivery under an earlier lease may reach the engine after the next began.
        Raises `StoreError`.
        """
        if worker_id == task.worker_id:
            return True
        replica = None if worker_id is None else replica_of(worker_id)
        if replica is None or self._replicas is None:
            return False
        return any(known.id == replica for known in await self._replicas.replicas(self._clock.now() - KEPT))

    async def _was_deleted(self, task: Task) -> bool:
        """Return whether the engine deleted a task instead of completing it; False where the history has no answer."""
        if (last := await self._last_line(task)) is not None:
            return last.deleted
        activity = await self._activity(task)
        return activity is not None and activity.cancelled

    async def _last_line(self, task: Task) -> EngineLogEntry | None:
        """Return the log entry of the task's end; None where there is none or the engine refuses to tell."""
        try:
            log = await self._engine.history(task.id)
        except EngineRejected:
            return None
        return log[-1] if log and (log[-1].succeeded or log[-1].deleted) else None

    async def _activity(self, task: Task) -> EngineActivity | None:
        if task.activity_instance_id is None:
            return None
        try:
            return await self._engine.activity(task.activity_instance_id)
        except EngineRejected:
            return None


def _by_log(last: EngineLogEntry, outcome: Outcome, deleted: Ending) -> Ending:
    """Decide by the log entry of an end under our lock; `deleted` is the ending of a completion that was deleted."""
    if last.succeeded:
        return _OURS
    match outcome:
        case BpmnFault():
            # The engine logs a thrown BPMN error only as a deletion by the holder of the lock.
            return _OURS
        case Failure(retries=retries):
            # The task was deleted in place of the failure: a failure that is taken sets the retries first.
            return _FAILURE_THROWN if last.retries != retries else _GONE
        case Completion():
            return deleted
        case _:
            assert_never(outcome)


def _by_activity(activity: EngineActivity, task: Task, outcome: Outcome, deleted: Ending) -> Ending:
    """Decide by the activity, whose history names no worker: while our lock held no other worker ended it."""
    if activity.cancelled:
        return deleted if isinstance(outcome, Completion) else Ending(How.UNTOLD, INTERRUPTED)
    if activity.ended_at is None or activity.ended_at > task.lease_until:
        return Ending(How.UNTOLD, BY_SOMEBODY)
    return _FAILURE_THROWN if isinstance(outcome, Failure) else _OURS
