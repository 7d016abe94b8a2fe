"""What is measured in which order: everything in one run, so that its numbers may be compared with one another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.backlog import backlog
from bench.contenders import Contender
from bench.counted import count
from bench.drain import drain, warm
from bench.engine import Engine
from bench.gateway import Shape
from bench.latency import idle_latency, start_to_first
from bench.results import Results, about
from bench.servers import Servers
from bench.submit import submissions

SHORT_TASKS = 600
_IDLE_SAMPLES = 60
_STARTS = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """The contenders that run, how often and with how many tasks."""

    contenders: Sequence[Contender]
    rounds: int
    tasks: int
    concurrency: int
    history: str

    @property
    def names(self) -> frozenset[str]:
        """The contenders that run."""
        return frozenset(one.name for one in self.contenders)


@asynccontextmanager
async def _begin(servers: Servers, plan: Plan) -> AsyncIterator[tuple[Engine, Results]]:
    async with Engine(servers.engine) as engine:
        yield engine, Results(about(await engine.about(), plan.history, plan.concurrency))


async def run(servers: Servers, plan: Plan) -> Results:
    """Warm the servers, drain in turns, then measure what needs no turns."""
    async with _begin(servers, plan) as (engine, results):
        for one in plan.contenders[:1]:
            results.warm = await warm(engine, servers, one, plan.tasks)
            _say(f"warmed by {one.name}: {', '.join(f'{rate:.0f}' for rate in results.warm)} tasks/s")
        for one in plan.contenders:
            if one.name.startswith("gateway"):  # the store and the broker want to be warm as well
                await drain(engine, servers, one, plan.tasks)
        for number in range(plan.rounds):
            results.rounds.append({})
            for one in _turned(plan.contenders, number):
                found = await drain(engine, servers, one, plan.tasks)
                results.rounds[-1][one.name] = found
                _say(f"round {number + 1}: {one.name} {found.rate:.0f} tasks/s")
        await _times(engine, servers, plan, results)
        if "gateway" in plan.names:
            await _gateway_alone(engine, servers, plan, results)
        return results


def _turned(contenders: Sequence[Contender], number: int) -> list[Contender]:
    """Return the contenders in another order each round: what one leaves behind meets another one each time."""
    start = number % len(contenders)
    return [*contenders[start:], *contenders[:start]]


async def _times(engine: Engine, servers: Servers, plan: Plan, results: Results) -> None:
    for one in plan.contenders:
        if one.name not in {"ceiling", "pooled", "gateway"} or plan.history == "none":
            continue
        results.idle[one.name] = await idle_latency(engine, servers, one, _IDLE_SAMPLES)
        results.first[one.name] = [await start_to_first(engine, servers, one) for _ in range(_STARTS)]
        _say(f"idle: {one.name} {results.idle[one.name].p50:.0f} ms")


async def _gateway_alone(engine: Engine, servers: Servers, plan: Plan, results: Results) -> None:
    for roles in ("web", "web,intake,work"):
        shape = Shape(roles=roles, concurrency=plan.concurrency)
        results.submit.append(await submissions(engine, servers, shape, plan.tasks))
        _say(f"submit, roles {roles}: {results.submit[-1].rate:.0f}/s")
    results.counts = await count(engine, servers, plan.tasks, plan.concurrency)


async def run_counted(servers: Servers, plan: Plan) -> Results:
    """Only count; no time is measured."""
    async with _begin(servers, plan) as (engine, results):
        results.counts = await count(engine, servers, SHORT_TASKS, plan.concurrency)
        return results


async def run_backlog(servers: Servers, plan: Plan, hot: int) -> Results:
    """Only the backlog, after the engine is warm."""
    async with _begin(servers, plan) as (engine, results):
        for one in plan.contenders[:1]:
            results.warm = await warm(engine, servers, one, plan.tasks)
        results.backlog = await backlog(engine, servers, hot)
        return results


def _say(text: str) -> None:
    print(text, flush=True)
