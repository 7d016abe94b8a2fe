"""The engine's REST interface as the bench needs it: deploy, start many, count what is open, read the history."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from bench.errors import BenchError

_AT_ONCE: Final = 12
_IN_ONE: Final = 50
"""How many instances one transaction of the starter makes."""
_LONGEST: Final = 4_000
"""How many characters a variable of the type String may have: it is a column of the engine's database."""


class Engine:
    """A pooled client for the bench's own needs; an async context."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session: aiohttp.ClientSession | None = None
        self._deployments: list[str] = []

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=2 * _AT_ONCE))
        return self

    async def __aexit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, method: str, path: str, body: Any = None, form: aiohttp.FormData | None = None) -> Any:
        """Make one call; return its JSON, None for an empty answer."""
        if self._session is None:
            raise BenchError("the engine's client is not open")
        async with self._session.request(method, self.url + path, json=body, data=form) as answer:
            if answer.status >= 400:
                raise BenchError(f"{method} {path}: {answer.status} {(await answer.text())[:500]}")
            return await answer.json() if answer.status == 200 else None

    async def deploy(self, *topics: str) -> str:
        """Deploy for each topic a process of its name with one external task; return the deployment."""
        form = aiohttp.FormData()
        form.add_field("deployment-name", topics[0])
        for number, topic in enumerate(topics):
            text = _PROCESS.format(key=topic)
            form.add_field(f"file{number}", text.encode(), filename=f"{number}.bpmn")
        form.add_field("starter", _STARTER.encode(), filename="starter.bpmn")
        return str((await self.ask("POST", "/deployment/create", form=form))["id"])

    async def delete(self, deployment: str) -> None:
        """Delete a deployment with all instances and their history, so that the next run finds the engine as empty."""
        with suppress(aiohttp.ClientError):  # an engine that is gone has nothing left, and is not what went wrong
            await self.ask(
                "DELETE", f"/deployment/{deployment}?cascade=true&skipCustomListeners=true&skipIoMappings=true"
            )

    async def start(self, key: str) -> str:
        """Start one instance; return its id."""
        return str((await self.ask("POST", f"/process-definition/key/{key}/start", {}))["id"])

    async def start_many(self, key: str, count: int) -> None:
        """Start instances, many in one transaction: this is not what is measured. Return when all are there."""
        await self.start_some(key, count)
        there = await self.open(key)
        if there != count:
            raise BenchError(f"{count} instances of {key} were to be started, {there} tasks are there")

    async def start_some(self, key: str, count: int) -> None:
        """Start instances while they may be worked already."""
        slots = asyncio.Semaphore(_AT_ONCE)

        async def some(number: int) -> None:
            variables = {"key": {"value": key}, "number": {"value": number, "type": "Integer"}}
            async with slots:
                await self.ask("POST", "/process-definition/key/bench-starter/start", {"variables": variables})

        whole, rest = divmod(count, _IN_ONE)
        await asyncio.gather(*(some(number) for number in [_IN_ONE] * whole + ([rest] if rest else [])))

    async def start_with(self, key: str, count: int, size: int) -> None:
        """Start instances, each with so many bytes of text, in variables as long as the engine keeps one as text."""
        slots = asyncio.Semaphore(_AT_ONCE)
        lengths = [min(_LONGEST, size - start) for start in range(0, size, _LONGEST)]
        body = {"variables": {f"text{number}": {"value": "x" * some} for number, some in enumerate(lengths)}}

        async def one() -> None:
            async with slots:
                await self.ask("POST", f"/process-definition/key/{key}/start", body)

        await asyncio.gather(*(one() for _ in range(count)))

    async def open(self, topic: str | None, *, locked: bool = False) -> int:
        """Count the topic's external tasks, or all, that are not completed."""
        query = f"{'' if topic is None else f'topicName={topic}'}{'&locked=true' if locked else ''}"
        return int((await self.ask("GET", f"/external-task/count?{query}"))["count"])

    async def ended(self, instance: str) -> bool:
        """Return whether an instance has ended."""
        return int((await self.ask("GET", f"/process-instance/count?processInstanceIds={instance}"))["count"]) == 0

    async def histories(self, key: str) -> Sequence[dict[str, Any]]:
        """Return the process instances of a definition with their times, as the engine's history has them."""
        return list(await self.ask("GET", f"/history/process-instance?processDefinitionKey={key}&maxResults=10000"))

    async def created_since(self, key: str, since: float) -> dict[str, float]:
        """Return when each process instance of a definition began that began since then; both as seconds."""
        found: dict[str, float] = {}
        moment = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
        query = {"processDefinitionKey": key, "startedAfter": moment}
        for first in range(0, 1_000_000, 5000):
            path = f"/history/process-instance?firstResult={first}&maxResults=5000"
            rows = await self.ask("POST", path, {**query, "sorting": [{"sortBy": "instanceId", "sortOrder": "asc"}]})
            for row in rows:
                began = datetime.strptime(row["startTime"], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
                found[row["id"]] = began
            if len(rows) < 5000:
                break
        return found

    async def lock_all(self, topic: str, worker_id: str, count: int) -> list[str]:
        """Lock so many of a topic's tasks for a while, as a submitter does; return their ids."""
        ids: list[str] = []
        topics = [{"topicName": topic, "lockDuration": 600_000, "variables": []}]
        while len(ids) < count:
            body = {"workerId": worker_id, "maxTasks": min(500, count - len(ids)), "topics": topics}
            found = await self.ask("POST", "/external-task/fetchAndLock", body)
            if not found:
                raise BenchError(f"{len(ids)} of {count} tasks of {topic} could be locked")
            ids.extend(task["id"] for task in found)
        return ids

    async def about(self) -> str:
        """Return the engine's version."""
        return str((await self.ask("GET", "/version"))["version"])


_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:camunda="http://camunda.org/schema/1.0/bpmn"
             id="definitions" targetNamespace="urn:gateway:bench">
"""

_PROCESS = (
    _HEAD
    + """  <process id="{key}" isExecutable="true" camunda:historyTimeToLive="P1D">
    <startEvent id="start"/>
    <sequenceFlow id="f1" sourceRef="start" targetRef="work"/>
    <serviceTask id="work" camunda:type="external" camunda:topic="{key}"/>
    <sequenceFlow id="f2" sourceRef="work" targetRef="done"/>
    <endEvent id="done"/>
  </process>
</definitions>
"""
)

_STARTER = (
    _HEAD
    + """  <process id="bench-starter" isExecutable="true" camunda:historyTimeToLive="P1D">
    <startEvent id="start"/>
    <sequenceFlow id="f1" sourceRef="start" targetRef="begin"/>
    <serviceTask id="begin"
        camunda:expression="${execution.processEngineServices.runtimeService.startProcessInstanceByKey(key)}">
      <multiInstanceLoopCharacteristics isSequential="true">
        <loopCardinality>${number}</loopCardinality>
      </multiInstanceLoopCharacteristics>
    </serviceTask>
    <sequenceFlow id="f2" sourceRef="begin" targetRef="done"/>
    <endEvent id="done"/>
  </process>
</definitions>
"""
)
