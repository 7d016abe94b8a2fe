"""How long one task takes when nothing else is to be done, and how long a gateway takes from its start to that."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from bench.contenders import Contender
from bench.drain import STUCK
from bench.engine import Engine
from bench.errors import BenchError
from bench.servers import Servers


def quantile(values: Sequence[float], part: float) -> float:
    """Return the value below which so large a part of the values is."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from an instance's start to its end, by the engine's own history, one instance at a time."""

    samples: int
    p50: float
    p95: float


async def idle_latency(engine: Engine, servers: Servers, contender: Contender, samples: int) -> Latency:
    """Start one instance at a time, each a while after the last one ended, so that everything waits for it."""
    topic = f"{contender.name}-idle-{uuid4().hex[:6]}"
    deployment = await engine.deploy(topic)
    worker = contender.make(servers, topic)
    try:
        worker.start()
        for _ in range(samples + 5):
            await _one(engine, topic)
        rows = await engine.histories(topic)
    finally:
        await worker.stop()
        await engine.delete(deployment)
    # The first ones found a worker that was still starting, and connections that were still to be made.
    rows = sorted(rows, key=lambda row: str(row["startTime"]))[5:]
    times = [float(row["durationInMillis"]) for row in rows]
    return Latency(len(times), statistics.median(times), quantile(times, 0.95))


async def _one(engine: Engine, topic: str) -> None:
    instance = await engine.start(topic)
    await until_ended(engine, instance)
    await asyncio.sleep(0.02)  # the poll that waits for the next one is under way again


async def until_ended(engine: Engine, instance: str, every: float = 0.02) -> None:
    """Return when an instance has ended."""
    deadline = time.monotonic() + STUCK
    while not await engine.ended(instance):
        if time.monotonic() > deadline:
            raise BenchError(f"instance {instance} did not end in {STUCK:g} s")
        await asyncio.sleep(every)


async def start_to_first(engine: Engine, servers: Servers, contender: Contender) -> float:
    """Return the seconds from the start of the contender's processes to the end of a task that waited for them."""
    topic = f"{contender.name}-first-{uuid4().hex[:6]}"
    deployment = await engine.deploy(topic)
    instance = await engine.start(topic)
    worker = contender.make(servers, topic)
    try:
        began = time.perf_counter()
        worker.start()
        await until_ended(engine, instance, every=0.01)
        return time.perf_counter() - began
    finally:
        await worker.stop()
        await engine.delete(deployment)
