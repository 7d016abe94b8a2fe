"""Fifty topics, one of them with a long backlog: how long the others' tasks wait, and whether memory stays bounded."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from bench import usage
from bench.engine import Engine
from bench.errors import BenchError
from bench.gateway import Gateways, Shape
from bench.latency import quantile, until_ended
from bench.servers import Servers

TOPICS: Final = 50
_EVERY: Final = 0.25
"""Seconds between two instances of cold topics."""


@dataclass(frozen=True, slots=True)
class Waits:
    """Milliseconds from a task's creation to its handler's begin (`wait`), and to the instance's end (`total`)."""

    samples: int
    wait_p50: float
    wait_p95: float
    total_p50: float
    total_p95: float


@dataclass(frozen=True, slots=True)
class Backlog:
    """`memory` is the gateway's resident bytes at its start, at the most, and in the end."""

    hot: int
    idle: Waits
    loaded: Waits
    rate: float
    memory: tuple[int, int, int]
    most_locked: int

    def as_json(self) -> dict[str, Any]:
        """Return what is worth keeping."""
        return asdict(self)


async def backlog(engine: Engine, servers: Servers, hot: int, cold: int = 100) -> Backlog:
    """Measure the cold topics' tasks first with nothing else to do, then beside the backlog."""
    mark = uuid4().hex[:6]
    topics = [f"{'hot' if number == 0 else f'cold{number}'}-{mark}" for number in range(TOPICS)]
    deployment = await engine.deploy(*topics)
    notes = servers.folder / f"notes-{mark}"
    notes.mkdir()
    env = {"BENCH_HOT": topics[0], "BENCH_NOTES": str(notes)}
    gateways = Gateways(servers.env, servers.folder, topics, Shape(handler="note", concurrency=16, env=env))
    try:
        gateways.start()
        await gateways.until_ready()
        await _trickle(engine, topics[1:6], 5)
        idle = await _trickle(engine, topics[1:], cold)
        idle_waits = await _waits(engine, idle, notes)
        return await _loaded(engine, gateways, topics, hot=hot, notes=notes, idle=idle_waits)
    finally:
        await gateways.stop()
        await engine.delete(deployment)


async def _loaded(
    engine: Engine, gateways: Gateways, topics: Sequence[str], *, hot: int, notes: Path, idle: Waits
) -> Backlog:
    starting = asyncio.create_task(engine.start_some(topics[0], hot))
    memory, locked, instances = usage.resident(gateways.pids), 0, list[str]()
    began, number = time.monotonic(), 0
    while not (starting.done() and await engine.open(topics[0]) == 0):
        gateways.check()
        instances.append(await engine.start(topics[1 + number % (TOPICS - 1)]))
        number += 1
        memory += usage.resident(gateways.pids)
        locked = max(locked, await engine.open(topics[0], locked=True))
        await asyncio.sleep(_EVERY)
    seconds = time.monotonic() - began
    await starting
    for instance in instances:
        await until_ended(engine, instance)
    if not instances:
        raise BenchError("the backlog was gone before anything could be measured beside it")
    loaded = await _waits(engine, instances, notes)
    return Backlog(hot, idle, loaded, hot / seconds, (memory[0], max(memory), memory[-1]), locked)


async def _trickle(engine: Engine, topics: Sequence[str], count: int) -> list[str]:
    instances: list[str] = []
    for number in range(count):
        instances.append(await engine.start(topics[number % len(topics)]))
        await until_ended(engine, instances[-1])
    return instances


def _begun(notes: Path) -> dict[str, float]:
    lines = (line.split() for file in notes.iterdir() for line in file.read_text().splitlines())
    return {instance: float(at) for instance, at in lines}


async def _waits(engine: Engine, instances: Sequence[str], notes: Path) -> Waits:
    """Join the handlers' notes with the engine's history; both clocks are this machine's."""
    begun = _begun(notes)
    waits: list[float] = []
    totals: list[float] = []
    for instance in instances:
        row = await engine.ask("GET", f"/history/process-instance/{instance}")
        created = datetime.strptime(row["startTime"], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
        waits.append(1000 * (begun[instance] - created))
        totals.append(float(row["durationInMillis"]))
    return Waits(
        samples=len(waits),
        wait_p50=statistics.median(waits),
        wait_p95=quantile(waits, 0.95),
        total_p50=statistics.median(totals),
        total_p95=quantile(totals, 0.95),
    )
