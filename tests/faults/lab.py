"""A lab for faults: gateways that freeze, and die at named points; and the truth about what became of tasks."""

from __future__ import annotations

import asyncio
import io
import json
import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from bridge.adapters.mongo.task_counts import CountStore
from bridge.domain.task import State, Task
from bridge.ports.reader import TaskFilter
from tests.e2e.gateways import TIME_LIMIT, GatewayProcess, Lab
from tests.faults.gate import Gate, Run
from tests.pause import pause

HASTE = {
    "LOCK_DURATION": "6",
    "CLAIM_DURATION": "3",
    "STALE_AFTER": "3",
    "REPORT_WITHIN": "2",
    "SWEEP_EVERY": "0.2",
    "POLL_WAIT": "1",
    "PUBLISH_TIMEOUT": "1",
    "REPORT_RETRY_DELAY": "0.2",
    "REPORT_RETRY_DELAY_MAX": "1",
    "SHUTDOWN_GRACE": "5",
}

_TOPIC = """
import asyncio, os
from pydantic import BaseModel
from bridge.topic import Context, topic

class Input(BaseModel):
    number: int = 0

@topic("{topic}", timeout={timeout}, concurrency={concurrency}, retries=3, variables="*")
async def work(given: Input, context: Context) -> dict[str, int]:
    line = f"{{context.task_id}} {{context.idempotency_key}} {{context.attempt}}\\n".encode()
    file = os.open({runs!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line)
    os.close(file)
{body}
    return {{"attempt": context.attempt}}
"""
_GATED = """
    reader, writer = await asyncio.open_connection("127.0.0.1", {port})
    try:
        writer.write(line)
        if await reader.readline() != b"go\\n":
            raise ConnectionError("the gate is gone")
    finally:
        writer.close()
"""


class FaultyGateway(GatewayProcess):
    """A gateway to which a test does what an operating system can do to a process."""

    def __init__(
        self, env: Mapping[str, str], folder: Path, arguments: tuple[str, ...], path: tuple[str, ...] = ()
    ) -> None:
        super().__init__(env, folder, arguments)
        self._env["PYTHONPATH"] = ":".join((*path, self._env["PYTHONPATH"]))
        self.module = "tests.faults.crashing" if "CRASH_AT" in env else "gateway"

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def died(self) -> int:
        """Return how it ended, once it has."""
        async with asyncio.timeout(TIME_LIMIT):
            code = await self.process.wait()
        await self._done()
        return code

    async def struck(self, point: str) -> None:
        """Return once the process was killed at the point, and nothing else was the cause."""
        await self.until("crash_point", point=point)
        assert await self.died() == -signal.SIGKILL
        assert not self.events("crash_point_passed")

    def events(self, event: str, **values: Any) -> list[dict[str, Any]]:
        """Return the lines so far of an event."""
        return [
            line
            for line in self.lines
            if line.get("event") == event and all(line.get(name) == value for name, value in values.items())
        ]

    async def until_count(self, event: str, count: int, **values: Any) -> None:
        """Return once there are so many lines of an event."""
        async with asyncio.timeout(TIME_LIMIT), self._news:
            await self._news.wait_for(lambda: len(self.events(event, **values)) >= count)

    def place(self, event: str, **values: Any) -> int:
        """Return where in the log the first such line is."""
        return self.lines.index(self.events(event, **values)[0])

    async def stop(self) -> int:
        """SIGTERM, and wait for the end; one that a test froze is let go on."""
        if self._process is not None and self._process.returncode is None:
            self.signal(signal.SIGCONT)
        return await super().stop()


class FaultLab(Lab):
    """Short times, a topic that counts its runs in a file, and a look into the store."""

    def __init__(self, servers: Mapping[str, str], folder: Path, session: aiohttp.ClientSession) -> None:
        super().__init__(servers, folder, session)
        self.env.update(HASTE)
        self.gate = Gate()
        self.store = CountStore(servers["MONGODB_URI"], self.env["MONGODB_DATABASE"])
        self._runs = folder / "runs"

    async def open(self) -> None:
        await self.gate.start()
        await self.store.open()

    async def close(self) -> None:
        try:
            await self.gate.open()
            await super().close()
        finally:
            await self.gate.close()
            await self.store.close()

    async def faulty(self, *arguments: str, path: tuple[str, ...] = (), **env: str) -> FaultyGateway:
        """Start a gateway; it is ended with the lab."""
        gateway = FaultyGateway({**self.env, **env}, self.folder, arguments or ("serve",), path)
        self.gateways.append(gateway)
        await gateway.start()
        return gateway

    async def counted(self, *, gated: bool = False, concurrency: int = 8, timeout: float = 60, body: str = "") -> str:
        """Write a topic that counts its runs, and waits at the gate if it's gated; deploy a process, return its key."""
        return await self.deploy("work", self.write_counted(gated, concurrency, timeout, body))

    def write_counted(
        self, gated: bool = False, concurrency: int = 8, timeout: float = 60, body: str = "", name: str = "work"
    ) -> str:
        """Write such a topic; return its name."""
        topic = self.topic(name)
        text = _TOPIC.format(
            topic=topic,
            runs=str(self._runs),
            concurrency=concurrency,
            timeout=timeout,
            body=(_GATED.format(port=self.gate.port) if gated else "") + body,
        )
        self.write_topic(name, text)
        return topic

    async def deploy_text(self, name: str, text: str, topic: str) -> str:
        """Deploy a process of the test's own, with `{key}` and `{topic}` filled in; return its key."""
        key = f"{name}-{self.name}"
        form = aiohttp.FormData()
        form.add_field("deployment-name", key)
        form.add_field("data", text.format(key=key, topic=topic).encode(), filename=f"{name}.bpmn")
        async with self._session.post(f"{self.engine_url}/deployment/create", data=form) as answer:
            answer.raise_for_status()
            self._deployments.append((await answer.json())["id"])
        return key

    def runs(self) -> list[Run]:
        """Return the runs of handlers, in the order in which they began."""
        text = self._runs.read_text() if self._runs.exists() else ""
        return [Run.read(line) for line in text.splitlines()]

    async def begin(self, key: str, count: int = 1) -> list[str]:
        """Start instances; return the ids of their external tasks."""
        slots = asyncio.Semaphore(16)

        async def one() -> str:
            async with slots:
                return await self.start(key)

        instances = await asyncio.gather(*(one() for _ in range(count)))
        return [await self.first_task_of(instance) for instance in instances]

    async def first_task_of(self, instance: str) -> str:
        """Return the id of an instance's external task, whatever has become of it since."""
        query = f"processInstanceId={instance}&creationLog=true&maxResults=2"
        (entry,) = await self.ask("GET", f"/history/external-task-log?{query}")
        return str(entry["externalTaskId"])

    async def start_with(self, key: str, **variables: Mapping[str, Any]) -> str:
        """Start an instance with variables, however large they are; return the instance's id."""
        body = io.BytesIO(json.dumps({"variables": variables}).encode())
        url = f"{self.engine_url}/process-definition/key/{key}/start"
        async with self._session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
            assert answer.status == 200, await answer.text()
            return str((await answer.json())["id"])

    async def kept(self, task_id: str) -> Task:
        """Return a task as the store has it."""
        task = await self.store.get(task_id)
        assert task is not None
        return task

    async def until_kept(self, task_id: str, *states: State) -> Task:
        """Return a task once it is in one of the states; each look is a call to the store."""
        task = None
        try:
            async with asyncio.timeout(TIME_LIMIT):
                while (task := await self.store.get(task_id)) is None or task.state not in states:
                    await pause()
        except TimeoutError:
            raise AssertionError(f"task {task_id} did not become {states}: {task}") from None
        return task

    async def until_error(self, task_id: str, error: str) -> Task:
        """Return a task once it has that error; each look is a call to the store."""
        async with asyncio.timeout(TIME_LIMIT):
            while (task := await self.store.get(task_id)) is None or task.error != error:
                await pause()
        return task

    async def until_looked_at(self, task_id: str, times: int) -> None:
        """Return once its outcome was due so often, and a process asked the engine about it."""
        async with asyncio.timeout(TIME_LIMIT):
            while (task := await self.store.get(task_id)) is None or task.reports < times:
                await pause()

    async def until_leased(self, task_id: str, times: int) -> None:
        """Return once the engine has given a task so often."""
        async with asyncio.timeout(TIME_LIMIT):
            while (task := await self.store.get(task_id)) is None or task.epoch < times:
                await pause()

    async def until_all_kept(self, state: State) -> list[str]:
        """Return the ids of all kept tasks once there are some, and all are in this state."""
        async with asyncio.timeout(TIME_LIMIT):
            while True:
                page = await self.store.page(TaskFilter(), 1000)
                tasks = [task for task in page.tasks if isinstance(task, Task)]
                if tasks and {task.state for task in tasks} == {state}:
                    return [task.id for task in tasks]
                await pause()

    async def until_renewed(self, task: Task, times: int) -> None:
        """Return once a running task's claim was renewed so often; raise where it went to somebody else."""
        looks = {task.next_at}
        async with asyncio.timeout(TIME_LIMIT):
            while len(looks) <= times:
                now = await self.kept(task.id)
                assert now.claim_id == task.claim_id
                looks.add(now.next_at)
                await pause()

    async def until_unlocked(self, topic: str, count: int = 1) -> None:
        """Return once the locks of so many tasks have ended, as the engine sees it."""
        async with asyncio.timeout(TIME_LIMIT):
            while await self.count(f"topicName={topic}&notLocked=true") < count:
                await pause()

    async def count(self, query: str) -> int:
        """Count open external tasks."""
        return int((await self.ask("GET", f"/external-task/count?{query}"))["count"])

    async def assert_each_once(self, key: str, tasks: list[str]) -> None:
        """Hold the engine's log, its instances and the store against the promise: each task has one result."""
        assert Counter(await self.successes(key)) == Counter(tasks)
        assert await self.finished(key) == len(tasks)
        for task_id in tasks:
            await self.until_kept(task_id, State.COMPLETED)
        assert (await self.store.statistics()).total == len(tasks)
