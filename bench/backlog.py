"""Fifty topics, one of them with a long backlog: how long the others' tasks wait, and whether memory stays bounded."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from bench import usage
from bench.engine import Engine
from bench.gateway import Gateways, Shape
from bench.latency import quantile, until_ended
from bench.servers import Servers

TOPICS: Final = 50
_EVERY: Final = 0.25
"""Seconds between two instances of cold topics."""
_COUNTED: Final = 4
"""After how many of them the backlog is counted."""


@dataclass(frozen=True, slots=True)
class Waits:
    """Milliseconds from a task's creation to its handler's begin (`wait`), and to the instance's end (`total`)."""

    samples: int
    wait_p50: float
    wait_p95: float
    total_p50: float
    total_p95: float


@dataclass(frozen=True, slots=True)
class Quarter:
    """A quarter of the backlog's tasks: how many a second, cold tasks' waits meanwhile, and the gateway's memory."""

    rate: float
    waits: Waits | None
    memory: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """`memory` is the gateway's resident bytes at its start, at the most, and in the end."""

    hot: int
    idle: Waits
    loaded: Waits
    rate: float
    memory: tuple[int, int, int]
    most_locked: int
    quarters: tuple[Quarter, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what is worth keeping."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Times:
    """Of one task, milliseconds: as in `Waits`."""

    wait: float
    total: float


@dataclass(frozen=True, slots=True)
class _Moment:
    """What was there when a cold instance was started: tasks of the hot topic, and the gateway's memory."""

    at: float
    left: int
    memory: int
    instance: str


async def backlog(engine: Engine, servers: Servers, hot: int, cold: int = 100) -> Backlog:
    """Measure the cold topics' tasks first with nothing else to do; fill the engine; then measure them beside that."""
    mark = uuid4().hex[:6]
    topics = [f"{'hot' if number == 0 else f'cold{number}'}-{mark}" for number in range(TOPICS)]
    await engine.deploy(*topics)  # and not deleted: of so many instances that takes minutes, and the engine ends now
    notes = servers.folder / f"notes-{mark}"
    notes.mkdir()
    env = {"BENCH_HOT": topics[0], "BENCH_NOTES": str(notes)}
    shape = Shape(handler="note", concurrency=16, env=env)
    async with Gateways(servers.env, servers.folder, topics, shape).running():
        await _trickle(engine, topics[1:6], 5)
        idle = await _trickle(engine, topics[1:], cold)
        idle_waits = _waits((await _times(engine, idle, notes)).values())
    await engine.start_some(topics[0], hot)
    gateways = Gateways(servers.env, servers.folder, topics, shape)
    async with gateways.running():
        return await _loaded(engine, gateways, topics, hot=hot, notes=notes, idle=idle_waits)


async def _loaded(
    engine: Engine, gateways: Gateways, topics: Sequence[str], *, hot: int, notes: Path, idle: Waits
) -> Backlog:
    moments: list[_Moment] = []
    locked, left, began = 0, hot, time.monotonic()
    while left:
        gateways.check()
        instance = await engine.start(topics[1 + len(moments) % (TOPICS - 1)])
        moments.append(_Moment(time.monotonic(), left, max(usage.resident(gateways.pids)), instance))
        await asyncio.sleep(_EVERY)
        if len(moments) % _COUNTED == 0:  # each count reads all that is open
            locked = max(locked, await engine.open(topics[0], locked=True))
            left = await engine.open(topics[0])
    seconds = time.monotonic() - began
    for moment in moments:
        await until_ended(engine, moment.instance)
    times = await _times(engine, [moment.instance for moment in moments], notes)
    memory = [moment.memory for moment in moments]
    quarters = tuple(_quarter(moments, times, hot, number) for number in range(4))
    return Backlog(
        hot, idle, _waits(times.values()), hot / seconds, (memory[0], max(memory), memory[-1]), locked, quarters
    )


def _quarter(moments: Sequence[_Moment], times: Mapping[str, _Times], hot: int, number: int) -> Quarter:
    within = [moment for moment in moments if hot * (3 - number) < 4 * moment.left <= hot * (4 - number)]
    if len(within) < 2:  # a short backlog may be gone before there is anything to compare
        return Quarter(0.0, None, max((moment.memory for moment in within), default=0))
    first, last = within[0], within[-1]
    rate = (first.left - last.left) / (last.at - first.at)
    waits = _waits(times[moment.instance] for moment in within)
    return Quarter(rate, waits, max(moment.memory for moment in within))


async def _trickle(engine: Engine, topics: Sequence[str], count: int) -> list[str]:
    instances: list[str] = []
    for number in range(count):
        instances.append(await engine.start(topics[number % len(topics)]))
        await until_ended(engine, instances[-1])
    return instances


def _begun(notes: Path) -> dict[str, float]:
    lines = (line.split() for file in notes.iterdir() for line in file.read_text().splitlines())
    return {instance: float(at) for instance, at in lines}


async def _times(engine: Engine, instances: Sequence[str], notes: Path) -> dict[str, _Times]:
    """Join the handlers' notes with the engine's history; both clocks are this machine's."""
    begun = _begun(notes)
    times: dict[str, _Times] = {}
    for instance in instances:
        row = await engine.ask("GET", f"/history/process-instance/{instance}")
        created = datetime.strptime(row["startTime"], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
        times[instance] = _Times(1000 * (begun[instance] - created), float(row["durationInMillis"]))
    return times


def _waits(times: Iterable[_Times]) -> Waits:
    several = list(times)
    waits, totals = [each.wait for each in several], [each.total for each in several]
    return Waits(
        samples=len(waits),
        wait_p50=statistics.median(waits),
        wait_p95=quantile(waits, 0.95),
        total_p50=statistics.median(totals),
        total_p95=quantile(totals, 0.95),
    )
