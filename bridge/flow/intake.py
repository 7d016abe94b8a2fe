"""From the engine into the store: a fetched lease becomes a task, or gives a known task its new lease."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from bridge.domain.errors import EngineError, StoreUnavailable, TaskTooLarge
from bridge.domain.lifecycle import Event, Move, leased_by, shows_failure
from bridge.domain.task import State, Task
from bridge.domain.trace_context import traced
from bridge.flow.deliver.deliver import OutcomeDelivery
from bridge.flow.edit_check import EditCheck
from bridge.flow.relay import Relay
from bridge.ports.clock import Clock
from bridge.ports.engine import Engine, EngineTask
from bridge.ports.journal import Journal, Level
from bridge.ports.store import TaskStore
from bridge.ports.tracer import NoTracer, Tracer
from bridge.registry import Registry
from bridge.runtime.batch import flush_each

_FEWER: Final = "fetch fewer variables by `variables=` of the topic, or keep large values outside the process"


Admit = Callable[[Collection[str]], Awaitable[None]]
"""Raises `EngineChanged` where another engine has the tasks of these process definitions."""


async def _admit_any(_: Collection[str]) -> None: ...


class Intake:
    """Keeps leases as tasks, and returns once each is stored, so that a later failure can't lose them."""

    def __init__(
        self,
        *,
        engine: Engine,
        store: TaskStore,
        relay: Relay,
        delivery: OutcomeDelivery,
        topics: Registry,
        clock: Clock,
        journal: Journal,
        replica: str,
        retry_limit: int,
        publish_within: timedelta,
        edits: EditCheck,
        admit: Admit = _admit_any,
        tracer: Tracer = NoTracer(),
    ) -> None:
        self._engine = engine
        self._store = store
        self._relay = relay
        self._delivery = delivery
        self._topics = topics
        self._clock = clock
        self._journal = journal
        self._replica = replica
        self._retry_limit = retry_limit
        self._publish_within = publish_within
        self._edits = edits
        self._admit = admit
        self._tracer = tracer

    async def accept(self, leases: Sequence[EngineTask], worker_id: str, lease_until: datetime) -> None:
        """Store the leases and hand them on, but those that ran out meanwhile: another worker may hold their tasks."""
        now = self._clock.now()
        if lease_until <= now:
            self._journal.write("leases_expired", level=Level.WARNING, tasks=len(leases), worker_id=worker_id)
            return
        await self._admit({lease.process_definition_id for lease in leases if lease.process_definition_id is not None})
        await self.keep([self._task(lease, worker_id, lease_until, now) for lease in leases])

    async def keep(self, tasks: Sequence[Task]) -> None:
        """Store tasks and publish them; a task that comes back with an undelivered outcome is delivered instead.

        A task that can't be stored becomes an incident, and doesn't hold up the others. Raises `StoreUnavailable`.
        """
        if not tasks:
            return
        kept = await flush_each(self._store.accept, tasks)
        faults = [(task, end) for task, end in zip(tasks, kept, strict=True) if isinstance(end, Exception)]
        for _, fault in faults:
            if isinstance(fault, StoreUnavailable):
                raise fault
        present = [end for end in kept if isinstance(end, Task)]
        refused = [task.id for task, end in zip(tasks, kept, strict=True) if end is None]
        if refused:
            self._journal.write("leases_refused", level=Level.WARNING, tasks=refused)
        new = Counter(task.topic for task in present if task.epoch == 1)
        if new:
            self._journal.write("tasks_received", level=Level.DEBUG, topics=dict(new))
        self._tell_of_known(tasks, kept)
        taken = [
            end for task, end in zip(tasks, kept, strict=True) if isinstance(end, Task) and shows_failure(task, end)
        ]
        for task in present:
            if task.state is State.REPORTING and task not in taken:
                self._delivery.put(task)
        received = [task for task in present if task.state is State.RECEIVED]
        # Before the handler can run again: the end of that run is shown together with the edit that did not arrive.
        await self._edits.check(present)
        await self._relay.publish([*received, *await self._run_again(taken)])
        for task, fault in faults:
            await self._refuse(task, fault)

    async def _run_again(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """Let tasks run again whose failure the engine has; return them with their new state.

        A fetch may be faster than the write that records the engine's confirmation: the failure is not sent again.
        """
        if not tasks:
            return []
        now = self._clock.now()
        changes = {"next_at": now + self._publish_within, "updated_at": now}
        moves = [traced(task, Move(task.id, Event.FAILURE_TAKEN, task.epoch, changes=changes)) for task in tasks]
        again = []
        for task, move, happened in zip(tasks, moves, await self._store.move(moves), strict=True):
            self._journal.write("failure_taken", task=task, kept=happened)
            if happened:
                self._tracer.settled(task, move)
                again.append(task.changed(state=State.RECEIVED, outcome=None, **move.changes))
        return again

    def _tell_of_known(self, leases: Sequence[Task], kept: Sequence[object]) -> None:
        """Log leases on tasks that had ended, and ids that the engine uses for other tasks now."""
        for lease, task in zip(leases, kept, strict=True):
            if not isinstance(task, Task):
                continue
            match leased_by(task, lease):
                case Event.REPLACE:
                    self._journal.write("task_replaced", task=task, level=Level.WARNING)
                case Event.REOPEN:
                    self._journal.write("task_reopened", task=task, level=Level.WARNING, why=task.history[-1].message)
                case _:
                    pass

    def _task(self, lease: EngineTask, worker_id: str, lease_until: datetime, now: datetime) -> Task:
        fresh = self._topics[lease.topic].retry_limit(self._retry_limit)
        return Task(
            id=lease.id,
            topic=lease.topic,
            worker_id=worker_id,
            lease_until=lease_until,
            created_at=now,
            updated_at=now,
            # null in the engine means "never failed"; a number there counts this run too
            retries=fresh if lease.retries is None else max(0, lease.retries - 1),
            variables=lease.variables,
            next_at=now + self._publish_within,
            business_key=lease.business_key,
            process_instance_id=lease.process_instance_id,
            process_definition_key=lease.process_definition_key,
            process_definition_id=lease.process_definition_id,
            activity_id=lease.activity_id,
            activity_instance_id=lease.activity_instance_id,
            execution_id=lease.execution_id,
            tenant_id=lease.tenant_id,
            priority=lease.priority,
            engine_created_at=lease.created_at,
            properties=lease.properties or None,
            replica=self._replica,
            trace=self._tracer.begin(lease.id, lease.variables),
        )

    async def _refuse(self, task: Task, fault: Exception) -> None:
        """Raise an incident for a task that can't be stored; if that fails the lock ends, and the task comes again."""
        message = f"{fault}; {_FEWER}" if isinstance(fault, TaskTooLarge) else str(fault)
        self._journal.write("task_refused", task=task, level=Level.ERROR, error=message)
        try:
            await self._engine.fail(
                task.id,
                task.worker_id,
                message=message,
                details=type(fault).__name__,
                retries=0,
                retry_timeout=timedelta(0),
            )
        except EngineError as failure:
            self._journal.write("incident_not_raised", task=task, level=Level.WARNING, error=str(failure))
