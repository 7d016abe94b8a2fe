"""The engine over Camunda 7's REST interface (Operaton and CIB seven have the same)."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, TypeVar
from urllib.parse import quote

from bridge.adapters.camunda.answers import Answer, content, document, nothing, rows
from bridge.adapters.camunda.backlog import count_tasks, find_oldest, read_topic_names
from bridge.adapters.camunda.bounds import AnswerLimit
from bridge.adapters.camunda.client import CamundaClient, Foreign, Guard, Headers, Observe, Tokens, millis, unguarded
from bridge.adapters.camunda.history_level import log_is_kept
from bridge.adapters.camunda.identity import CamundaIdentity
from bridge.adapters.camunda.models import MOST_BYTES, find_throwing_activities
from bridge.adapters.camunda.product import read_product
from bridge.adapters.camunda.rights import find_missing_rights
from bridge.adapters.camunda.rows import external_task, read_leases, read_row
from bridge.adapters.camunda.string_column import StringColumn
from bridge.domain.engine_product import EngineProduct
from bridge.domain.errors import (
    AnswerTooLarge,
    EngineError,
    EngineForbidden,
    EngineRejected,
    LeaseLost,
    TaskGone,
    VariableError,
)
from bridge.domain.messages import message, message_of
from bridge.domain.rights import MissingRight
from bridge.domain.task import Variables
from bridge.domain.unreadable_row import OnUnreadableRow, UnreadableRow
from bridge.domain.variables import from_wire, parse_date, to_wire
from bridge.ports.engine import EngineActivity, EngineLogEntry, EngineTask, TopicPoll
from bridge.runtime.own_threads import OwnThreads

MESSAGE_LIMIT: Final = 666
"""How many characters of an errorMessage the engine keeps."""
DETAILS_LIMIT: Final = 1_000_000
"""How many characters of error details are sent."""
PAGE: Final = 100
"""How many rows a list call asks for: `queryMaxResultsLimit` of a hardened engine is seldom below it."""
MOST_PAGES: Final = 100
"""How many pages are read of one list: a fetch locks a thousand tasks at most, a task's log is seldom a page long."""
_MODEL_ANSWER: Final = AnswerLimit(2 * MOST_BYTES)
"""How many bytes are read of an answer with a model, whose line ends and quotes are escaped."""
_NOBODY: Final = "bridge-nobody"
"""A worker id under which nothing is ever locked."""
DATE_LAG: Final = timedelta(seconds=2)
"""By how much a `Date` header may be behind: whole seconds, and Tomcat 9 makes up a new one once a second."""

T = TypeVar("T")


class CamundaEngine:
    """`bridge.ports.engine.Engine` on Camunda 7's REST interface; `open` it before use and `close` it after.

    `timeout` bounds each call (a poll: on top of its wait), but for an outcome's, which may take `outcome_timeout`: the
    engine answers when the next steps are done, as far as they run in the same transaction. `credentials` is what
    `login.authorization` returned; `tokens` gives bearer tokens in its place. `fixed_headers` go with each call. `tls`
    is an SSL context for an own CA, or False to check nothing. `headers` is asked before each call, for trace context.
    `observe` gets each: the operation, its HTTP status (None when no answer came) and its seconds. `foreign` is
    called for answers of others, `on_unreadable_row` for rows that can't be read. `guard` makes each call:
    a circuit breaker may refuse to. `answer_limit` is how many bytes are read of an answer that has variables in it.
    """

    def __init__(
        self,
        base_url: str,
        *,
        credentials: str | None = None,
        tokens: Tokens | None = None,
        fixed_headers: Mapping[str, str] = MappingProxyType({}),
        connections: int = 16,
        timeout: timedelta = timedelta(seconds=30),
        outcome_timeout: timedelta = timedelta(minutes=10),
        tls: ssl.SSLContext | bool = True,
        headers: Headers = dict,
        observe: Observe = lambda _operation, _status, _seconds: None,
        foreign: Foreign = lambda _operation, _error: None,
        guard: Guard = unguarded,
        strings: StringColumn | None = None,
        answer_limit: int = 20_000_000,
        on_unreadable_row: OnUnreadableRow = lambda _operation, _row: None,
    ) -> None:
        self._on_unreadable_row = on_unreadable_row
        self._answer_limit = AnswerLimit(answer_limit)
        self._outcome_timeout = max(timeout, outcome_timeout)
        self._strings = strings or StringColumn()
        self._reader = OwnThreads("model", 1)
        self._client = CamundaClient(
            base_url.rstrip("/"),
            credentials=credentials,
            tokens=tokens,
            fixed_headers=fixed_headers,
            connections=connections,
            timeout=timeout,
            tls=tls,
            headers=headers,
            observe=observe,
            foreign=foreign,
            guard=guard,
        )

        self.identity = CamundaIdentity(self._client)

    async def open(self) -> None:
        await self._client.open()

    async def close(self) -> None:
        await self._client.close()
        self._reader.close()

    async def fetch_and_lock(
        self, worker_id: str, max_tasks: int, topics: Sequence[TopicPoll], wait: timedelta
    ) -> Sequence[EngineTask]:
        """As the port says. Don't cancel it while it waits: the engine would lock the next task all the same."""
        if not topics:
            return []
        body = self._client.fetch_body(worker_id, max_tasks, topics, wait)
        url = self._client.get_fetch_and_lock_url()
        limit = self._answer_limit
        found = await self._client.ask("fetch", "POST", url, body, read=rows(read_row), wait=wait, limit=limit)
        return self._readable("fetch", read_leases(found, {poll.topic for poll in topics}), are_locked=True)

    async def complete(self, task_id: str, worker_id: str, variables: Variables) -> None:
        url = self._client.get_task_complete_url(_quoted(task_id))

        async def complete(sized: Variables) -> None:
            body = {"workerId": worker_id, **_results(sized)}
            await self._client.ask("complete", "POST", url, body, read=nothing, deadline=self._outcome_timeout)

        await self._strings.send(variables, complete)

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
        url = self._client.get_task_failure_url(_quoted(task_id))
        await self._client.ask("fail", "POST", url, body, read=nothing, deadline=self._outcome_timeout)

    async def raise_bpmn_error(
        self, task_id: str, worker_id: str, *, code: str, message: str, variables: Variables
    ) -> None:
        body: dict[str, Any] = {"workerId": worker_id, "errorCode": code}
        if message:  # an empty one is a 500: "Error Message is empty"
            body["errorMessage"] = _text(message, MESSAGE_LIMIT)
        url = self._client.get_task_bpmn_error_url(_quoted(task_id))

        async def raise_error(sized: Variables) -> None:
            sent = {**body, "variables": to_wire(sized)}
            await self._client.ask("bpmn_error", "POST", url, sent, read=nothing, deadline=self._outcome_timeout)

        await self._strings.send(variables, raise_error)

    async def lock(self, task_id: str, worker_id: str, duration: timedelta) -> None:
        body = {"workerId": worker_id, "lockDuration": millis(duration)}
        await self._client.ask("lock", "POST", self._url(task_id, "lock"), body, read=nothing)

    async def extend_lock(self, task_id: str, worker_id: str, duration: timedelta) -> None:
        body = {"workerId": worker_id, "newDuration": millis(duration)}
        await self._client.ask("extend_lock", "POST", self._url(task_id, "extendLock"), body, read=nothing)

    async def unlock(self, task_id: str) -> None:
        await self._client.ask("unlock", "POST", self._url(task_id, "unlock"), read=nothing)

    async def set_retries(self, task_id: str, retries: int) -> None:
        url = self._url(task_id, "retries")
        await self._client.ask("set_retries", "PUT", url, {"retries": retries}, read=nothing)

    async def get(self, task_id: str) -> EngineTask:
        """As the port says; `EngineForbidden` where the engine has the task and its user may not read it."""
        try:
            return await self._client.ask("get", "GET", self._url(task_id), read=document(external_task))
        except TaskGone:
            # To a user without READ every task is a 404. A command tells the two apart, and this one changes nothing.
            try:
                await self.extend_lock(task_id, _NOBODY, timedelta(seconds=1))
            except LeaseLost as found:
                text = message("engine.right.task", task=task_id)
                raise EngineForbidden(text, status=403, kind="AuthorizationException") from found
            raise

    async def get_many(self, task_ids: Sequence[str]) -> Sequence[EngineTask]:
        """As the port says, by `PAGE` ids a call; an answer without a date tells no `held_for`."""
        found: list[EngineTask | UnreadableRow] = []
        url = f"{self._client.external_task_base_url}?maxResults={PAGE}"
        for start in range(0, len(task_ids), PAGE):
            body = {"externalTaskIdIn": list(task_ids[start : start + PAGE])}
            found += await self._client.ask("get_many", "POST", url, body, read=_with_held_for)
        return self._readable("get_many", found, are_locked=False)

    async def read_variables(self, execution_id: str, *, local: bool = False) -> Variables:
        """As the port says; `TaskGone` when the execution has ended."""
        scope = "execution/{}/localVariables" if local else "process-instance/{}/variables"
        url = f"{self._client.base_url}/{scope.format(_quoted(execution_id))}"
        try:
            return await self._client.ask(
                "read_variables",
                "GET",
                f"{url}?deserializeValues=false",
                read=document(from_wire),
                limit=self._answer_limit,
            )
        except EngineRejected as error:
            raise _without_instance(error) from error

    async def set_variables(self, execution_id: str, variables: Variables) -> None:
        """As the port says; the engine sets all of them or none."""
        url = f"{self._client.base_url}/process-instance/{_quoted(execution_id)}/variables"

        async def set_them(sized: Variables) -> None:
            await self._client.ask("set_variables", "POST", url, {"modifications": to_wire(sized)}, read=nothing)

        try:
            await self._strings.send(variables, set_them)
        except EngineRejected as error:
            raise _without_instance(error) from error

    async def read_file(self, execution_id: str, variable: str) -> bytes:
        """Return a File's or Bytes variable's content.

        Raises `TaskGone` when the execution has ended, and `VariableError` when it has no such variable, or one of
        another type, or one that is larger than what is read.
        """
        url = f"{self._client.base_url}/process-instance/{_quoted(execution_id)}/variables/{_quoted(variable)}"
        try:
            return await self._client.ask(
                "read_file", "GET", f"{url}/data", read=content, limit=replace(self._answer_limit, values=None)
            )
        except AnswerTooLarge as error:
            raise _unreadable(variable, error) from error
        except EngineRejected as error:
            if error.kind == "InvalidRequestException" and error.status in {400, 404}:
                raise _unreadable(variable, error) from error
            raise _without_instance(error) from error

    async def locked_by(self, worker_id: str) -> Sequence[EngineTask]:
        query = f"locked=true&workerId={_quoted(worker_id)}&sortBy=id&sortOrder=asc"
        found = await self._pages("locked_by", f"{self._client.external_task_base_url}?{query}", read_row)
        return self._readable("locked_by", found, are_locked=True)

    async def count(self, topic: str | None = None, *, workable: bool = False) -> int:
        """Count the open external tasks, as the port says."""
        return await count_tasks(self._client, topic, workable=workable)

    async def topic_names(self) -> Sequence[str]:
        return await read_topic_names(self._client)

    async def oldest(self, topic: str) -> datetime | None:
        """As the port says; before 7.24 by the engine's log. `EngineRejected` (400) before 7.21: no such order."""
        found = await find_oldest(self._client, topic)
        tasks = self._readable("oldest", [] if found is None else [found], are_locked=False)
        if not tasks:
            return None
        return tasks[0].created_at or next((one.at for one in await self.history(tasks[0].id) if one.created), None)

    async def history(self, task_id: str) -> Sequence[EngineLogEntry]:
        """Return the task's log, oldest first; empty when the engine keeps none."""
        query = f"externalTaskId={_quoted(task_id)}&sortBy=timestamp&sortOrder=asc"
        url = f"{self._client.base_url}/history/external-task-log?{query}"
        return await self._pages("history", url, _log_entry)

    async def activity(self, activity_instance_id: str) -> EngineActivity | None:
        query = f"activityInstanceId={_quoted(activity_instance_id)}&maxResults=1"
        url = f"{self._client.base_url}/history/activity-instance?{query}"
        found = await self._client.ask("activity", "GET", url, read=rows(_activity))
        return found[0] if found else None

    async def throwing_activities(self, process_definition_id: str) -> Collection[str]:
        url = f"{self._client.base_url}/process-definition/{_quoted(process_definition_id)}/xml"
        read = document(lambda row: str(row["bpmn20Xml"]))
        model = await self._client.ask("read_model", "GET", url, read=read, limit=_MODEL_ANSWER)
        # Not in the event loop, which would stand still for the tenths of a second that a large model takes.
        return await self._reader.run(find_throwing_activities, model)

    async def version(self) -> str:
        url = f"{self._client.base_url}/version"
        return await self._client.ask("version", "GET", url, read=document(lambda row: str(row["version"])))

    async def product(self) -> EngineProduct:
        return await read_product(self._client)

    async def written_moments(self) -> Sequence[datetime]:
        """As the port says."""
        url = f"{self._client.base_url}/deployment?sortBy=deploymentTime&sortOrder=desc&maxResults={PAGE}"
        read = rows(lambda row: datetime.fromisoformat(row["deploymentTime"]))
        return await self._client.ask("written_moments", "GET", url, read=read)

    async def keeps_log(self) -> bool | None:
        return await log_is_kept(self._client)

    async def _pages(self, operation: str, url: str, read: Callable[[Any], T]) -> Sequence[T]:
        """Read a whole list, `PAGE` rows a call: an engine may refuse a query without a limit, or with a high one.

        Raises `AnswerTooLarge` beyond `MOST_PAGES`: a list without an end is none of the engine's.
        """
        found: list[T] = []
        for _ in range(MOST_PAGES):
            page = await self._client.ask(
                operation, "GET", f"{url}&firstResult={len(found)}&maxResults={PAGE}", read=rows(read)
            )
            found += page
            if len(page) < PAGE:
                return found
        raise AnswerTooLarge(message("engine.rows", operation=operation, most=MOST_PAGES * PAGE))

    def _readable(
        self, operation: str, found: Sequence[EngineTask | UnreadableRow], *, are_locked: bool
    ) -> list[EngineTask]:
        """Return the tasks of a list, and tell of the rows that can't be read; of its tasks none is to be unlocked."""
        tasks = [row for row in found if isinstance(row, EngineTask)]
        ids = {task.id for task in tasks} if len(tasks) < len(found) else set()
        for row in found:
            if isinstance(row, UnreadableRow):
                locked = are_locked and row.is_locked and row.id not in ids
                self._on_unreadable_row(operation, replace(row, is_locked=locked))
        return tasks

    async def missing_rights(self, definitions: Collection[str] = ()) -> Sequence[MissingRight]:
        return await find_missing_rights(self._client, definitions)

    def _url(self, task_id: str, action: str = "") -> str:
        task = f"{self._client.external_task_base_url}/{_quoted(task_id)}"
        return f"{task}/{action}" if action else task


def _quoted(part: str) -> str:
    return quote(part, safe="")


def _text(text: str, limit: int) -> str:
    """Cut `text` to `limit` characters as Java counts them, with what JSON can't carry replaced."""
    cut = text[:limit].encode("utf-16-le", "replace")[: 2 * limit]
    return cut.decode("utf-16-le", "ignore")


def _with_held_for(answer: Answer) -> list[EngineTask | UnreadableRow]:
    found, now = rows(read_row)(answer), answer.told_at
    if now is None:
        return found
    return [replace(row, held_for=_held_for(row, now)) if isinstance(row, EngineTask) else row for row in found]


def _results(variables: Variables) -> dict[str, Any]:
    """Return a completion's variables, those of the task's own scope apart."""
    local = {name: variable for name, variable in variables.items() if variable.local}
    if not local:
        return {"variables": to_wire(variables)}
    others = {name: variable for name, variable in variables.items() if not variable.local}
    return {"variables": to_wire(others), "localVariables": to_wire(local)}


def _held_for(task: EngineTask, now: datetime) -> timedelta | None:
    """Return how long the lock holds, at the least: `now` is the engine's, or a proxy's, and may lag."""
    if task.lock_until is None:
        return None
    left = task.lock_until - now - DATE_LAG
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


def _activity(row: Mapping[str, Any]) -> EngineActivity:
    ended = row["endTime"]
    return EngineActivity(None if ended is None else parse_date(ended), bool(row["canceled"]))


def _unreadable(variable: str, error: EngineError) -> VariableError:
    return VariableError(message("variable.unusable", name=repr(variable), why=error.message))


def _without_instance(error: EngineRejected) -> EngineRejected:
    """Return `TaskGone` for the 500 that the engine answers when the process instance has ended."""
    if error.status == 500 and "execution is null" in str(error):
        return TaskGone(message_of(error), status=error.status, code=error.code, kind=error.kind)
    return error
