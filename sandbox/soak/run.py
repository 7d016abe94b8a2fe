"""One soak from the first instance to its evaluation."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never
from uuid import uuid4

import aiohttp

from bridge.adapters.mongo.task_counts import CountStore
from bridge.domain.errors import StoreError
from bridge.domain.task import FINAL, State, Task
from bridge.ports.reader import TaskFilter
from sandbox.box import NEEDED, Sandbox
from sandbox.parts import Part
from sandbox.proxies.engine import Choose, EngineProxy, at_random
from sandbox.proxies.store import StoreProxy, spoiling
from sandbox.soak.engine import SoakEngine
from sandbox.soak.evaluation import Evaluation, Evidence, evaluate
from sandbox.soak.handlers import RESULT
from sandbox.soak.plan import SPOILED, Deed, Fault, Order, Plan
from sandbox.soak.replicas import Replicas, write_topics
from sandbox.soak.runs import Run, Strike, read_runs
from sandbox.tools import Say

CUT_EVERY = 0.5
MET_WITHIN = 60.0
"""Seconds within which a client meets a step-down: replicas that were killed before it start and connect again."""
LOOK_EVERY = 1.0
STILL_FOR = 60.0
"""Seconds without any progress after which what has not ended is called stuck."""
_PAGE = 500
_OVER = FINAL | {State.FAILED}

_MODEL = """<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:camunda="http://camunda.org/schema/1.0/bpmn"
             id="definitions" targetNamespace="soak">
  <process id="{name}" isExecutable="true" camunda:historyTimeToLive="P1D">
    <startEvent id="start"/>
    <sequenceFlow id="f1" sourceRef="start" targetRef="work"/>
    <serviceTask id="work" camunda:type="external" camunda:topic="${{topic}}"/>
    <boundaryEvent id="caught" attachedToRef="work"><errorEventDefinition errorRef="missing"/></boundaryEvent>
    <sequenceFlow id="f2" sourceRef="work" targetRef="done"/>
    <sequenceFlow id="f3" sourceRef="caught" targetRef="refused"/>
    <endEvent id="done"/>
    <endEvent id="refused"/>
  </process>
  <error id="missing" errorCode="404"/>
</definitions>
"""


@dataclass(frozen=True, slots=True)
class Report:
    """How a soak ended: its evaluation, the instances and seconds it took, and what befell it.

    `struck` are the faults of the plan; `strikes` all, also the gateways that handlers ended. `runs` are the handlers'.
    `spoiled` counts the engine's answers that were, `unled` the commands and greetings that met no primary, `cuts` the
    connections to the store that were reset.
    """

    evaluation: Evaluation
    instances: int
    seconds: float
    struck: Sequence[Fault]
    strikes: Sequence[Strike]
    runs: Sequence[Run]
    spoiled: int
    unled: int
    cuts: int


class Soak:
    """Runs a plan on a sandbox's servers, which it disturbs and leaves whole."""

    def __init__(self, plan: Plan, sandbox: Sandbox, folder: Path, say: Say) -> None:
        self._plan = plan
        self._sandbox = sandbox
        self._folder = folder
        self._say = say
        self._name = f"soak-{uuid4().hex[:8]}"
        self._runs = folder / "runs"
        self._env = {**sandbox.env(), "MONGODB_DATABASE": self._name.replace("-", "_"), "RABBITMQ_EXCHANGE": self._name}
        self._orders = {f"{self._name}-{number}": order for number, order in enumerate(plan.orders())}
        self._struck: list[Fault] = []
        self._strikes: list[Strike] = []
        self._is_spoiling = True

    async def run(self) -> Report:
        """Start all, disturb it, wait until nothing moves, and judge."""
        model = self._folder / f"{self._name}.bpmn"
        model.write_text(_MODEL.format(name=self._name))
        write_topics(self._folder, self._name, self._runs)
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            engine = SoakEngine(session, self._env["CAMUNDA_URL"], self._name)
            await engine.deploy(model)
            spoiler = await stack.enter_async_context(EngineProxy(self._env["CAMUNDA_URL"], self._choose()))
            store = await stack.enter_async_context(spoiling(self._env["MONGODB_URI"], records=False))
            store.pose_as_replica_set()
            way = {"CAMUNDA_URL": spoiler.url, "MONGODB_URI": store.uri}
            base = self._sandbox.choices.ports.base
            ports = range(base + 100, base + 200)
            replicas = Replicas(self._plan.replicas, {**os.environ, **self._env, **way}, self._folder, ports)
            stack.push_async_callback(replicas.end)
            await replicas.start()
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(replicas.watch())
                loading = group.create_task(self._load(engine))
                await self._disturb(replicas, store)
                await loading
                self._is_spoiling = False
                await asyncio.to_thread(self._sandbox.up, NEEDED)
                await self._settle(engine)
                watching.cancel()
            seconds = time.monotonic() - began
            evidence = await self._gather(engine, (*self._strikes, *replicas.strikes))
        return Report(
            evaluation=evaluate(evidence),
            instances=len(evidence.instances),
            seconds=seconds,
            struck=tuple(self._struck),
            strikes=evidence.strikes,
            runs=evidence.runs,
            spoiled=len(spoiler.spoiled),
            unled=store.refused + store.unled,
            cuts=store.cuts,
        )

    def _choose(self) -> Choose:
        choose = at_random(SPOILED, self._plan.seed)
        return lambda operation: choose(operation) if self._is_spoiling else None

    async def _load(self, engine: SoakEngine) -> None:
        """Start the instances at a steady rate, whatever the engine's state."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as starting:
            for number, (business_key, order) in enumerate(self._orders.items()):
                due = began + number * self._plan.seconds / self._plan.tasks
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                starting.create_task(engine.start(business_key, self._variables(order)))

    def _variables(self, order: Order) -> dict[str, str]:
        return {"topic": f"{self._name}-plain" if order.is_plain else self._name, "fate": order.fate}

    async def _disturb(self, replicas: Replicas, store: StoreProxy) -> None:
        """Do the faults one after the other, spread over the plan's time; each takes as long as it takes."""
        began, faults = time.monotonic(), self._plan.schedule()
        for number, fault in enumerate(faults):
            due = began + (number + 0.5) * self._plan.seconds / len(faults)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._say(f"{time.monotonic() - began:6.1f} s  {fault}")
            if isinstance(fault.target, Part):
                struck_at = time.time()
                await self._hit(fault.target, fault, store)
                self._strikes.append(Strike(fault.deed, fault.target, struck_at, time.time()))
            else:
                await replicas.hit(fault.target, fault)
            self._struck.append(fault)

    async def _hit(self, part: Part, fault: Fault, store: StoreProxy) -> None:
        match fault.deed:
            case Deed.STEP_DOWN:
                store.step_down()
                await asyncio.sleep(fault.seconds)
                async with asyncio.timeout(MET_WITHIN):
                    await store.wait_until_met()
                store.elect()
            case Deed.CUT:
                for _ in range(int(fault.seconds / CUT_EVERY)):
                    store.cut_all()
                    await asyncio.sleep(CUT_EVERY)
            case Deed.FREEZE | Deed.KILL | Deed.STOP:
                await self._take_away(part, fault)
            case Deed.EXIT:
                raise ValueError(f"no server can be hit so: {fault}")
            case _:
                assert_never(fault.deed)

    async def _take_away(self, part: Part, fault: Fault) -> None:
        box = self._sandbox
        match fault.deed:
            case Deed.FREEZE:
                await asyncio.to_thread(box.pause, part)
            case Deed.KILL:
                await asyncio.to_thread(box.kill, part)
            case Deed.STOP:
                await asyncio.to_thread(box.stop, part)
        await asyncio.sleep(fault.seconds)
        await asyncio.to_thread(box.resume if fault.deed is Deed.FREEZE else box.start, part)

    async def _settle(self, engine: SoakEngine) -> None:
        """Return when all has ended, or when nothing has moved for long."""
        self._say("no more faults: waiting until nothing moves")
        last, since = "", time.monotonic()
        async with CountStore(self._env["MONGODB_URI"], self._env["MONGODB_DATABASE"]) as store:
            while time.monotonic() - since < STILL_FOR:
                unfinished = await engine.unfinished()
                try:
                    states = dict((await store.statistics()).by_state)
                except StoreError:
                    states = {"unknown": 1}
                if unfinished == 0 and states.keys() <= {state.value for state in _OVER}:
                    return
                if (now := f"{unfinished} {sorted(states.items())}") != last:
                    last, since = now, time.monotonic()
                await asyncio.sleep(LOOK_EVERY)
        self._say(f"nothing moves: {last}")

    async def _gather(self, engine: SoakEngine, strikes: Sequence[Strike]) -> Evidence:
        runs = self._runs.read_text().splitlines() if self._runs.exists() else []
        instances = await engine.instances()
        return Evidence(
            instances={instance.id: instance.has_ended for instance in instances},
            incidents=await engine.incidents(),
            log=await engine.log(),
            results=await engine.results(RESULT),
            states=await self._states(),
            runs=read_runs(runs),
            fates={instance.id: self._orders[instance.business_key].fate for instance in instances},
            strikes=strikes,
        )

    async def _states(self) -> dict[str, State]:
        states: dict[str, State] = {}
        async with CountStore(self._env["MONGODB_URI"], self._env["MONGODB_DATABASE"]) as store:
            page = await store.page(TaskFilter(), _PAGE)
            states |= {task.id: task.state for task in page.tasks if isinstance(task, Task)}
            while page.after is not None:
                page = await store.page(TaskFilter(), _PAGE, page.after)
                states |= {task.id: task.state for task in page.tasks if isinstance(task, Task)}
        return states
