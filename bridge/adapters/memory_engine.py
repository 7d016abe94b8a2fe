"""An engine that keeps external tasks in this process: for tests, and for trying a topic without any server."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Literal, NoReturn
from uuid import uuid4

from bridge.errors import EngineRejected, LeaseLost, TaskGone, VariableError
from bridge.ports import Clock, EngineLogEntry, EngineTask, TopicPoll
from bridge.task import BpmnFault, Completion, Failure, Outcome, Variables
from bridge.topic import File
from bridge.variables import STRING_LIMIT, decode

MESSAGE_LIMIT: Final = 666
_FILE_TYPES: Final = frozenset({"File", "Bytes"})
_TYPES: Final = frozenset(
    {"Null", "Boolean", "Short", "Integer", "Long", "Double", "String", "Date", "Json", "Object", *_FILE_TYPES}
)

Operation = Literal[
    "fetch", "complete", "fail", "bpmn_error", "lock", "extend_lock", "unlock", "set_retries", "get", "get_many",
    "read_variables",
    "set_variables", "read_file", "locked_by", "count", "history", "version"
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """An outcome that the engine accepted, and from whom."""

    task_id: str
    worker_id: str
    outcome: Outcome


@dataclass(slots=True)
class _Fault:
    error: BaseException
    after: bool


@dataclass(slots=True)
class _Faults:
    """Faults that wait for a call of their operation, first in first out."""

    waiting: dict[str, list[_Fault]] = field(default_factory=lambda: defaultdict(list))

    def before(self, operation: Operation) -> BaseException | None:
        """Raise the next fault if it strikes before the call takes effect; else return it, to be raised after."""
        if not self.waiting[operation]:
            return None
        fault = self.waiting[operation].pop(0)
        if not fault.after:
            raise fault.error
        return fault.error


class MemoryEngine:
    """`bridge.ports.Engine` on a dictionary, with the status codes of Camunda 7.24 (`tests/contract/test_engine.py`).

    Locks expire by `clock`; only a poll's own waiting takes real time. As in the real engine a waiting poll is woken
    by a new task and by `unlock`, but learns of an expired lock only when its time is up.

    `reports` has every accepted outcome in order. `variables` has, by process instance, what it was started with and
    what completions and BPMN errors added.
    """

    def __init__(self, clock: Clock) -> None:
        self.reports: list[Report] = []
        self.variables: dict[str, Variables] = {}
        self._clock = clock
        self._tasks: dict[str, EngineTask] = {}
        self._log: dict[str, list[EngineLogEntry]] = defaultdict(list)
        self._faults = _Faults()
        self._news = asyncio.Event()

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
    ) -> str:
        """Start a process instance that waits at an external task; return the task's id."""
        task_id, instance = str(uuid4()), str(uuid4())
        self.variables[instance] = dict(variables or {})
        self._tasks[task_id] = EngineTask(
            id=task_id,
            topic=topic,
            worker_id=None,
            lock_until=None,
            retries=retries,
            business_key=business_key,
            process_instance_id=instance,
            process_definition_key=process_definition_key,
            activity_id="task",
            tenant_id=tenant_id,
            priority=priority,
        )
        self._write(self._tasks[task_id], created=True)
        self._wake()
        return task_id

    def cancel(self, task_id: str) -> None:
        """Delete the task's process instance, as an operator would."""
        self._end(self._find(task_id), deleted=True)

    def suspend(self, task_id: str, suspended: bool = True) -> None:
        """Suspend the task's process instance, or activate it again."""
        self._change(task_id, suspended=suspended)
        self._wake()

    def fail_next(self, operation: Operation, error: BaseException, *, after: bool = False) -> None:
        """Let the next call of `operation` raise `error`: instead of its effect, or `after` it (the answer is lost)."""
        self._faults.waiting[operation].append(_Fault(error, after))

    def incidents(self) -> Sequence[EngineTask]:
        """Return the tasks that wait for an operator, having no retries left."""
        return [task for task in self._tasks.values() if task.retries == 0]

    async def open(self) -> None:
        """Do nothing; the real engine's client has connections to make."""

    async def close(self) -> None:
        """Do nothing; the real engine's client has connections to close."""

    async def fetch_and_lock(
        self, worker_id: str, max_tasks: int, topics: Sequence[TopicPoll], wait: timedelta
    ) -> Sequence[EngineTask]:
        lost = self._faults.before("fetch")
        if any(poll.lock <= timedelta(0) for poll in topics):
            raise _rejected(500, "lockTime is not greater than 0")
        found = self._lock_next(worker_id, max_tasks, topics)
        if not found and wait > timedelta(0):
            await self._await_news(wait, topics)
            found = self._lock_next(worker_id, max_tasks, topics)
        if lost is not None:
            raise lost
        return found

    async def complete(self, task_id: str, worker_id: str, variables: Variables) -> None:
        lost = self._faults.before("complete")
        task = self._held(task_id, worker_id)
        self._store(task.process_instance_id or "", variables)
        self._end(task, succeeded=True)
        self._accept(task_id, worker_id, Completion(variables), lost)

    async def fail(
        self, task_id: str, worker_id: str, *, message: str, details: str, retries: int, retry_timeout: timedelta
    ) -> None:
        lost = self._faults.before("fail")
        if retries < 0 or retry_timeout < timedelta(0):
            raise _rejected(500, "retries or retryDuration is not greater than or equal to 0")
        task = self._held(task_id, worker_id)
        self._write(task, failed=True, message=message[:MESSAGE_LIMIT])
        until = self._clock.now() + retry_timeout
        self._change(task_id, retries=retries, lock_until=until, error=message[:MESSAGE_LIMIT])
        self._accept(task_id, worker_id, Failure("", message, details, retries, retry_timeout), lost)

    async def raise_bpmn_error(
        self, task_id: str, worker_id: str, *, code: str, message: str, variables: Variables
    ) -> None:
        lost = self._faults.before("bpmn_error")
        if not code:
            raise _rejected(500, "errorCode is null")
        task = self._held(task_id, worker_id)
        self._store(task.process_instance_id or "", variables)
        self._end(task, deleted=True)
        self._accept(task_id, worker_id, BpmnFault(code, message, variables), lost)

    async def lock(self, task_id: str, worker_id: str, duration: timedelta) -> None:
        lost = self._faults.before("lock")
        task = self._find(task_id)
        if duration <= timedelta(0):
            _lose("lockDuration is not greater than 0")
        if task.worker_id not in {None, worker_id} and self._is_locked(task):
            _lose(f"External Task {task_id} cannot be locked by worker '{worker_id}'. Another worker holds it.")
        self._change(task_id, worker_id=worker_id, lock_until=self._clock.now() + duration)
        _raise(lost)

    async def extend_lock(self, task_id: str, worker_id: str, duration: timedelta) -> None:
        lost = self._faults.before("extend_lock")
        task = self._held(task_id, worker_id)
        if duration <= timedelta(0) or not self._is_locked(task):
            _lose(f"The lock of the External Task {task_id} cannot be extended.")
        self._change(task_id, lock_until=self._clock.now() + duration)
        _raise(lost)

    async def unlock(self, task_id: str) -> None:
        lost = self._faults.before("unlock")
        self._change(task_id, worker_id=None, lock_until=None)
        self._wake()
        _raise(lost)

    async def set_retries(self, task_id: str, retries: int) -> None:
        lost = self._faults.before("set_retries")
        self._find(task_id)
        if retries < 0:
            raise _rejected(400, "The number of retries cannot be negative", "BadUserRequestException")
        self._change(task_id, retries=retries)
        _raise(lost)

    async def get(self, task_id: str) -> EngineTask:
        _raise(self._faults.before("get"))
        return self._find(task_id)

    async def get_many(self, task_ids: Sequence[str]) -> Sequence[EngineTask]:
        _raise(self._faults.before("get_many"))
        now = self._clock.now()
        found = [task for task in map(self._tasks.get, task_ids) if task is not None]
        ends = [task.lock_until for task in found]
        return [
            replace(task, held_for=None if end is None or end <= now else end - now)
            for task, end in zip(found, ends, strict=True)
        ]

    async def read_variables(self, process_instance_id: str) -> Variables:
        _raise(self._faults.before("read_variables"))
        return _without_files(self._instance(process_instance_id))

    async def set_variables(self, process_instance_id: str, variables: Variables) -> None:
        lost = self._faults.before("set_variables")
        self._instance(process_instance_id)
        self._store(process_instance_id, variables)
        _raise(lost)

    async def read_file(self, process_instance_id: str, variable: str) -> bytes:
        _raise(self._faults.before("read_file"))
        found = self._instance(process_instance_id).get(variable)
        if found is None or found.type not in _FILE_TYPES:
            raise VariableError(f"variable {variable!r}: there is no such file in the process instance")
        content = decode({variable: found})[variable]
        return (content.content or b"") if isinstance(content, File) else bytes(content)

    async def locked_by(self, worker_id: str) -> Sequence[EngineTask]:
        _raise(self._faults.before("locked_by"))
        return [task for task in self._tasks.values() if task.worker_id == worker_id and self._is_locked(task)]

    async def count(self, topic: str | None = None) -> int:
        """Count the open external tasks, locked or not, of a topic or of all."""
        _raise(self._faults.before("count"))
        return sum(topic in {None, task.topic} for task in self._tasks.values())

    async def history(self, task_id: str) -> Sequence[EngineLogEntry]:
        """Return the task's log, oldest first."""
        _raise(self._faults.before("history"))
        return tuple(self._log.get(task_id, ()))

    async def version(self) -> str:
        _raise(self._faults.before("version"))
        return "memory"

    def _find(self, task_id: str) -> EngineTask:
        task = self._tasks.get(task_id)
        if task is None:
            raise TaskGone(f"External task with id {task_id} does not exist", status=404, code=0, kind="RestException")
        return task

    def _held(self, task_id: str, worker_id: str) -> EngineTask:
        """Return a task that the worker may report on: its lock may have expired, nobody else may have taken it."""
        task = self._find(task_id)
        if task.worker_id != worker_id:
            _lose(f"External Task {task_id}: worker '{worker_id}' does not hold it, '{task.worker_id}' does.")
        if task.suspended:
            _lose(f"ExternalTask with id '{task_id}' is suspended.")
        return task

    def _is_locked(self, task: EngineTask) -> bool:
        return task.lock_until is not None and task.lock_until > self._clock.now()

    def _instance(self, process_instance_id: str) -> Variables:
        if not any(task.process_instance_id == process_instance_id for task in self._tasks.values()):
            raise TaskGone(f"execution {process_instance_id} doesn't exist", status=500, kind="NullValueException")
        return self.variables[process_instance_id]

    def _lock_next(self, worker_id: str, max_tasks: int, topics: Sequence[TopicPoll]) -> Sequence[EngineTask]:
        ready = [(task, poll) for task in self._tasks.values() for poll in topics if self._is_ready(task, poll)]
        ready.sort(key=lambda pair: -pair[0].priority)
        return [self._lock_one(task, poll, worker_id) for task, poll in ready[:max_tasks]]

    def _is_ready(self, task: EngineTask, poll: TopicPoll) -> bool:
        keys, tenants = poll.process_definition_keys, poll.tenant_ids
        return (
            task.topic == poll.topic
            and not task.suspended
            and task.retries != 0
            and not self._is_locked(task)
            and (keys is None or task.process_definition_key in keys)
            and (tenants is None or task.tenant_id in tenants)
        )

    def _lock_one(self, task: EngineTask, poll: TopicPoll, worker_id: str) -> EngineTask:
        self._change(task.id, worker_id=worker_id, lock_until=self._clock.now() + poll.lock)
        known = _without_files(self.variables[task.process_instance_id or ""])
        wanted = {name: value for name, value in known.items() if poll.variables is None or name in poll.variables}
        return replace(self._tasks[task.id], variables=wanted)

    async def _await_news(self, wait: timedelta, topics: Sequence[TopicPoll]) -> None:
        """Return when a task may be ready for one of the topics, or when the time is up."""
        try:
            async with asyncio.timeout(wait.total_seconds()):
                while not any(self._is_ready(task, poll) for task in self._tasks.values() for poll in topics):
                    await self._news.wait()
        except TimeoutError:
            return

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _change(
        self,
        task_id: str,
        **changes: str | int | bool | datetime | None,
    ) -> None:
        self._tasks[task_id] = replace(self._find(task_id), **changes)  # type: ignore[arg-type]  # by our own names

    def _store(self, instance: str, variables: Variables) -> None:
        """Add variables to the instance, or refuse them as the real engine does."""
        for name, variable in variables.items():
            if variable.type not in _TYPES:
                raise _rejected(400, f"Unsupported value type '{variable.type}'", "RestException")
            if variable.type == "String" and len(str(variable.value)) > STRING_LIMIT:
                raise _rejected(500, f"{name}: too long for a String", "ProcessEnginePersistenceException", 10002)
        self.variables[instance] = {**self.variables[instance], **variables}

    def _end(self, task: EngineTask, *, succeeded: bool = False, deleted: bool = False) -> None:
        del self._tasks[task.id]
        self._write(task, succeeded=succeeded, deleted=deleted)

    def _write(
        self,
        task: EngineTask,
        *,
        created: bool = False,
        succeeded: bool = False,
        failed: bool = False,
        deleted: bool = False,
        message: str | None = None,
    ) -> None:
        entry = EngineLogEntry(
            task.worker_id, created, succeeded, failed, deleted, self._clock.now(), task.retries, message
        )
        self._log[task.id].append(entry)

    def _accept(self, task_id: str, worker_id: str, outcome: Outcome, lost: BaseException | None) -> None:
        self.reports.append(Report(task_id, worker_id, outcome))
        _raise(lost)


def _raise(error: BaseException | None) -> None:
    if error is not None:
        raise error


def _lose(message: str) -> NoReturn:
    raise LeaseLost(message, status=400, code=0, kind="RestException")


def _rejected(status: int, message: str, kind: str = "ProcessEngineException", code: int = 0) -> EngineRejected:
    return EngineRejected(message, status=status, code=code, kind=kind)


def _without_files(variables: Variables) -> Variables:
    """Return the variables as the engine hands them out: a File without its content, a Bytes with it."""
    return {
        name: replace(variable, value=None) if variable.type == "File" else variable
        for name, variable in variables.items()
    }
