"""Gateways as processes of their own, on real servers: each test has its own database, exchange and topics."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

from tests.pause import pause
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
TIME_LIMIT = 240.0
TOLD = 150
"""How many lines of each gateway's log a failed test shows."""


class GatewayProcess:
    """One `gateway serve`; its log is read line by line, so that a test can wait for what happened."""

    module = "gateway"

    def __init__(self, env: Mapping[str, str], folder: Path, arguments: tuple[str, ...] = ("serve",)) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.lines: list[dict[str, Any]] = []
        self._env = {**os.environ, **env, "PORT": str(self.port), "HOST": "127.0.0.1", "PYTHONPATH": str(ROOT)}
        self._folder = folder
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._news = asyncio.Condition()

    async def start(self) -> None:
        """Return when the process says that it has started."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self.module,
            *self._arguments,
            cwd=self._folder,
            env=self._env,
            stderr=asyncio.subprocess.PIPE,
            limit=2**22,
        )
        self._reading = asyncio.create_task(self._read())
        await self.until("started")

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for raw in self._process.stderr:
            text = raw.decode(errors="replace").rstrip()
            try:
                line = json.loads(text)
            except ValueError:
                line = {"event": text}
            async with self._news:
                self.lines.append(line)
                self._news.notify_all()
        async with self._news:
            self.lines.append({"event": "the log ended"})
            self._news.notify_all()

    async def until(self, event: str, **values: Any) -> dict[str, Any]:
        """Return the first line of an event with these values, once it's there."""

        def found() -> dict[str, Any] | None:
            for line in self.lines:
                if line.get("event") == event and all(line.get(name) == value for name, value in values.items()):
                    return line
            ended = self.lines and self.lines[-1]["event"] == "the log ended"
            if ended and event != "the log ended":
                raise AssertionError(f"no {event} {values}; the log's end: {self.lines[-8:]}")
            return None

        async with asyncio.timeout(TIME_LIMIT), self._news:
            while (line := found()) is None:
                await self._news.wait()
            return line

    async def kill(self) -> None:
        """SIGKILL, and wait until it's gone."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()
        assert self._process.returncode == -signal.SIGKILL
        await self._done()

    async def stop(self) -> int:
        """SIGTERM, and wait for the end; return the exit code."""
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(TIME_LIMIT):
            code = await self._process.wait()
        await self._done()
        return code

    def tell(self) -> None:
        """Write the log's end to where a failed test shows it."""
        lines = [f"{json.dumps(line, ensure_ascii=False)}\n" for line in self.lines[-TOLD:]]
        sys.stdout.write(f"--- {self.url}: the last of {len(self.lines)} lines\n{''.join(lines)}")

    async def _done(self) -> None:
        if self._reading is not None:
            await self._reading

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Make one HTTP call; return its status and its JSON."""
        async with aiohttp.ClientSession() as session, session.request(method, self.url + path, json=body) as answer:
            return answer.status, await answer.json(content_type=None)


class Lab:
    """A real engine with processes for a test's topics, and gateways to work them."""

    def __init__(self, servers: Mapping[str, str], folder: Path, session: aiohttp.ClientSession) -> None:
        name = uuid4().hex[:12]
        self.name = name
        self.folder = folder
        self.engine_url = servers["CAMUNDA_URL"]
        self.env = {
            **servers,
            "MONGODB_DATABASE": f"test_{name}",
            "RABBITMQ_EXCHANGE": f"test.{name}",
            "AUTH": "open",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "DEBUG",
            "RETRY_DELAY": "0.2",
            "RETRY_DELAY_MAX": "0.5",
            "POLL_WAIT": "2",
            "TOPICS_PACKAGE": f"topics_{name}",
        }
        self.gateways: list[GatewayProcess] = []
        self._session = session
        self._deployments: list[str] = []
        (folder / f"topics_{name}").mkdir()
        (folder / f"topics_{name}" / "__init__.py").write_text("")

    def topic(self, name: str) -> str:
        """Return a name that no other test's topic has."""
        return f"{name}-{self.name}"

    def write_topic(self, file: str, code: str) -> None:
        """Drop a file into this test's topics; `{topic}` becomes the test's own names by `topic`."""
        (self.folder / f"topics_{self.name}" / f"{file}.py").write_text(code)

    async def gateway(self, *arguments: str, **env: str) -> GatewayProcess:
        """Start a gateway; it is ended with the lab."""
        gateway = GatewayProcess({**self.env, **env}, self.folder, arguments or ("serve",))
        self.gateways.append(gateway)
        await gateway.start()
        return gateway

    async def close(self) -> None:
        await asyncio.gather(*(gateway.stop() for gateway in self.gateways))
        for gateway in self.gateways:
            gateway.tell()
        for deployment in self._deployments:
            await self.ask("DELETE", f"/deployment/{deployment}?cascade=true")

    async def deploy(self, key: str, topic: str, model: str | None = None) -> str:
        """Deploy a process with one external task, which catches the BPMN error `REFUSED`; return its key.

        `model` is another one, in which `{key}` and `{topic}` are replaced.
        """
        form = aiohttp.FormData()
        form.add_field("deployment-name", f"{key}-{self.name}")
        text = (model or _PROCESS).format(key=f"{key}-{self.name}", topic=topic)
        form.add_field("data", text.encode(), filename=f"{key}.bpmn")
        async with self._session.post(f"{self.engine_url}/deployment/create", data=form) as answer:
            answer.raise_for_status()
            self._deployments.append((await answer.json())["id"])
        return f"{key}-{self.name}"

    async def start(self, key: str, variables: Mapping[str, Any] | None = None, business_key: str = "") -> str:
        """Start an instance; return its id."""
        body = {"variables": dict(variables or {}), "businessKey": business_key or None}
        return str((await self.ask("POST", f"/process-definition/key/{key}/start", body))["id"])

    async def start_many(self, key: str, count: int) -> None:
        slots = asyncio.Semaphore(16)

        async def one(number: int) -> None:
            async with slots:
                await self.start(key, {"number": {"type": "Integer", "value": number}}, f"k{number}")

        await asyncio.gather(*(one(number) for number in range(count)))

    async def task_of(self, instance: str) -> dict[str, Any]:
        """Return the external task at which an instance waits."""
        (task,) = await self.ask("GET", f"/external-task?processInstanceId={instance}&maxResults=2")
        return dict(task)

    async def finished(self, key: str) -> int:
        return int(
            (await self.ask("GET", f"/history/process-instance/count?processDefinitionKey={key}&finished=true"))[
                "count"
            ]
        )

    async def until_finished(self, key: str, count: int, time_limit: float = TIME_LIMIT) -> None:
        """Return when so many instances of a process have ended; each look is a call to the engine."""
        async with asyncio.timeout(time_limit):
            while await self.finished(key) < count:
                await pause()

    async def until_incident(self, instance: str) -> dict[str, Any]:
        """Return the incident of an instance once it has one."""
        async with asyncio.timeout(TIME_LIMIT):
            while not (found := await self.ask("GET", f"/incident?processInstanceId={instance}")):
                await pause()
            return dict(found[0])

    async def ended_at(self, instance: str) -> str:
        """Return the id of the end event by which an instance ended."""
        path = f"/history/activity-instance?processInstanceId={instance}&activityType=noneEndEvent"
        (end,) = await self.ask("GET", path)
        return str(end["activityId"])

    async def successes(self, key: str) -> list[str]:
        """Return the id of the external task of each success in the engine's log."""
        path = f"/history/external-task-log?processDefinitionKey={key}&successLog=true&maxResults=100000"
        return [row["externalTaskId"] for row in await self.ask("GET", path)]

    async def variables(self, instance: str) -> dict[str, Any]:
        """Return the variables that an instance had, by name."""
        path = f"/history/variable-instance?processInstanceId={instance}&deserializeValues=false&maxResults=1000"
        return {row["name"]: row for row in await self.ask("GET", path)}

    async def cancel(self, instance: str) -> None:
        """Cancel an instance; again where its lock is renewed at the same time: the engine then refuses one of both."""
        async with asyncio.timeout(TIME_LIMIT):
            while True:
                async with self._session.delete(f"{self.engine_url}/process-instance/{instance}") as answer:
                    said = await answer.text()
                if answer.status < 400:
                    return
                if "OptimisticLockingException" not in said:
                    raise AssertionError(f"DELETE {instance}: {answer.status} {said}")
                await pause()

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Call the engine's REST interface."""
        async with self._session.request(method, self.engine_url + path, json=body) as answer:
            if answer.status >= 400:
                raise AssertionError(f"{method} {path}: {answer.status} {await answer.text()}")
            return await answer.json() if answer.status == 200 else None


_PROCESS = """<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:camunda="http://camunda.org/schema/1.0/bpmn"
             id="definitions" targetNamespace="tests">
  <process id="{key}" isExecutable="true" camunda:historyTimeToLive="P1D">
    <startEvent id="start"/>
    <sequenceFlow id="f1" sourceRef="start" targetRef="work"/>
    <serviceTask id="work" camunda:type="external" camunda:topic="{topic}"/>
    <boundaryEvent id="caught" attachedToRef="work"><errorEventDefinition errorRef="refused"/></boundaryEvent>
    <sequenceFlow id="f2" sourceRef="work" targetRef="done"/>
    <sequenceFlow id="f3" sourceRef="caught" targetRef="refusal"/>
    <endEvent id="done"/>
    <endEvent id="refusal"/>
  </process>
  <error id="refused" errorCode="REFUSED"/>
</definitions>
"""
