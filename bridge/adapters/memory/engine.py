"""An engine that keeps external tasks in this process: for tests, and for trying a topic without any server."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from bridge.adapters.memory.backlog import oldest_of, open_tasks
from bridge.adapters.memory.external_tasks import ExternalTasks
from bridge.adapters.memory.faults import Fault, Faults, Operation
from bridge.adapters.memory.history import History, HistoryLevel
from bridge.adapters.memory.models import ACTIVITY, ErrorWhen, Models
from bridge.adapters.memory.news import News
from bridge.adapters.memory.refusals import FILE_TYPES, MESSAGE_LIMIT, refuse_lock, refuse_variables, rejected
from bridge.adapters.memory.scopes import Scopes, has_any, without_files
from bridge.domain.engine_product import EngineProduct
from bridge.domain.errors import TaskGone, VariableError
from bridge.domain.rights import ANY, MissingRight, Right
from bridge.domain.task import BpmnFault, Completion, Failure, Outcome, TypedValue, Variables
from bridge.domain.topic import File
from bridge.domain.variables import STRING_LIMIT, decode, long_text_as_object
from bridge.ports.clock import Clock
from bridge.ports.engine import EngineActivity, EngineLogEntry, EngineTask, TopicPoll


@dataclass(frozen=True, slots=True)
class Report:
    """An outcome that the engine accepted, and from whom."""

    task_id: str
    worker_id: str
    outcome: Outcome


class MemoryEngine:
    """`ports.engine.Engine` on a dictionary, with the status codes of Camunda 7.24 (`tests/contract/test_engine.py`).

    Locks expire by `clock`; only a poll's own waiting takes real time. As in the real engine a waiting poll is woken
    by a new task and by `unlock`, but learns of an expired lock only when its time is up.

    `reports` has every accepted outcome in order. `variables` has, by process instance, what it was started with and
    what completions and BPMN errors added. Each task has a scope of its own within its process instance.
    """

    def __init__(self, clock: Clock) -> None:
        self.reports: list[Report] = []
        self._scopes = Scopes()
        self.variables = self._scopes.instances
        self._clock = clock
        self._tasks = ExternalTasks(clock)
        self._models = Models()
        self._history = History()
        self._faults = Faults()
        self._news = News()

    @property
    def lacking(self) -> set[Right]:
        """The rights that the user hasn't: none, where all is well."""
        return self._tasks.lacking

    @lacking.setter
    def lacking(self, rights: set[Right]) -> None:
        self._tasks.lacking = rights

    def add(
        self,
        topic: str,
        variables: Variables | None = None,
        *,
        business_key: str | None = None,
        retries: int | None = None,
        priority: int = 0,
        process_definition_key: str = "process",
        tenant_id: str | None = None,
        version_tag: str | None = None,
        properties: Mapping[str, str] | None = None,
        local: Variables | None = None,
        on_another_node: bool = False,
        error_when: ErrorWhen | None = None,
    ) -> str:
        """Start a process instance that waits at an external task; return the task's id.

        `local` is what the activity's input mappings set in the task's own scope. Made `on_another_node` of the same
        engine, it wakes no poll that waits at this one. `error_when` is the condition of its errorEventDefinition.
        """
        (task_id,) = self.add_each(
            topic, variables, [local or {}], business_key=business_key, retries=retries, priority=priority,
            process_definition_key=process_definition_key, tenant_id=tenant_id, version_tag=version_tag,
            properties=properties, on_another_node=on_another_node, error_when=error_when,
        )  # fmt: skip
        return task_id

    def add_each(
        self, topic: str, variables: Variables | None, locals_: Sequence[Variables], *, is_multi_instance: bool = False,
        retries: int | None = None, version_tag: str | None = None, process_definition_key: str = "process",
        on_another_node: bool = False, error_when: ErrorWhen | None = None,
        **fields: Any,
    ) -> Sequence[str]:  # fmt: skip
        """Start a process instance with a task for each of `locals_`, which is its own scope; return the tasks' ids.

        Those of a multi-instance activity stand each in the scope of an element, with its `loopCounter`.
        """
        instance = str(uuid4())
        self.variables[instance] = dict(variables or {})
        definition = self._models.deploy(process_definition_key, version_tag, error_when)
        ids = []
        for number, local in enumerate(locals_):
            counter = {"loopCounter": TypedValue("Integer", number)}
            outer = self._scopes.open(instance, counter) if is_multi_instance else instance
            task = EngineTask(
                id=str(uuid4()), topic=topic, worker_id=None, lock_until=None, retries=retries,
                process_instance_id=instance, process_definition_key=process_definition_key,
                process_definition_id=definition, activity_id=ACTIVITY, activity_instance_id=f"{ACTIVITY}:{uuid4()}",
                execution_id=self._scopes.open(outer, local), created_at=self._clock.now(), **fields,
            )  # fmt: skip
            self._tasks.add(task)
            self._history.created(task, self._clock.now())
            ids.append(task.id)
        if not on_another_node:
            self._news.tell()
        return ids

    def cancel(self, task_id: str) -> None:
        """Delete the task's process instance, as an operator would."""
        self._end(self._tasks.find(task_id), interrupted=True)

    def keep_history(self, level: HistoryLevel) -> None:
        """Tell no more of what ended than the level has; `NONE` as well to a user without rights."""
        self._history.level = level

    def suspend(self, task_id: str, suspended: bool = True) -> None:
        """Suspend the task's process instance, or activate it again."""
        self._tasks.change(task_id, suspended=suspended)
        self._news.tell()

    def fail_next(self, operation: Operation, error: BaseException, *, after: bool = False) -> None:
        """Let the next call of `operation` raise `error`: instead of its effect, or `after` it (the answer is lost)."""
        self._faults.waiting[operation].append(Fault(error, after))

    def incidents(self) -> Sequence[EngineTask]:
        """Return the tasks that wait for an operator, having no retries left."""
        return [task for task in self._tasks.all() if task.retries == 0]

    async def open(self) -> None:
        """Do nothing; the real engine's client has connections to make."""

    async def close(self) -> None:
        """Do nothing; the real engine's client has connections to close."""

    async def fetch_and_lock(
        self, worker_id: str, max_tasks: int, topics: Sequence[TopicPoll], wait: timedelta
    ) -> Sequence[EngineTask]:
        lost = self._faults.before("fetch")
        if any(poll.lock <= timedelta(0) for poll in topics):
            raise rejected(500, "lockTime is not greater than 0")
        found = self._lock_next(worker_id, max_tasks, topics)
        if not found and wait > timedelta(0):
            await self._await_news(wait, topics)
            found = self._lock_next(worker_id, max_tasks, topics)
        if lost is not None:
            raise lost
        return found

    async def complete(self, task_id: str, worker_id: str, variables: Variables) -> None:
        lost = self._faults.before("complete")
        task = self._tasks.held(task_id, worker_id)
        self._store(task.execution_id or "", variables)
        throws = self._throws(task, variables, None)
        self._end(task, succeeded=not throws, interrupted=throws)
        self._accept(task_id, worker_id, Completion(variables), lost)

    async def fail(
        self, task_id: str, worker_id: str, *, message: str, details: str, retries: int, retry_timeout: timedelta
    ) -> None:
        lost = self._faults.before("fail")
        if retries < 0 or retry_timeout < timedelta(0):
            raise rejected(500, "retries or retryDuration is not greater than or equal to 0")
        task = self._tasks.held(task_id, worker_id)
        if self._throws(task, {}, details):
            self._end(task, interrupted=True)
        else:
            self._history.failed(task, self._clock.now(), message[:MESSAGE_LIMIT])
            until = self._clock.now() + retry_timeout
            self._tasks.change(task_id, retries=retries, lock_until=until, error=message[:MESSAGE_LIMIT])
        self._accept(task_id, worker_id, Failure("", message, details, retries, retry_timeout), lost)

    async def raise_bpmn_error(
        self, task_id: str, worker_id: str, *, code: str, message: str, variables: Variables
    ) -> None:
        lost = self._faults.before("bpmn_error")
        if not code:
            raise rejected(500, "errorCode is null")
        task = self._tasks.held(task_id, worker_id)
        self._store(task.execution_id or "", variables)
        self._end(task, interrupted=True)
        self._accept(task_id, worker_id, BpmnFault(code, message, variables), lost)

    async def lock(self, task_id: str, worker_id: str, duration: timedelta) -> None:
        lost = self._faults.before("lock")
        task = self._tasks.find(task_id)
        self._tasks.require(Right.UPDATE)
        if duration <= timedelta(0):
            refuse_lock("lockDuration is not greater than 0")
        if task.worker_id not in {None, worker_id} and self._tasks.is_locked(task):
            refuse_lock(f"External Task {task_id} cannot be locked by worker '{worker_id}'. Another worker holds it.")
        self._tasks.change(task_id, worker_id=worker_id, lock_until=self._clock.now() + duration)
        _raise(lost)

    async def extend_lock(self, task_id: str, worker_id: str, duration: timedelta) -> None:
        lost = self._faults.before("extend_lock")
        task = self._tasks.held(task_id, worker_id)
        if duration <= timedelta(0) or not self._tasks.is_locked(task):
            refuse_lock(f"The lock of the External Task {task_id} cannot be extended.")
        self._tasks.change(task_id, lock_until=self._clock.now() + duration)
        _raise(lost)

    async def unlock(self, task_id: str) -> None:
        lost = self._faults.before("unlock")
        self._tasks.find(task_id)
        self._tasks.require(Right.UPDATE)
        self._tasks.change(task_id, worker_id=None, lock_until=None)
        self._news.tell()
        _raise(lost)

    async def set_retries(self, task_id: str, retries: int) -> None:
        lost = self._faults.before("set_retries")
        self._tasks.find(task_id)
        self._tasks.require(Right.UPDATE)
        if retries < 0:
            raise rejected(400, "The number of retries cannot be negative", "BadUserRequestException")
        self._tasks.change(task_id, retries=retries)
        _raise(lost)

    async def get(self, task_id: str) -> EngineTask:
        _raise(self._faults.before("get"))
        found = self._tasks.find(task_id)
        self._tasks.require(Right.READ)
        return replace(found, properties=None)

    async def get_many(self, task_ids: Sequence[str]) -> Sequence[EngineTask]:
        _raise(self._faults.before("get_many"))
        now = self._clock.now()
        found = [task for task in map(self._tasks.visible().get, task_ids) if task is not None]
        ends = [task.lock_until for task in found]
        return [
            replace(task, properties=None, held_for=None if end is None or end <= now else end - now)
            for task, end in zip(found, ends, strict=True)
        ]

    async def read_variables(self, execution_id: str, *, local: bool = False) -> Variables:
        _raise(self._faults.before("read_variables"))
        self._check_runs(execution_id)
        return without_files(self._scopes.seen(execution_id, local=local))

    async def set_variables(self, execution_id: str, variables: Variables) -> None:
        lost = self._faults.before("set_variables")
        self._check_runs(execution_id)
        self._store(execution_id, variables)
        _raise(lost)

    async def read_file(self, execution_id: str, variable: str) -> bytes:
        _raise(self._faults.before("read_file"))
        self._check_runs(execution_id)
        found = self._scopes.seen(execution_id).get(variable)
        if found is None or found.type not in FILE_TYPES:
            raise VariableError(f"variable {variable!r}: there is no such file in the execution")
        content = decode({variable: found})[variable]
        return (content.content or b"") if isinstance(content, File) else bytes(content)

    async def locked_by(self, worker_id: str) -> Sequence[EngineTask]:
        _raise(self._faults.before("locked_by"))
        return [
            task
            for task in self._tasks.visible().values()
            if task.worker_id == worker_id and self._tasks.is_locked(task)
        ]

    async def count(self, topic: str | None = None, *, workable: bool = False) -> int:
        """Count the open external tasks, as the port says."""
        _raise(self._faults.before("count"))
        return len(open_tasks(self._tasks.visible().values(), topic, workable=workable))

    async def topic_names(self) -> Sequence[str]:
        _raise(self._faults.before("topic_names"))
        return sorted({task.topic for task in self._tasks.visible().values() if task.retries != 0})

    async def oldest(self, topic: str) -> datetime | None:
        _raise(self._faults.before("oldest"))
        found = open_tasks(self._tasks.visible().values(), topic, workable=True)
        return oldest_of(task for task in found if not self._tasks.is_locked(task))

    async def history(self, task_id: str) -> Sequence[EngineLogEntry]:
        """Return the task's log, oldest first."""
        _raise(self._faults.before("history"))
        return () if Right.HISTORY in self.lacking else self._history.log(task_id)

    async def activity(self, activity_instance_id: str) -> EngineActivity | None:
        _raise(self._faults.before("activity"))
        return None if Right.HISTORY in self.lacking else self._history.activity(activity_instance_id)

    async def throwing_activities(self, process_definition_id: str) -> Collection[str]:
        _raise(self._faults.before("throwing_activities"))
        found = self._models.throwing_activities(process_definition_id)
        if found is None:
            raise rejected(404, f"No matching definition with id {process_definition_id}", "InvalidRequestException")
        return found

    async def version(self) -> str:
        _raise(self._faults.before("version"))
        return "memory"

    async def product(self) -> EngineProduct:
        _raise(self._faults.before("product"))
        return EngineProduct(version="memory")

    async def written_moments(self) -> Sequence[datetime]:
        _raise(self._faults.before("written_moments"))
        return [self._clock.now()]

    async def keeps_log(self) -> bool | None:
        _raise(self._faults.before("keeps_log"))
        return Right.HISTORY not in self.lacking if self._tasks.visible() else None

    async def missing_rights(self, definitions: Collection[str] = ()) -> Sequence[MissingRight]:
        _raise(self._faults.before("missing_rights"))
        return [MissingRight(right, key) for right in Right if right in self.lacking for key in definitions or (ANY,)]

    def _check_runs(self, execution_id: str) -> None:
        runs = any(task.process_instance_id == execution_id for task in self._tasks.all())
        if not runs and execution_id not in self._scopes:
            raise TaskGone(f"execution {execution_id} doesn't exist", status=500, kind="NullValueException")

    def _lock_next(self, worker_id: str, max_tasks: int, topics: Sequence[TopicPoll]) -> Sequence[EngineTask]:
        ready = [(task, poll) for task in self._tasks.all() for poll in topics if self._is_ready(task, poll)]
        ready.sort(key=lambda pair: -pair[0].priority)
        return [self._lock_one(task, poll, worker_id) for task, poll in ready[:max_tasks]]

    def _is_ready(self, task: EngineTask, poll: TopicPoll) -> bool:
        return task.topic == poll.topic and self._tasks.is_free(task) and self._is_wanted(task, poll)

    def _is_wanted(self, task: EngineTask, poll: TopicPoll) -> bool:
        """Return whether the task is among those to which the poll narrows its topic."""
        keys, ids, tenants = poll.process_definition_keys, poll.process_definition_ids, poll.tenant_ids
        tag, seen = poll.process_definition_version_tag, self.variables[task.process_instance_id or ""]
        return (
            (keys is None or task.process_definition_key in keys)
            and (ids is None or task.process_definition_id in ids)
            and (tag is None or self._models.tag(task.process_definition_id or "") == tag)
            and (poll.business_key is None or task.business_key == poll.business_key)
            and (tenants is None or task.tenant_id in tenants)
            and not (poll.without_tenant_id and task.tenant_id is not None)
            and (poll.process_variables is None or has_any(seen, poll.process_variables))
        )

    def _lock_one(self, task: EngineTask, poll: TopicPoll, worker_id: str) -> EngineTask:
        locked = self._tasks.change(task.id, worker_id=worker_id, lock_until=self._clock.now() + poll.lock)
        known = without_files(self._scopes.seen(task.execution_id or "", local=poll.local_variables))
        wanted = {name: value for name, value in known.items() if poll.variables is None or name in poll.variables}
        properties = task.properties if poll.include_extension_properties else None
        return replace(locked, variables=wanted, properties=properties)

    async def _await_news(self, wait: timedelta, topics: Sequence[TopicPoll]) -> None:
        """Return when a task may be ready for one of the topics, or when the time is up."""
        try:
            async with asyncio.timeout(wait.total_seconds()):
                while not any(self._is_ready(task, poll) for task in self._tasks.all() for poll in topics):
                    await self._news.wait()
        except TimeoutError:
            return

    def _store(self, execution_id: str, variables: Variables) -> None:
        """Set variables in their scopes, or refuse them as the real engine does."""
        refuse_variables(variables)
        for name, variable in long_text_as_object(variables, STRING_LIMIT).items():
            if variable.value_info.get("transient"):
                continue
            self._scopes.set(execution_id, {name: replace(variable, local=False)}, local=variable.local)

    def _throws(self, task: EngineTask, variables: Variables, details: str | None) -> bool:
        seen = {**self._scopes.seen(task.execution_id or ""), **variables}
        return self._models.throws(task.process_definition_id or "", seen, details)

    def _end(self, task: EngineTask, *, succeeded: bool = False, interrupted: bool = False) -> None:
        self._tasks.remove(task.id)
        self._scopes.close(task.execution_id or "")
        self._history.ended(task, self._clock.now(), succeeded=succeeded, interrupted=interrupted)

    def _accept(self, task_id: str, worker_id: str, outcome: Outcome, lost: BaseException | None) -> None:
        self.reports.append(Report(task_id, worker_id, outcome))
        _raise(lost)


def _raise(error: BaseException | None) -> None:
    if error is not None:
        raise error
