"""One demo from its first instance to its result."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Final

import aiohttp
from rich.console import Console

from gateway.settings import Settings
from sandbox.demo.checks import Observed, find_mismatches
from sandbox.demo.definitions import DEFINITIONS
from sandbox.demo.engine import EngineApi, authorization
from sandbox.demo.gateway import POLL_EVERY, Gateway, login_of, probe
from sandbox.demo.history import observe
from sandbox.demo.models import check_models, start_models
from sandbox.demo.progress import Board, GaveUp, Limits, watch
from sandbox.demo.samples import Sample, business_keys, samples
from sandbox.demo.summary import show_addresses, show_models, show_result, show_summary, show_traces
from sandbox.demo.together import together
from sandbox.demo.traces import check_traces

SERVICE: Final = "worker-api-gateway"
"""Under which name the gateway's spans are in Jaeger, unless OTEL_SERVICE_NAME says otherwise."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to do. `run` is its id, with which all its business keys begin."""

    run: str
    instances: int
    seed: int
    concurrency: int
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Demo:
    """A run against one gateway and its engine."""

    plan: Plan
    settings: Settings
    gateway: Gateway
    env: Mapping[str, str]
    ours: bool
    console: Console

    async def play(self, *, stay: bool) -> bool:
        """Run it, print what came of it, and return whether every check holds; with `stay` only after Ctrl-C.

        Raises `DemoError` where the run can't be brought to a result.
        """
        connector = aiohttp.TCPConnector(limit=self.plan.concurrency + 8)
        async with aiohttp.ClientSession(connector=connector) as session:
            self.console.print(f"waiting for the gateway at {self.gateway.url}", highlight=False)
            await self.gateway.ready(session)
            engine = EngineApi(session, self.settings.camunda_url, authorization(self.settings))
            observed, holds = await self._run(engine)
            holds = await self._check_traces(session, observed) and holds
            show_addresses(self.console, await self._addresses(session))
            if stay:
                await self._stay()
            return holds

    async def _check_traces(self, session: aiohttp.ClientSession, observed: Sequence[Observed]) -> bool:
        jaeger = self.env.get("JAEGER_QUERY_URL")
        if not jaeger or float(self.env.get("TRACE_SAMPLING") or 1) < 1:
            return True
        traces = await check_traces(session, jaeger, self.env.get("OTEL_SERVICE_NAME") or SERVICE, observed)
        show_traces(self.console, traces)
        return not traces.broken

    async def _run(self, engine: EngineApi) -> tuple[Sequence[Observed], bool]:
        plan, keys = self.plan, business_keys(self.plan.run)
        await engine.deploy(definition.file for definition in DEFINITIONS)
        wanted = samples(plan.instances, plan.seed, plan.run)
        self.console.print(f"starting {len(wanted)} instances; their business keys begin with {plan.run}")
        models = await start_models(engine, plan.run)
        board = Board(self.console, len(wanted))
        starting = asyncio.create_task(start(engine, wanted, plan.concurrency))

        def require() -> None:
            self.gateway.require()
            if starting.done():
                starting.result()  # raises what kept an instance from being started

        settled = True
        try:
            await watch(engine, keys, planned=len(wanted), board=board, limits=plan.limits, require=require)
            await starting
        except GaveUp as failure:
            settled = False
            self.console.print(f"[bold red]{failure}[/]", highlight=False)
        finally:
            starting.cancel()
        observed = await observe(engine, keys)
        mismatches = find_mismatches(wanted, observed)
        wrong = await check_models(engine, models, plan.limits.stall)
        show_summary(self.console, observed)
        show_models(self.console, wrong)
        show_result(self.console, len(wanted), mismatches)
        return observed, settled and not mismatches and not wrong

    async def _stay(self) -> None:
        self.console.print("everything stays up: end it with Ctrl-C")
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        # From here Ctrl-C is no interruption but the end that was waited for: the result stays as it is.
        loop.add_signal_handler(signal.SIGINT, end.set)
        try:
            while not end.is_set():
                self.gateway.require()
                with suppress(TimeoutError):
                    await asyncio.wait_for(end.wait(), POLL_EVERY)
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    async def _addresses(self, session: aiohttp.ClientSession) -> list[tuple[str, str]]:
        url = self.gateway.url
        wanted = [
            ("API", f"{url}/docs"),
            ("dashboard", f"{url}/dashboard"),
            ("health", f"{url}/health"),
            ("Cockpit", self.env.get("COCKPIT_URL", "")),
        ]
        if jaeger := self.env.get("JAEGER_QUERY_URL"):
            wanted.append(("Jaeger", f"{jaeger}/api/services"))
        answers = [(name, address, await probe(session, address)) for name, address in wanted if address]
        logins = {"dashboard": login_of(self.env), **({"Cockpit": "demo / demo"} if self.ours else {})}
        return [
            (name, f"{address}  ({logins[name]})" if name in logins else address)
            for name, address, status in answers
            if status is not None and status < HTTPStatus.BAD_REQUEST
        ]


async def start(engine: EngineApi, wanted: Sequence[Sample], at_once: int) -> list[str]:
    """Start every sample; return the ids of their process instances."""
    return await together(
        [partial(engine.start, sample.definition.key, sample.business_key, sample.wired()) for sample in wanted],
        at_once,
    )
