"""The engine over Camunda 7's REST interface (Operaton and CIB seven have the same)."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar
from urllib.parse import quote

import orjson

from bridge.adapters.camunda_client import CamundaClient, Guard, Headers, Observe, millis, unguarded
from bridge.errors import EngineRejected, EngineUnavailable, TaskGone, VariableError
from bridge.ports import EngineLogEntry, EngineTask, TopicPoll
from bridge.task import Variables
from bridge.variables import from_wire, parse_date, to_wire

MESSAGE_LIMIT: Final = 666
"""How many characters of an errorMessage the engine keeps."""
DETAILS_LIMIT: Final = 1_000_000
"""How many characters of error details are sent."""

T = TypeVar("T")


class CamundaEngine:
    """`bridge.ports.Engine` on Camunda 7's REST interface; `open` it before use and `close` it after.

    `timeout` bounds each call (a poll: on top of its wait). `credentials` is what `authorization` returned. `tls` is
    an SSL context for an own CA, or False to check nothing. `headers` is asked before each call, for trace context.
    `observe` is told of each: the operation, its HTTP status (None when no answer came) and its seconds. `guard` makes
    each call: a circuit breaker may refuse to.
    """

    def __init__(
        self,
        base_url: str,
        *,
        credentials: str | None = None,
        connections: int = 16,
        timeout: timedelta = timedelta(seconds=30),
        tls: ssl.SSLContext | bool = True,
        headers: Headers = dict,
        observe: Observe = lambda _operation, _status, _seconds: None,
        guard: Guard = unguarded,
    ) -> None:
        self._client = CamundaClient(
            base_url.rstrip("/"),
            credentials=credentials,
            connections=connections,
            timeout=timeout,
            tls=tls,
            headers=headers,
            observe=observe,
            guard=guard,
        )

    async def open(self) -> None:
        await self._client.open()

    async def close(self) -> None:
        await self._client.close()

    async def fetch_and_lock(
        self, worker_id: str, max_tasks: int, topics: Sequence[TopicPoll], wait: timedelta
    ) -> Sequence[EngineTask]:
        """As the port says. Don't cancel it while it waits: the engine would lock the next task for nobody."""
        if not topics:
            return []
        body = self._client.fetch_body(worker_id, max_tasks, topics, wait)
        url = self._client.get_fetch_and_lock_url()
        answer = await self._client.request("fetch", "POST", url, body, wait=wait)
        return _read("fetch", answer, lambda rows: [_task(row) for row in rows])

    async def complete(self, task_id: str, worker_id: str, variables: Variables) -> None:
        body = {"workerId": worker_id, **_results(variables)}
        await self._client.request("complete", "POST", self._client.get_task_complete_url(_quoted(task_id)), body)

    async def fail(
        self, task_id: str, worker_id: str, *, message: str, details: str, retries: int, retry_timeout: timedelta
    ) -> None:
        """Report a failure; the engine keeps `MESSAGE_LIMIT` characters of the message."""
        body = {
            "workerId": worker_id,
            "errorMessage": _text(message, MESSAGE_LIMIT),
            "errorDetails": _text(details, DETAILS_LIMIT),
            "retries": retries,
            "retryTimeout": millis(retry_timeout),
        }
        await self._client.request("fail", "POST", self._client.get_task_failure_url(_quoted(task_id)), body)

    async def raise_bpmn_error(
        self, task_id: str, worker_id: str, *, code: str, message: str, variables: Variables
    ) -> None:
        body = {
            "workerId": worker_id,
            "errorCode": code,
            "errorMessage": _text(message, MESSAGE_LIMIT),
            "variables": to_wire(variables),
        }
        url = self._client.get_task_bpmn_error_url(_quoted(task_id))
        await self._client.request("bpmn_error", "POST", url, body)

    async def lock(self, task_id: str, worker_id: str, duration: timedelta) -> None:
        body = {"workerId": worker_id, "lockDuration": millis(duration)}
        await self._client.request("lock", "POST", self._url(task_id, "lock"), body)

    async def extend_lock(self, task_id: str, worker_id: str, duration: timedelta) -> None:
        body = {"workerId": worker_id, "newDuration": millis(duration)}
        await self._client.request("extend_lock", "POST", self._url(task_id, "extendLock"), body)

    async def unlock(self, task_id: str) -> None:
        await self._client.request("unlock", "POST", self._url(task_id, "unlock"))

    async def set_retries(self, task_id: str, retries: int) -> None:
        await self._client.request("set_retries", "PUT", self._url(task_id, "retries"), {"retries": retries})

    async def get(self, task_id: str) -> EngineTask:
        return _read("get", await self._client.request("get", "GET", self._url(task_id)), _task)

    async def get_many(self, task_ids: Sequence[str]) -> Sequence[EngineTask]:
        """As the port says; an answer without a date tells no `held_for`."""
        if not task_ids:
            return []
        answer = await self._client.ask(
            "get_many", "POST", self._client.external_task_base_url, {"externalTaskIdIn": list(task_ids)}
        )
        tasks = _read("get_many", answer.body, lambda rows: [_task(row) for row in rows])
        now = answer.told_at
        return tasks if now is None else [replace(task, held_for=_held_for(task, now)) for task in tasks]

    async def read_variables(self, execution_id: str, *, local: bool = False) -> Variables:
        """As the port says; `TaskGone` when the execution has ended."""
        scope = "execution/{}/localVariables" if local else "process-instance/{}/variables"
        url = f"{self._client.base_url}/{scope.format(_quoted(execution_id))}"
        try:
            answer = await self._client.request("read_variables", "GET", f"{url}?deserializeValues=false")
        except EngineRejected as error:
            raise _without_instance(error) from error
        return _read("read_variables", answer, from_wire)

    async def set_variables(self, execution_id: str, variables: Variables) -> None:
        """As the port says; the engine sets all of them or none."""
        url = f"{self._client.base_url}/process-instance/{_quoted(execution_id)}/variables"
        try:
            await self._client.request("set_variables", "POST", url, {"modifications": to_wire(variables)})
        except EngineRejected as error:
            raise _without_instance(error) from error

    async def read_file(self, execution_id: str, variable: str) -> bytes:
        """Return a File's or Bytes variable's content.

        Raises `TaskGone` when the execution has ended, and `VariableError` when it has no such variable, or one of
        another type.
        """
        url = f"{self._client.base_url}/process-instance/{_quoted(execution_id)}/variables/{_quoted(variable)}"
        try:
            return await self._client.request("read_file", "GET", f"{url}/data")
        except EngineRejected as error:
            if error.kind == "InvalidRequestException" and error.status in {400, 404}:
                raise VariableError(f"variable {variable!r}: {error}") from error
            raise _without_instance(error) from error

    async def locked_by(self, worker_id: str) -> Sequence[EngineTask]:
        url = f"{self._client.external_task_base_url}?locked=true&workerId={_quoted(worker_id)}"
        answer = await self._client.request("locked_by", "GET", url)
        return _read("locked_by", answer, lambda rows: [_task(row) for row in rows])

    async def count(self, topic: str | None = None) -> int:
        """Count the open external tasks, locked or not, of a topic or of all."""
        query = "" if topic is None else f"?topicName={_quoted(topic)}"
        url = f"{self._client.external_task_base_url}/count{query}"
        return _read("count", await self._client.request("count", "GET", url), lambda row: int(row["count"]))

    async def history(self, task_id: str) -> Sequence[EngineLogEntry]:
        """Return the task's log, oldest first; empty when the engine keeps none."""
        query = f"externalTaskId={_quoted(task_id)}&sortBy=timestamp&sortOrder=asc"
        url = f"{self._client.base_url}/history/external-task-log?{query}"
        answer = await self._client.request("history", "GET", url)
        return _read("history", answer, lambda rows: [_log_entry(row) for row in rows])

    async def version(self) -> str:
        answer = await self._client.request("version", "GET", f"{self._client.base_url}/version")
        return _read("version", answer, lambda row: str(row["version"]))

    def _url(self, task_id: str, action: str = "") -> str:
        task = f"{self._client.external_task_base_url}/{_quoted(task_id)}"
        return f"{task}/{action}" if action else task


def _quoted(part: str) -> str:
    return quote(part, safe="")


def _text(text: str, limit: int) -> str:
    """Cut `text` to `limit` characters as Java counts them, with what JSON can't carry replaced."""
    cut = text[:limit].encode("utf-16-le", "replace")[: 2 * limit]
    return cut.decode("utf-16-le", "ignore")


def _read(operation: str, answer: bytes, read: Callable[[Any], T]) -> T:
    try:
        return read(orjson.loads(answer))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineUnavailable(f"{operation}: the answer is not the engine's: {error!r}") from error


def _task(row: Mapping[str, Any]) -> EngineTask:
    locked_until, created = row.get("lockExpirationTime"), row.get("createTime")
    return EngineTask(
        id=row["id"],
        topic=row["topicName"],
        worker_id=row.get("workerId"),
        lock_until=None if locked_until is None else parse_date(locked_until),
        retries=row.get("retries"),
        suspended=bool(row.get("suspended")),
        variables=from_wire(row.get("variables") or {}),
        business_key=row.get("businessKey"),
        process_instance_id=row.get("processInstanceId"),
        process_definition_key=row.get("processDefinitionKey"),
        process_definition_id=row.get("processDefinitionId"),
        activity_id=row.get("activityId"),
        activity_instance_id=row.get("activityInstanceId"),
        execution_id=row.get("executionId"),
        tenant_id=row.get("tenantId"),
        priority=row.get("priority") or 0,
        created_at=None if created is None else parse_date(created),
        properties=row.get("extensionProperties") or None,
        error=row.get("errorMessage"),
    )


def _results(variables: Variables) -> dict[str, Any]:
    """Return a completion's variables, those of the task's own scope apart."""
    local = {name: variable for name, variable in variables.items() if variable.local}
    if not local:
        return {"variables": to_wire(variables)}
    others = {name: variable for name, variable in variables.items() if not variable.local}
    return {"variables": to_wire(others), "localVariables": to_wire(local)}


def _held_for(task: EngineTask, now: datetime) -> timedelta | None:
    """Return how long the lock holds, at the least: `now` is the engine's, in whole seconds, rounded down."""
    if task.lock_until is None:
        return None
    left = task.lock_until - now - timedelta(seconds=1)
    return left if left > timedelta(0) else None


def _log_entry(row: Mapping[str, Any]) -> EngineLogEntry:
    return EngineLogEntry(
        worker_id=row.get("workerId"),
        created=row["creationLog"],
        succeeded=row["successLog"],
        failed=row["failureLog"],
        deleted=row["deletionLog"],
        at=parse_date(row["timestamp"]),
        retries=row.get("retries"),
        message=row.get("errorMessage"),
    )


def _without_instance(error: EngineRejected) -> EngineRejected:
    """Return `TaskGone` for the 500 that the engine answers when the process instance has ended."""
    if error.status == 500 and "execution is null" in str(error):
        return TaskGone(str(error), status=error.status, code=error.code, kind=error.kind)
    return error
