"""The contenders of the benchmark: each works one topic from its start to its end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from bench import programs
from bench.errors import BenchError
from bench.gateway import ROOT, Gateways, Shape
from bench.programs import Program
from bench.servers import Servers
from bench.traced import Traced

BATCH: Final = 50
CONNECTIONS: Final = 8


class Worker(Protocol):
    """Something at work on a topic."""

    @property
    def pids(self) -> list[int]:
        """The ids of its processes."""

    def start(self) -> None:
        """Begin to work, without waiting for that."""

    def check(self) -> None:
        """Raise `BenchError` where it has ended by itself."""

    async def stop(self) -> None:
        """End it."""

    async def engine_calls(self) -> Counter[str]:
        """Return its calls to the engine so far, where it counts them itself."""


class Client:
    """One client as a program of its own; it reads BENCH_* and runs until it is ended."""

    def __init__(self, servers: Servers, topic: str, command: tuple[str, ...], env: Mapping[str, str]) -> None:
        self._command = command
        self._log = servers.folder / f"{topic}.log"
        self._env = {
            **os.environ,
            "BENCH_ENGINE": servers.engine,
            "BENCH_TOPIC": topic,
            "BENCH_BATCH": str(BATCH),
            "BENCH_CONNECTIONS": str(CONNECTIONS),
            "PYTHONPATH": str(ROOT),
            **env,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pids(self) -> list[int]:
        """The id of the process."""
        return [] if self._process is None else [self._process.pid]

    def start(self) -> None:
        """Start the program."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, env=self._env, stdout=log, stderr=log)

    def check(self) -> None:
        """Raise `BenchError` with the end of what it said."""
        if self._process is not None and self._process.poll() is not None:
            said = "\n".join(self._log.read_text(errors="replace").splitlines()[-10:])
            raise BenchError(f"{self._command[0]} ended with {self._process.returncode}:\n{said}")

    async def stop(self) -> None:
        """Kill it: it has nothing to lose."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def engine_calls(self) -> Counter[str]:
        """Not counted."""
        return Counter()


@dataclass(frozen=True, slots=True)
class Contender:
    """`share`: which part of the tasks a slow one gets, so that a round ends. `missing` tells what it can't do without.

    `reference` is the one that ratios are of.
    """

    name: str
    says: str
    make: Callable[[Servers, str], Worker]
    share: float = 1.0
    program: Program | None = None
    reference: bool = False
    by_default: bool = True

    def missing(self) -> str | None:
        """Tell what is not installed, if anything."""
        return None if self.program is None else self.program.missing()


@dataclass(frozen=True, slots=True)
class _Run:
    """Makes a client of a command and of what it is told by its environment."""

    command: Callable[[], tuple[str, ...]]
    env: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, servers: Servers, topic: str) -> Worker:
        return Client(servers, topic, self.command(), self.env)


def _python(module: str) -> Callable[[], tuple[str, ...]]:
    return lambda: (sys.executable, "-m", module)


def _javascript() -> tuple[str, ...]:
    return ("node", str(programs.JAVASCRIPT.place()))


def _java() -> tuple[str, ...]:
    return (
        "java",
        "-Xmx256m",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-jar",
        str(programs.JAVA_CLIENT.place()),
    )


def _gateway(shape: Shape) -> Callable[[Servers, str], Worker]:
    return lambda servers, topic: Gateways(servers.env, servers.folder, [topic], shape)


def _traced(shape: Shape, sampling: float) -> Callable[[Servers, str], Worker]:
    return lambda servers, topic: Traced(servers, topic, shape, sampling)


_TUNED = {"BENCH_TUNED": "1"}
_POOLED = _Run(_python("bench.clients.pooled"))


def contenders(concurrency: int) -> dict[str, Contender]:
    """Return all contenders by name. Where Go is missing, the pooled client stands for the ceiling."""
    lean = _Run(lambda: (str(programs.CEILING.place()),)) if programs.CEILING.missing() is None else _POOLED
    one, two = (Shape(processes=number, concurrency=concurrency) for number in (1, 2))
    javascript, java, plain, plain_async = (
        _Run(command, env)
        for command, env in (
            (_javascript, _TUNED),
            (_java, _TUNED),
            (_python("bench.clients.stock"), {"BENCH_KIND": "sync"}),
            (_python("bench.clients.stock"), {"BENCH_KIND": "async"}),
        )
    )
    node, jvm = programs.JAVASCRIPT, programs.JAVA_CLIENT
    everyone = (
        Contender("ceiling", "a lean client in Go, keeps nothing", lean, reference=True),
        Contender("pooled", "asyncio and aiohttp, batches, keeps nothing", _POOLED),
        Contender("gateway", "one process, all roles", _gateway(one)),
        Contender("gateway-2", "two processes, all roles", _gateway(two)),
        Contender("gateway-traced", "one process, every task traced", _traced(one, 1.0)),
        Contender("gateway-traced-1pct", "one process, one task of 100 traced", _traced(one, 0.01)),
        Contender("javascript", "the JavaScript client, tuned", javascript, program=node),
        Contender("java", "the Java client, tuned", java, 0.5, jvm),
        Contender("python", "the Python client, sync, stock", plain, 0.2),
        Contender("javascript-stock", "the JavaScript client", _Run(_javascript), 0.1, node, by_default=False),
        Contender("java-stock", "the Java client", _Run(_java), 0.5, jvm, by_default=False),
        Contender("python-async", "the Python client, async, stock", plain_async, 0.05, by_default=False),
    )
    return {contender.name: contender for contender in everyone}
