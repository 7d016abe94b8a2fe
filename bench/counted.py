"""What is counted and not timed, so that it is the same on any machine: calls, commands, connections, locks held."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from bench import usage
from bench.contenders import BATCH
from bench.drain import wait_until_open
from bench.engine import Engine
from bench.errors import BenchError
from bench.gateway import Gateways, Shape
from bench.servers import Servers

_SLOTS: Final = 10
"""Handlers that are held at once. Of a topic whose times are not known yet, twice as many may wait beside them."""
MOST_COMMANDS: Final = 2.5
"""Store commands a task that are never reached while writes share batches, however slow the machine; alone they are
four. The target, 1.5, is a matter of how busy it is."""
_OF_A_TASK: Final = frozenset({"insert tasks", "update tasks", "findAndModify tasks", "find tasks by id"})
"""Commands of a task's way. The others are of the start, or come by the clock, however many tasks there are."""
_BY_THE_CLOCK: Final = frozenset({"topic_names", "count", "oldest"})
"""Engine calls that one process makes every 15 s, two for each topic that has tasks: the engine's own backlog."""
_CONNECTIONS: Final[Mapping[str, int]] = {"engine": 16 + 8, "store": 32 + 4, "broker": 2}
"""By default: 16 calls and 8 polls; the store's pool and its monitors; one to publish and one to consume."""


@dataclass(frozen=True, slots=True)
class Counts:
    """`engine_calls` and `store_commands` are totals by name; `connections` the most at any look, by server.

    `locked` is the most that was locked at once while no handler ended, `bound` what may be locked at the most.
    """

    tasks: int
    engine_calls: dict[str, int]
    store_commands: dict[str, int]
    connections: dict[str, int]
    locked: int
    bound: int

    @property
    def calls_a_task(self) -> float:
        """Engine calls a task, fetches and completions, without those that come by the clock."""
        return sum(self._calls_of_tasks().values()) / self.tasks

    @property
    def commands_a_task(self) -> float:
        """Store commands a task, without those that come by the clock."""
        return sum(self.store_commands.get(name, 0) for name in _OF_A_TASK) / self.tasks

    def faults(self, *, most_commands: float = MOST_COMMANDS, batch: int = BATCH) -> list[str]:
        """Tell what is more than it may be."""
        found = self.call_faults(batch)
        if self.commands_a_task > most_commands:
            found.append(f"{self.commands_a_task:.2f} store commands a task, {most_commands} are wanted")
        for name, most in _CONNECTIONS.items():
            if self.connections.get(name, 0) > most:
                found.append(f"{self.connections[name]} connections to the {name}, {most} are wanted at the most")
        if self.locked > self.bound:
            found.append(f"{self.locked} tasks were locked at once, {self.bound} are wanted at the most")
        return found

    def call_faults(self, batch: int = BATCH) -> list[str]:
        """Tell of what is more than one completion a task and a fetch a batch."""
        found: list[str] = []
        completions = self.engine_calls.get("complete", 0)
        if completions != self.tasks:
            found.append(f"{completions} completions were sent for {self.tasks} tasks")
        others = sum(self._calls_of_tasks().values()) - completions
        # A batch is what is free of the room; while the handlers keep up, half of that is a fair mean.
        if others > 2 * self.tasks / batch + 10:
            found.append(f"{others} other calls were made to the engine for {self.tasks} tasks: {self.engine_calls}")
        return found

    def _calls_of_tasks(self) -> Mapping[str, int]:
        return {name: calls for name, calls in self.engine_calls.items() if name not in _BY_THE_CLOCK}

    def as_json(self) -> dict[str, Any]:
        """Return what is worth keeping."""
        more = {"calls_a_task": self.calls_a_task, "commands_a_task": self.commands_a_task}
        return {**asdict(self), **more}


async def count(engine: Engine, servers: Servers, tasks: int, concurrency: int = BATCH) -> Counts:
    """Drain a backlog by a gateway that counts, then hold the handlers of another and see how much it locks."""
    topic = f"counted-{uuid4().hex[:6]}"
    deployment = await engine.deploy(topic)
    await engine.start_many(topic, tasks)
    gateways = Gateways(servers.env, servers.folder, [topic], Shape(counts=True, concurrency=concurrency))
    connections: Counter[str] = Counter()
    try:
        gateways.start()
        await gateways.until_ready()

        async def look() -> None:
            gateways.check()
            for name, number in usage.connections(gateways.pids[0], servers.ports).items():
                connections[name] = max(connections[name], number)

        await wait_until_open(engine, topic, 0, look)
        calls = await _all_calls(gateways, tasks)
    finally:
        await gateways.stop()
        await engine.delete(deployment)
    locked = await most_locked(engine, servers, _SLOTS)
    return Counts(tasks, dict(calls), dict(gateways.store_commands()), dict(connections), locked, 3 * _SLOTS)


async def _all_calls(gateways: Gateways, tasks: int) -> Counter[str]:
    """Return the calls once all answers are counted: the engine knows of a completion before its caller does."""
    for _ in range(100):
        calls = await gateways.engine_calls()
        if calls["complete"] >= tasks:
            break
        await asyncio.sleep(0.05)
    return calls


async def most_locked(engine: Engine, servers: Servers, slots: int) -> int:
    """Return how many tasks a gateway locks whose handlers don't end, with many more waiting in the engine."""
    topic = f"held-{uuid4().hex[:6]}"
    deployment = await engine.deploy(topic)
    await engine.start_many(topic, 20 * slots)
    path = servers.folder / f"{topic}.sock"
    gate = _Gate(path)
    env = {"BENCH_GATE": str(path), "SHUTDOWN_GRACE": "5"}
    gateways = Gateways(servers.env, servers.folder, [topic], Shape(handler="gate", concurrency=slots, env=env))
    try:
        async with await asyncio.start_unix_server(gate.hold, path):
            gateways.start()
            await gateways.until_ready()
            await gate.until_held(slots)
            most = 0
            for _ in range(40):
                most = max(most, await engine.open(topic, locked=True))
                await asyncio.sleep(0.1)
            gate.open()
    finally:
        await gateways.stop()
        await engine.delete(deployment)
    if gate.most > slots:
        raise BenchError(f"{gate.most} handlers ran at once, the topic allows {slots}")
    return most


class _Gate:
    """Holds each handler that connects until it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.most = 0
        self._held = 0
        self._change = asyncio.Condition()
        self._opened = asyncio.Event()

    async def hold(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._change:
            self._held += 1
            self.most = max(self.most, self._held)
            self._change.notify_all()
        await self._opened.wait()
        self._held -= 1
        writer.close()

    async def until_held(self, handlers: int) -> None:
        async with asyncio.timeout(60), self._change:
            while self._held < handlers:
                await self._change.wait()

    def open(self) -> None:
        self._opened.set()
