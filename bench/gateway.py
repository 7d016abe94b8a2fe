"""Gateways under measurement: processes with a database, an exchange and topics of their own, at default settings."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from pymongo import AsyncMongoClient

from bench.errors import BenchError

ROOT: Final = Path(__file__).parents[1]
TIME_LIMIT: Final = 60.0


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Shape:
    """How the gateways run: `processes` of them with these `roles`, and the handlers' kind and concurrency."""

    processes: int = 1
    roles: str = "web,intake,work"
    handler: str = "nothing"
    concurrency: int = 50
    counts: bool = False
    env: Mapping[str, str] = field(default_factory=dict)


class Gateways:
    """Processes of one gateway; `start` them, and `stop` them whatever happens. `folder` must be there."""

    def __init__(self, servers: Mapping[str, str], folder: Path, topics: Sequence[str], shape: Shape = Shape()) -> None:
        name = uuid4().hex[:10]
        self._servers, self._folder, self._shape = servers, folder, shape
        self.database = f"bench_{name}"
        self.ports = [free_port() for _ in range(shape.processes)]
        self._env = {
            **os.environ,
            **{key: servers[key] for key in ("CAMUNDA_URL", "MONGODB_URI", "RABBITMQ_URL")},
            "MONGODB_DATABASE": self.database,
            "RABBITMQ_EXCHANGE": f"bench.{name}",
            "AUTH": "open",
            "HOST": "127.0.0.1",
            "LOG_FORMAT": "json",
            "PYTHONPATH": str(ROOT),
            "TOPICS_PACKAGE": "bench.topics",
            "BENCH_TOPICS": ",".join(topics),
            "BENCH_HANDLER": shape.handler,
            "BENCH_CONCURRENCY": str(shape.concurrency),
            **({"BENCH_COUNTS": str(folder)} if shape.counts else {}),
            **shape.env,
        }
        self._started: list[subprocess.Popen[bytes]] = []

    @property
    def pids(self) -> list[int]:
        """The ids of the processes."""
        return [process.pid for process in self._started]

    @property
    def urls(self) -> list[str]:
        """Where the processes serve HTTP."""
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    @property
    def log(self) -> Path:
        """Where the processes write what they have to say."""
        return self._folder / f"{self.database}.log"

    def start(self) -> None:
        """Start all processes, and wait for none."""
        command = (sys.executable, "-m", "gateway", "serve", "--roles", self._shape.roles)
        for port in self.ports:
            with self.log.open("ab") as log:
                self._started.append(
                    subprocess.Popen(
                        command, cwd=self._folder, env={**self._env, "PORT": str(port)}, stdout=log, stderr=log
                    )
                )

    async def until_ready(self) -> None:
        """Wait until each process says that it may be sent work."""
        async with aiohttp.ClientSession() as session, asyncio.timeout(TIME_LIMIT):
            for url in self.urls:
                while not await _is_ready(session, url):
                    self.check()
                    await asyncio.sleep(0.05)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start the processes, wait until they are ready, and stop them in the end."""
        try:
            self.start()
            await self.until_ready()
            yield
        finally:
            await self.stop()

    def check(self) -> None:
        """Raise `BenchError` where a process has ended by itself."""
        ended = [process.returncode for process in self._started if process.poll() is not None]
        if ended:
            raise BenchError(f"a gateway ended with {ended[0]}:\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        """Return the end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    async def engine_calls(self) -> Counter[str]:
        """Return the calls to the engine so far, by operation, over all processes."""
        calls: Counter[str] = Counter()
        async with aiohttp.ClientSession() as session:
            for url in self.urls:
                async with session.get(f"{url}/metrics") as answer:
                    text = await answer.text()
                for family in text_string_to_metric_families(text):
                    for sample in family.samples:
                        if sample.name == "gateway_engine_call_seconds_count":
                            calls[sample.labels["operation"]] += int(sample.value)
        return calls

    async def stop(self) -> None:
        """End the processes as a deployment would, wait for them, and drop their database."""
        for process in self._started:
            process.terminate()
        for process in self._started:
            try:
                await asyncio.to_thread(process.wait, TIME_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(self._servers["MONGODB_URI"])
        async with client:
            await client.drop_database(self.database)

    def store_commands(self) -> Counter[str]:
        """Return the commands sent to the store by processes that counted and have ended."""
        total: Counter[str] = Counter()
        for process in self._started:
            path = self._folder / f"{process.pid}.json"
            if not path.exists():
                raise BenchError(f"a gateway left no counts:\n{self.tail()}")
            total.update(json.loads(path.read_text()))
        return total


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    with suppress(aiohttp.ClientError):
        async with session.get(f"{url}/health/ready") as answer:
            return answer.status == 200
    return False
