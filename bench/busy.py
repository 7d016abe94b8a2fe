"""What open dashboards cost those who work: `python -m bench.busy`. Tasks at a steady rate beside 20 of them, and none.

All servers are real, and one process has all roles, so that pages, handlers and renewals share one event loop. An open
overview does what a browser does: it listens to the events, and fetches itself again when it is told to, at most every
two seconds. Rounds without and with them take turns, as what else the machine does changes over the minutes.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Annotated, Final
from uuid import uuid4

import aiohttp
import orjson
import typer
import uvloop
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from bench import usage
from bench.dashboard import PASSWORD, PEOPLE, add_viewer, logged_in
from bench.engine import Engine
from bench.errors import BenchError
from bench.gateway import Gateways, Shape
from bench.latency import quantile
from bench.results import table
from bench.servers import DEFAULT_BASE, Servers, servers
from sandbox.errors import SandboxError

_TICK: Final = 0.25
"""Seconds between two groups of instances."""
_PAGE_REST: Final = 2.0
"""How long a page waits at least until it fetches itself again, as in static/live.js."""
_SETTLE: Final = 3.0


@dataclass(slots=True)
class Overviews:
    """Open overviews, and how often and how long they fetched."""

    seconds: list[float] = field(default_factory=list)
    told: int = 0

    async def look(self, session: aiohttp.ClientSession, url: str) -> None:
        """Be one open page until cancelled."""
        news = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(session, url, news))
            group.create_task(self._follow(session, url, news))

    async def _listen(self, session: aiohttp.ClientSession, url: str, news: asyncio.Event) -> None:
        timeout = aiohttp.ClientTimeout(total=None)
        async with session.get(f"{url}/dashboard/events", timeout=timeout) as answer:
            if answer.status != 200:
                raise BenchError(f"{answer.url}: {answer.status}")
            async for line in answer.content:
                if line.startswith(b"data: ") and orjson.loads(line[6:]):
                    self.told += 1
                    news.set()

    async def _follow(self, session: aiohttp.ClientSession, url: str, news: asyncio.Event) -> None:
        while True:
            await news.wait()
            news.clear()
            began = time.perf_counter()
            async with session.get(f"{url}/dashboard?range=1h", headers={"X-Live": "1"}) as answer:
                text = await answer.text()
                if answer.status != 200:
                    raise BenchError(f"{answer.url}: {answer.status}: {text[:300]}")
            taken = time.perf_counter() - began
            self.seconds.append(taken)
            await asyncio.sleep(_PAGE_REST)


@dataclass(frozen=True, slots=True)
class Round:
    """One round: its tasks a second, waits and page times in milliseconds, the rest in percent of a core.

    `wait` is from a task's creation in the engine to its handler's begin, `lag` by how much the event loop was late.
    """

    overviews: int
    rate: float
    wait_p50: float
    wait_p95: float
    lag_p99: float
    gateway: float
    store: float
    fetches: float
    page_p95: float


@dataclass(frozen=True, slots=True)
class Plan:
    """How many tasks a second for how many seconds a round, and how many overviews are open."""

    rate: int
    seconds: int
    overviews: int


@dataclass(frozen=True, slots=True)
class _Lab:
    """What is measured, and who looks."""

    engine: Engine
    servers: Servers
    gateways: Gateways
    topic: str
    people: Sequence[aiohttp.ClientSession]


async def _round(lab: _Lab, plan: Plan) -> Round:
    """Start instances at the rate for so long, with the people's overviews open, and see what became of them."""
    engine, there, gateways, topic, people = lab.engine, lab.servers, lab.gateways, lab.topic, lab.people
    pages, url = Overviews(), gateways.urls[0]
    looking = [asyncio.create_task(pages.look(people[n % len(people)], url)) for n in range(plan.overviews)]
    try:
        await asyncio.sleep(_SETTLE)
        parts = {"gateway": gateways.pids, "store": there.pids["store"]}
        before, lags = usage.cpu(parts), await _lags(url)
        began = time.time()
        steady = time.monotonic()
        each = max(1, round(plan.rate * _TICK))
        for number in range(round(plan.seconds / _TICK)):
            gateways.check()
            await engine.start_some(topic, each)
            await asyncio.sleep(max(0.0, steady + (number + 1) * _TICK - time.monotonic()))
        seconds = time.monotonic() - steady
        after, later = usage.cpu(parts), await _lags(url)
        while await engine.open(topic):
            gateways.check()
            await asyncio.sleep(0.2)
    finally:
        for each_page in looking:
            each_page.cancel()
        faults = await asyncio.gather(*looking, return_exceptions=True)
    for fault in faults:
        if fault is not None and not isinstance(fault, asyncio.CancelledError):
            raise BenchError(f"an overview ended: {fault!r}")
    waits = await _waits(engine, topic, there, began)
    return Round(
        overviews=plan.overviews,
        rate=len(waits) / seconds,
        wait_p50=1000 * quantile(waits, 0.5),
        wait_p95=1000 * quantile(waits, 0.95),
        lag_p99=1000 * _quantile_of({edge: count - lags.get(edge, 0) for edge, count in later.items()}, 0.99),
        gateway=100 * (after["gateway"] - before["gateway"]) / seconds,
        store=100 * (after["store"] - before["store"]) / seconds,
        fetches=len(pages.seconds) / seconds,
        page_p95=1000 * quantile(pages.seconds, 0.95) if pages.seconds else 0.0,
    )


async def _waits(engine: Engine, topic: str, there: Servers, since: float) -> list[float]:
    notes = there.folder / "notes"
    begun = {
        instance: float(at)
        for file in notes.iterdir()
        for instance, at in (line.split() for line in file.read_text().splitlines())
    }
    rows = await engine.created_since(topic, since)
    return [begun[instance] - created for instance, created in rows.items() if instance in begun]


async def _lags(url: str) -> dict[float, int]:
    """Return how often the event loop was late by at most so much, by the histogram's edges."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    return {
        float(sample.labels["le"]): int(sample.value)
        for family in families
        for sample in family.samples
        if sample.name == "gateway_loop_lag_seconds_bucket"
    }


def _quantile_of(counts: dict[float, int], part: float) -> float:
    total = max(counts.values(), default=0)
    return next((edge for edge, count in sorted(counts.items()) if count >= part * total), 0.0)


async def run(there: Servers, plan: Plan, rounds: int) -> list[Round]:
    """Run the rounds in turns: without open overviews, and with them."""
    topic = f"busy-{uuid4().hex[:6]}"
    (there.folder / "notes").mkdir()
    env = {
        "AUTH": "required",
        "INSECURE_COOKIES": "true",
        "GATEWAY_ADMIN_USER": PEOPLE[0],
        "GATEWAY_ADMIN_PASSWORD": PASSWORD,
        "BENCH_HOT": "",
        "BENCH_NOTES": str(there.folder / "notes"),
    }
    gateways = Gateways(there.env, there.folder, [topic], Shape(handler="note", env=env))
    found: list[Round] = []
    async with Engine(there.engine) as engine, AsyncExitStack() as stack:
        await engine.deploy(topic)
        await stack.enter_async_context(gateways.running())
        await add_viewer(there, gateways.database, PEOPLE[1])
        people = [await stack.enter_async_context(logged_in(gateways.urls[0], name)) for name in PEOPLE]
        lab = _Lab(engine, there, gateways, topic, people)
        await _round(lab, Plan(plan.rate, 3, 1))  # to warm up
        for _ in range(rounds):
            for overviews in (0, plan.overviews):
                one = Plan(plan.rate, plan.seconds, overviews)
                found.append(await _round(lab, one))
                print(found[-1], flush=True)
    return found


def main(
    *,
    rate: Annotated[int, typer.Option(min=4, max=1000, help="Tasks a second.")] = 300,
    seconds: Annotated[int, typer.Option(min=5, max=600, help="Seconds a round.")] = 20,
    overviews: Annotated[int, typer.Option(min=1, max=24, help="Open overviews.")] = 20,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Rounds of either kind.")] = 3,
    base: Annotated[int, typer.Option(help="The first of eight ports for the servers.")] = DEFAULT_BASE,
) -> None:
    """Measure what open overviews cost tasks at a steady rate."""
    console = Console(width=max(110, Console().width))
    try:
        with servers(base, "full") as there:
            found = uvloop.run(run(there, Plan(rate, seconds, overviews), rounds))
    except (BenchError, SandboxError) as error:
        console.print(f"bench: {error}", style="red", markup=False)
        sys.exit(2)
    columns = (
        "overviews",
        "tasks/s",
        "wait p50 ms",
        "wait p95 ms",
        "lag p99 ms",
        "gateway %",
        "store %",
        "fetches/s",
        "page p95 ms",
    )
    rows = [
        (
            str(one.overviews),
            *(f"{value:.0f}" for value in (one.rate, one.wait_p50, one.wait_p95, one.lag_p99, one.gateway, one.store)),
            f"{one.fetches:.1f}",
            f"{one.page_p95:.0f}",
        )
        for one in sorted(found, key=lambda one: one.overviews)
    ]
    console.print(table(f"{rate} tasks a second for {seconds} s a round", columns, rows))


if __name__ == "__main__":
    typer.run(main)
