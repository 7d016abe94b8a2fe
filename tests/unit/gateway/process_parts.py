"""A process whose parts are stubs that note what is done to them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

from prometheus_client import CollectorRegistry

from bridge.domain.messages import Message
from bridge.domain.replica import Load
from bridge.operations.health import Purpose, Readiness
from bridge.registry import Registry
from bridge.runtime.loop import Loop
from gateway.process import Process
from gateway.settings import Role
from gateway.wiring import Gateway
from tests.unit.fakes import SECOND, Notes
from tests.unit.flow.poll.poll_rig import PollRig, a_topic

ALL = frozenset({Role.INTAKE, Role.WORK})
SETTINGS = SimpleNamespace(port=0, metrics_port=None, claim=20 * SECOND, sweep_every=1.0, shutdown_grace=25.0)


class Stub:
    """A part of the gateway, or all of it: what it has no value for is a part, or a call of one, that does nothing."""

    def __init__(self, parts: Parts, name: str, **values: object) -> None:
        self._parts = parts
        self._name = name
        self.__dict__.update(values)

    is_behind: bool

    def __getattr__(self, name: str) -> object:
        found = self._parts.part(f"{self._name}.{name}") if self._name else Stub(self._parts, name)
        self.__dict__[name] = found
        return found


class Parts:
    """Stubs of all parts of a gateway: `calls` has what was done to them, `faults` what a call raises, in order."""

    def __init__(self, roles: frozenset[Role] = ALL) -> None:
        self.roles = roles
        self.calls: list[str] = []
        self.faults: dict[str, list[BaseException]] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.begun: dict[str, asyncio.Event] = {}
        self.attached: Mapping[str, bool] = {"orders": True, "mail": True}
        self.detached: Mapping[str, str] = {}
        self.unpublished: Mapping[str, Message] = {}
        self.loads: Mapping[str, Load] = {}
        self.notes = Notes()
        self.rig = PollRig({"orders": 4})
        self.stop = asyncio.Event()
        self.never = asyncio.get_running_loop().create_future()
        self.reconciler = Stub(self, "reconciler", is_behind=False)
        self.process = Process(cast("Gateway", self._gateway()), self.stop)

    def part(self, name: str, answer: Callable[[], object] = lambda: None) -> Callable[..., Awaitable[Any]]:
        async def call(*_: object) -> object:
            self.calls.append(name)
            self.begun.setdefault(name, asyncio.Event()).set()
            if name in self.gates:
                await self.gates[name].wait()
            await asyncio.wait({self.never}, timeout=0)  # a loop without a pause must let others have their turn
            if self.faults.get(name):
                raise self.faults[name].pop(0)
            return answer()

        return call

    def _gateway(self) -> Stub:
        rig, told = self.rig, self.calls
        return Stub(
            self, "",
            roles=self.roles, version="1.0", replica="r1", journal=self.notes, settings=SETTINGS, lease=rig.lease,
            topics=Registry({name: a_topic(name) for name in ("orders", "mail")}),
            metrics=SimpleNamespace(registry=CollectorRegistry(), observe_refused_connection=lambda _: None),
            store=Stub(self, "store", unstarted=rig.store.unstarted, move=rig.store.move),
            clock=Stub(self, "clock", now=rig.clock.now),
            consumer=Stub(
                self, "consumer", faults=lambda: self.detached,
                consuming=self.part("consumer.consuming", lambda: self.attached),
            ),
            publisher=Stub(self, "publisher", faults=dict),
            relay=Stub(self, "relay", faults=lambda: self.unpublished),
            rights=Stub(self, "rights", missing=()),
            product=Stub(self, "product", product=None),
            wrong_answer=lambda: None,
            reconciler=self.reconciler,
            loop_watch=SimpleNamespace(start=lambda: None, stop=lambda: None),
            claims=SimpleNamespace(loads=lambda: self.loads),
            handle=SimpleNamespace(stop=lambda: told.append("handle.stop")),
            run=SimpleNamespace(close=lambda: told.append("run.close")),
        )  # fmt: skip

    def gate(self, name: str) -> asyncio.Event:
        """Let a call wait until the event is set."""
        self.gates[name] = asyncio.Event()
        return self.gates[name]

    async def until(self, name: str) -> None:
        """Return once a call has begun."""
        async with asyncio.timeout(5):
            await self.begun.setdefault(name, asyncio.Event()).wait()

    async def started(self) -> asyncio.Task[None]:
        """Start the process; it rests in its first turns, which are gated."""
        self.gate("poll.run_once")
        running = asyncio.create_task(self.process.run())
        await self.until("poll.run_once" if Role.INTAKE in self.roles else "renew.run_once")
        return running

    async def end(self, running: asyncio.Task[None]) -> None:
        self.stop.set()
        for gate in self.gates.values():
            gate.set()
        async with asyncio.timeout(5):
            await running

    def loop(self, name: str) -> Loop:
        return next(loop for loop in self.process._loops if loop.name == name)

    async def reasons(self, purpose: Purpose | None = None) -> tuple[str, ...]:
        ready: Readiness = await self.process.ready(purpose)
        return ready.reasons


END = [
    "handle.stop", "poll.stop", "consumer.stop", "consumer.close", "delivery.drain", "reconciler.stop", "relay.drain",
    "heartbeat.leave", "delivery.drain", "run.close", "publisher.close", "engine.close", "store.close",
]  # fmt: skip


def ended(parts: Parts) -> list[str]:
    """Return what was done for the end, of what matters for the order."""
    calls = parts.calls[parts.calls.index("handle.stop") :]
    return [call for call in calls if call in END]
