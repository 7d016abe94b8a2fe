"""How fast a backlog is worked off: the clock runs from when a first part is done, so that no start is in it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from uuid import uuid4

from bench import usage
from bench.contenders import Contender, Worker
from bench.engine import Engine
from bench.errors import BenchError
from bench.servers import Servers

STUCK: Final = 90.0
"""Seconds without a single completion after which a run is given up."""
LEAD: Final = 0.25
"""Which part, on top of those that are counted, is worked off before the clock starts."""
_STILL: Final = 3
"""How many drains in a row must bring nothing."""


@dataclass(frozen=True, slots=True)
class Drain:
    """One run. `cpu` is milliseconds a task by process, `calls` engine calls a task by operation (gateways only)."""

    tasks: int
    seconds: float
    cpu: dict[str, float]
    calls: dict[str, float] = field(default_factory=dict)
    memory: list[int] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Tasks a second."""
        return self.tasks / self.seconds

    def as_json(self) -> dict[str, Any]:
        """Return what is worth keeping."""
        return {**asdict(self), "rate": self.rate}


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    open: int
    cpu: dict[str, float]
    calls: Counter[str]


async def drain(engine: Engine, servers: Servers, contender: Contender, tasks: int) -> Drain:
    """Start the instances, let the contender work them off, and measure all but the first part of that."""
    topic = f"{contender.name}-{uuid4().hex[:6]}"
    deployment = await engine.deploy(topic)
    counted = max(20, int(tasks * contender.share))
    await engine.start_many(topic, counted + int(counted * LEAD))
    worker = contender.make(servers, topic)
    try:
        worker.start()
        return await measure(engine, servers, worker, topic, counted)
    finally:
        await worker.stop()
        await engine.delete(deployment)


async def measure(engine: Engine, servers: Servers, worker: Worker, topic: str | None, counted: int) -> Drain:
    """Measure the worker from when so many tasks are left until none is; of one topic, or of all."""
    parts = {**servers.pids, "client": worker.pids}
    await wait_until_open(engine, topic, counted, alive(worker))
    begin = _Sample(time.perf_counter(), await engine.open(topic), usage.cpu(parts), await worker.engine_calls())
    await wait_until_open(engine, topic, 0, alive(worker))
    end = _Sample(time.perf_counter(), 0, usage.cpu(parts), await worker.engine_calls())
    done = begin.open - end.open
    if done <= 0:
        raise BenchError(f"{topic or 'all'} was worked off before it could be measured: take more tasks")
    return Drain(
        tasks=done,
        seconds=end.at - begin.at,
        cpu={name: (end.cpu[name] - begin.cpu[name]) * 1000 / done for name in parts},
        calls={name: (end.calls[name] - begin.calls[name]) / done for name in end.calls},
        memory=usage.resident(worker.pids),
    )


def alive(worker: Worker) -> Callable[[], Awaitable[None]]:
    """Return a look at whether the worker still runs."""

    async def look() -> None:
        worker.check()

    return look


async def wait_until_open(engine: Engine, topic: str | None, left: int, look: Callable[[], Awaitable[None]]) -> None:
    """Return when no more than `left` tasks are open; `look` is called at each look that found more."""
    last, since = -1, time.monotonic()
    while (now := await engine.open(topic)) > left:
        await look()
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > STUCK:
            raise BenchError(f"{topic or 'all topics'}: {now} tasks are open and none was completed in {STUCK:g} s")
        # Seldom while it takes long, as a look costs the engine something; often when the end is near.
        await asyncio.sleep(min(0.2, 0.02 + (now - left) / 5000))


async def warm(engine: Engine, servers: Servers, contender: Contender, tasks: int, most: int = 12) -> list[float]:
    """Drain until the engine gets no faster: a fresh one is several times slower. Returns the rates on the way."""
    rates: list[float] = []
    while len(rates) < most and not is_warm(rates):
        rates.append((await drain(engine, servers, contender, tasks)).rate)
    return rates


def is_warm(rates: Sequence[float]) -> bool:
    """Return whether none of the last three drains was faster, by a tenth or more, than the best before them.

    One slow drain is no proof: the machine has slow moments too.
    """
    before, last = rates[:-_STILL], rates[-_STILL:]
    return bool(before) and max(last) < 1.1 * max(before)
