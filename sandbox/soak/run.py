"""One soak from the first instance to the three numbers."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import aiohttp

from bridge.adapters.count_store import CountStore
from bridge.errors import StoreError
from bridge.ports_reader import TaskFilter
from bridge.task import FINAL, State
from sandbox.box import NEEDED, Sandbox
from sandbox.parts import Part
from sandbox.soak.engine import SoakEngine
from sandbox.soak.plan import Deed, Fault, Plan
from sandbox.soak.replicas import Replicas, write_topic
from sandbox.soak.verdict import Evidence, Run, Verdict, judge
from sandbox.tools import Say

RESULT = "result"
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
    <serviceTask id="work" camunda:type="external" camunda:topic="{name}"/>
    <sequenceFlow id="f2" sourceRef="work" targetRef="done"/>
    <endEvent id="done"/>
  </process>
</definitions>
"""


@dataclass(frozen=True, slots=True)
class Report:
    """How a soak ended: its verdict, the instances and seconds it took, and the faults that struck."""

    verdict: Verdict
    instances: int
    seconds: float
    struck: Sequence[Fault]


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
        self._struck: list[Fault] = []

    async def run(self) -> Report:
        """Start all, disturb it, wait until nothing moves, and judge."""
        model = self._folder / f"{self._name}.bpmn"
        model.write_text(_MODEL.format(name=self._name))
        write_topic(self._folder, self._name, self._runs, RESULT)
        replicas = Replicas(self._plan.replicas, {**os.environ, **self._env}, self._folder)
        began = time.monotonic()
        async with aiohttp.ClientSession() as session:
            engine = SoakEngine(session, self._env["CAMUNDA_URL"], self._name)
            await engine.deploy(model)
            try:
                await replicas.start()
                await asyncio.gather(self._load(engine), self._disturb(replicas))
                await asyncio.to_thread(self._sandbox.up, NEEDED)
                await replicas.start()
                await self._settle(engine)
                seconds = time.monotonic() - began
                evidence = await self._gather(engine)
            finally:
                await replicas.end()
        return Report(judge(evidence), len(evidence.instances), seconds, tuple(self._struck))

    async def _load(self, engine: SoakEngine) -> None:
        """Start the instances at a steady rate, whatever the engine's state."""
        began, starting = time.monotonic(), list[asyncio.Task[None]]()
        for number in range(self._plan.tasks):
            due = began + number * self._plan.seconds / self._plan.tasks
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            starting.append(asyncio.create_task(engine.start(f"{self._name}-{number}")))
        await asyncio.gather(*starting)

    async def _disturb(self, replicas: Replicas) -> None:
        """Do the faults one after the other, spread over the plan's time; each takes as long as it takes."""
        began, faults = time.monotonic(), self._plan.schedule()
        for number, fault in enumerate(faults):
            due = began + (number + 0.5) * self._plan.seconds / len(faults)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._say(f"{time.monotonic() - began:6.1f} s  {fault}")
            if isinstance(fault.target, Part):
                await self._hit(fault.target, fault)
            else:
                await replicas.hit(fault.target, fault)
            self._struck.append(fault)

    async def _hit(self, part: Part, fault: Fault) -> None:
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

    async def _gather(self, engine: SoakEngine) -> Evidence:
        runs = self._runs.read_text().splitlines() if self._runs.exists() else []
        return Evidence(
            instances=await engine.instances(),
            incidents=await engine.incidents(),
            log=await engine.log(),
            results=await engine.results(RESULT),
            states=await self._states(),
            runs=[Run(task, key, int(attempt)) for task, key, attempt in (line.split() for line in runs)],
        )

    async def _states(self) -> dict[str, State]:
        states: dict[str, State] = {}
        async with CountStore(self._env["MONGODB_URI"], self._env["MONGODB_DATABASE"]) as store:
            page = await store.page(TaskFilter(), _PAGE)
            states |= {task.id: task.state for task in page.tasks}
            while page.after is not None:
                page = await store.page(TaskFilter(), _PAGE, page.after)
                states |= {task.id: task.state for task in page.tasks}
        return states
