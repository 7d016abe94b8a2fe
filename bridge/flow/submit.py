"""The second way in: a task that its submitter locked in the engine, or that is free, handed over by HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, ParamSpec, TypeVar

from bridge.domain.errors import (
    EngineError,
    EngineForbidden,
    EngineRejected,
    EngineUnavailable,
    LeaseLost,
    Refusal,
    TaskConflict,
    TaskGone,
    TaskTooLarge,
    TopicNotWorked,
    UnacceptableTask,
    UnknownTask,
    VariableError,
)
from bridge.domain.lifecycle import Event, Move, lease_anew, refetch
from bridge.domain.messages import Message, message
from bridge.domain.submission import LARGE, Submission, fingerprint
from bridge.domain.task import FINAL, Source, State, Task, Variables
from bridge.domain.topic import Topic
from bridge.domain.variables import parse_submitted
from bridge.flow.lease import Lease
from bridge.flow.relay import Relay
from bridge.flow.scope import read_inputs
from bridge.ports.clock import Clock
from bridge.ports.engine import Engine, EngineTask
from bridge.ports.journal import Journal, Level
from bridge.ports.store import TaskStore
from bridge.ports.tracer import NoTracer, Tracer
from bridge.runtime.batch import Batch
from bridge.runtime.own_threads import OwnThreads

P = ParamSpec("P")
T = TypeVar("T")
Kept = TypeVar("Kept", Task, EngineTask)

MOST_RACES: Final = 5
"""How often a call is repeated that the engine refused because of another transaction on the task."""
RACE_DELAY: Final = timedelta(milliseconds=20)

_FROM_ENGINE: Final = (
    "verified", "lease_until", "variables", "business_key", "process_instance_id", "retries",
    "process_definition_key", "process_definition_id", "activity_id", "activity_instance_id", "execution_id",
    "tenant_id", "priority", "engine_created_at", "properties",
)  # fmt: skip


class Submit:
    """Keeps submissions as tasks. Their fencing token is the submitter's worker id.

    Submissions that come together ask the store and the engine together.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        store: TaskStore,
        relay: Relay,
        lease: Lease,
        topics: Mapping[str, Topic[Any, Any]],
        clock: Clock,
        journal: Journal,
        retry_limit: int,
        publish_within: timedelta,
        size_of: Callable[[Task], int],
        size_limit: int,
        replica: str,
        tracer: Tracer = NoTracer(),
    ) -> None:
        self._engine = engine
        self._store = store
        self._relay = relay
        self._lease = lease
        self._topics = topics
        self._clock = clock
        self._journal = journal
        self._retry_limit = retry_limit
        self._publish_within = publish_within
        self._size_of = size_of
        self._size_limit = size_limit
        self._replica = replica
        self._tracer = tracer
        self._threads = OwnThreads("submission", 2)
        self._known: Batch[str, Task | None] = Batch(lambda ids: _by_id(store.get_many, ids), limit=100)
        self._described_as: Batch[str, EngineTask | None] = Batch(lambda ids: _by_id(engine.get_many, ids), limit=100)
        self._accepted: Batch[Task, Task | None] = Batch(store.accept, alone=self._accept_again, limit=100)

    async def submit(self, submission: Submission) -> Task:
        """Store the task and return it; the same submission again gets the same task.

        Raises `UnknownTask`, `TaskConflict`, `UnacceptableTask`, `VariableError`, `TaskTooLarge`, `StoreUnavailable`.
        While the engine is away the task is stored unchecked, and is checked before it is published.
        """
        with self._tracer.submission(submission) as traced:
            return await self._submit(traced)

    async def _submit(self, submission: Submission) -> Task:
        if submission.topic not in self._topics:
            raise TopicNotWorked(submission.topic, self._topics)
        given, mark = await self._work(submission, _read, submission)
        known_task = await self._known.put(submission.task_id)
        if known_task is not None and await self._stands(known_task, submission.topic):
            return _same(known_task, mark)
        try:
            task = await self._checked(self._task(submission, given, mark))
        except (EngineError, Refusal):
            # The same submission may have come twice at once, and the other may be stored, or even worked, by now.
            raced = await self._store.get(submission.task_id)
            if raced is None or raced.state is State.SUPERSEDED or raced.topic != submission.topic:
                raise
            return _same(raced, mark)
        await self._work(submission, self._measure, task)
        if known_task is not None:
            if known_task.topic != task.topic and not task.verified:
                raise _unknown(task.id, task.topic)
            return await self._give_new_lease(known_task, task, mark)
        kept = await self._accepted.put(task)
        if kept is None:
            raced = await self._store.get(task.id)
            if raced is None:
                raise TaskConflict(message("submission.ended", task=task.id))
            if raced.topic != task.topic:
                raise _unknown(task.id, task.topic)
            return _same(raced, mark)
        self._journal.write("submission_accepted", task=kept, level=Level.DEBUG)
        if kept.verified:
            self._relay.put(kept)
        return kept

    async def _stands(self, known: Task, topic: str) -> bool:
        """Return whether the stored task is the submission's own; where it has ended, the engine is asked as well."""
        if known.topic != topic or known.state is State.SUPERSEDED:
            return False
        if known.state not in FINAL:
            return True
        try:
            return await self._described_as.put(known.id) is None
        except EngineError:
            return True

    async def _accept_again(self, task: Task) -> Task | None:
        (kept,) = await self._store.accept([task])
        if kept is not None:
            return kept
        found = await self._store.get(task.id)
        ours = found is not None and found.state is State.RECEIVED and found.fingerprint == task.fingerprint
        return found if ours else None

    async def check_late(self, task: Task) -> Task | None:
        """Check a task that was stored unchecked; None where it must not be worked, or not yet."""
        try:
            checked = await self._ask_late(task)
            # A task that the store would refuse must not hold up other due tasks.
            self._measure(checked)
        except EngineError as error:
            self._journal.write("submission_unchecked", task=task, level=Level.WARNING, error=str(error))
            await self._postpone(task)
            return None
        except (UnknownTask, TaskConflict, UnacceptableTask, TaskTooLarge, VariableError) as refusal:
            event = Event.GONE if isinstance(refusal, UnknownTask) else Event.SUPERSEDE
            now = self._clock.now()
            changes = {"error": refusal.message, "updated_at": now, "finished_at": now}
            await self._store.move([Move(task.id, event, task.epoch, changes=changes)])
            self._journal.write("submission_refused", task=task, level=Level.WARNING, error=str(refusal))
            return None
        changes = {name: getattr(checked, name) for name in _FROM_ENGINE}
        (happened,) = await self._store.move([Move(task.id, Event.RENEW, task.epoch, changes=changes)])
        return checked if happened else None

    async def _ask_late(self, task: Task) -> Task:
        try:
            return await self._ask(task)
        except UnknownTask:
            # A list without the task is no proof: the task's row may be unreadable.
            with suppress(TaskGone):
                await self._engine.get(task.id)
            raise

    async def _postpone(self, task: Task) -> None:
        later = self._clock.now() + self._publish_within
        await self._store.move([Move(task.id, Event.RENEW, task.epoch, changes={"next_at": later})])

    async def _work(self, submission: Submission, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the function returns; what it works of a large submission must not hold up the event loop."""
        if submission.size <= LARGE:
            return function(*args, **kwargs)
        return await self._threads.run(function, *args, **kwargs)

    def _measure(self, task: Task) -> None:
        """Raise `TaskTooLarge` for a task too large to be stored, `VariableError` where its size is not known."""
        size = self._size_of(task)
        if size > self._size_limit:
            raise TaskTooLarge(message("submission.size", size=size, most=self._size_limit))

    async def _give_new_lease(self, known: Task, task: Task, mark: str) -> Task:
        """Give a known task its new lease: its submitter holds it (again), or the engine uses the id for another task.

        From now on it is this submission's task. Of several submissions at once only the first gives a lease, by epoch.
        """
        lease = lease_anew(known, task) or replace(refetch(task), epoch=known.epoch)
        own = {"source": task.source, "fingerprint": mark, "given": task.given, "verified": task.verified}
        (happened,) = await self._store.move([replace(lease, changes={**lease.changes, **own})])
        now = await self._store.get(known.id)
        if now is None:
            raise TaskConflict(message("submission.changed", task=known.id))
        if not happened:
            return _same(now, mark)
        if now.state is State.RECEIVED and now.verified:
            self._relay.put(now)
        return now

    async def _checked(self, task: Task) -> Task:
        """Return the task as the engine has it; unverified where the engine is away, to be checked before it is run."""
        for race in range(1, MOST_RACES + 1):
            try:
                return await self._ask(task)
            except EngineUnavailable as error:
                reason = str(error)
                break
            except EngineRejected as error:
                if not error.transient:
                    raise
                # Two transactions met at the task, as when the same submission comes twice at once.
                reason = str(error)
                await asyncio.sleep(RACE_DELAY.total_seconds() * race)
        self._journal.write("submission_unchecked", task=task, level=Level.WARNING, error=reason)
        return task.changed(verified=False)

    async def _ask(self, task: Task) -> Task:
        """Make sure that the engine has the task, with its topic and under its worker id; lock it if it is free."""
        asked_at = self._clock.now()
        found = await self._described_as.put(task.id)
        if found is None or found.topic != task.topic:
            # A submitter must not learn whether the task exists under another topic.
            raise _unknown(task.id, task.topic)
        if found.suspended:
            raise TaskConflict(message("submission.suspended", task=task.id))
        if found.retries == 0:
            raise TaskConflict(message("submission.no_retries", task=task.id))
        return await self._described(task, found, await self._lock(task, found, asked_at))

    async def _lock(self, task: Task, found: EngineTask, asked_at: datetime) -> datetime:
        """Return until when the lock holds: the submitter's own where that is fresh, else a new one."""
        if found.worker_id == task.worker_id and found.held_for is not None:
            until = self._lease.reported_expiry(task.topic, found.held_for, asked_at)
            if not self._lease.needs_renewal(task, until):
                return until
        asked_at = self._clock.now()
        try:
            await self._engine.lock(task.id, task.worker_id, self._lease.duration(task.topic))
        except TaskGone as error:
            raise UnknownTask(message("submission.gone", task=task.id)) from error
        except LeaseLost as error:
            raise TaskConflict(_locked(task, found)) from error
        return self._lease.expiry(task.topic, asked_at)

    async def _described(self, task: Task, found: EngineTask, lease_until: datetime) -> Task:
        variables: Variables = {}
        if not task.given and found.process_instance_id is not None:
            try:
                scope = found.execution_id or found.process_instance_id
                variables = await read_inputs(self._engine, self._topics[task.topic], scope)
            except TaskGone as error:
                raise UnknownTask(message("submission.execution_ended", task=task.id)) from error
            except EngineForbidden:
                raise
            except EngineRejected as error:
                text = message("submission.variables", task=task.id, error=error.message)
                raise UnacceptableTask(text) from error
        return task.changed(
            variables=variables,
            verified=True,
            lease_until=lease_until,
            retries=self._left(task.topic) if found.retries is None else max(0, found.retries - 1),
            business_key=found.business_key,
            process_instance_id=found.process_instance_id,
            process_definition_key=found.process_definition_key,
            process_definition_id=found.process_definition_id,
            activity_id=found.activity_id,
            activity_instance_id=found.activity_instance_id,
            execution_id=found.execution_id,
            tenant_id=found.tenant_id,
            priority=found.priority,
            engine_created_at=found.created_at,
            properties=found.properties or None,
        )

    def _task(self, submission: Submission, variables: Variables, mark: str) -> Task:
        now = self._clock.now()
        return Task(
            id=submission.task_id,
            topic=submission.topic,
            worker_id=submission.worker_id,
            lease_until=now,
            created_at=now,
            updated_at=now,
            retries=self._left(submission.topic),
            given=variables,
            source=Source.PUSHED,
            next_at=now + self._publish_within,
            fingerprint=mark,
            replica=self._replica,
            trace=self._tracer.begin(submission.task_id, variables, submission.trace),
        )

    def _left(self, topic: str) -> int:
        return self._topics[topic].retry_limit(self._retry_limit)


async def _by_id(read: Callable[[Sequence[str]], Awaitable[Sequence[Kept]]], ids: Sequence[str]) -> list[Kept | None]:
    """Read the tasks of these ids, each once; return them in the order of the ids, None for an unknown id."""
    found = {task.id: task for task in await read(list(set(ids)))}
    return [found.get(task_id) for task_id in ids]


def _unknown(task_id: str, topic: str) -> UnknownTask:
    return UnknownTask(message("submission.unknown", task=task_id, topic=repr(topic)))


def _locked(task: Task, found: EngineTask) -> Message:
    workers = {"holder": repr(found.worker_id), "worker": repr(task.worker_id)}
    if found.lock_until is None:
        return message("submission.locked", task=task.id, **workers)
    return message("submission.locked_until", task=task.id, until=found.lock_until.isoformat(), **workers)


def _same(known: Task, mark: str) -> Task:
    if known.source is Source.POLLED:
        raise TaskConflict(message("submission.fetched", task=known.id))
    if known.fingerprint != mark:
        raise TaskConflict(message("submission.another_body", task=known.id))
    return known


def _read(submission: Submission) -> tuple[Variables, str]:
    """Return the variables and the fingerprint. Raises `VariableError`."""
    return parse_submitted(submission.variables), fingerprint(submission)
