"""A process comes up part by part, tells what it lacks, and ends in an order that loses nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from bridge import process
from bridge.app import Gateway
from bridge.errors import (
    BrokerUnavailable,
    EngineUnavailable,
    QueueMismatch,
    ServerEnded,
    SetupError,
    StoreUnavailable,
)
from bridge.health import Readiness
from bridge.loop import Loop
from bridge.ports import Level
from bridge.process import Process
from bridge.registry import Registry
from bridge.settings import Role, Settings
from bridge.task import State
from tests.unit.fakes import LOCK, NOW, SECOND, Notes, a_task
from tests.unit.poll_rig import PollRig, a_topic

ALL = frozenset({Role.INTAKE, Role.WORK})
SETTINGS = SimpleNamespace(port=0, metrics_port=None, claim=20 * SECOND, sweep_every=1.0)


class Stub:
    """A part of the gateway, or all of it: what it has no value for is a part, or a call of one, that does nothing."""

    def __init__(self, parts: Parts, name: str, **values: object) -> None:
        self._parts = parts
        self._name = name
        self.__dict__.update(values)

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
        self.notes = Notes()
        self.rig = PollRig({"orders": 4})
        self.stop = asyncio.Event()
        self.never = asyncio.get_running_loop().create_future()
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
            metrics=SimpleNamespace(registry=CollectorRegistry()),
            store=Stub(self, "store", unstarted=rig.store.unstarted, move=rig.store.move),
            clock=Stub(self, "clock", now=rig.clock.now),
            consumer=Stub(self, "consumer", consuming=self.part("consumer.consuming", lambda: self.attached)),
            handle=SimpleNamespace(stop=lambda: told.append("handle.stop")),
            run=SimpleNamespace(close=lambda: told.append("run.close")),
            broker_version=self.part("broker.version"),
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

    async def reasons(self) -> tuple[str, ...]:
        ready: Readiness = await self.process.ready()
        return ready.reasons


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that is missing is asked for again at once."""
    monkeypatch.setattr(process, "delay_after", lambda *_: timedelta(0))
    monkeypatch.setattr(process, "_SLOW_RETRY", timedelta(0))


# start


async def test_parts_are_connected_in_order_before_anything_is_fetched() -> None:
    parts = Parts()
    running = await parts.started()
    connected = ["engine.open", "store.open", "clock.sync", "beat.run_once", "publisher.open", "consumer.start"]
    assert [call for call in parts.calls if call in connected][:6] == connected
    assert await parts.reasons() == ()
    await parts.end(running)


async def test_a_process_that_only_works_publishes_and_fetches_nothing() -> None:
    parts = Parts(frozenset({Role.WORK}))
    running = await parts.started()
    await parts.end(running)
    assert not [call for call in parts.calls if call.startswith(("publisher", "poll.run"))]


@pytest.mark.parametrize(
    ("roles", "every"),
    [
        ({Role.INTAKE}, SECOND),
        ({Role.INTAKE, Role.WORK}, SECOND),
        ({Role.WORK}, 5 * SECOND),
        ({Role.WEB}, None),
    ],
)
async def test_workers_look_after_what_is_due_too_more_seldom_than_an_intake(
    roles: set[Role], every: timedelta | None
) -> None:
    parts = Parts(frozenset(roles))
    parts.process._start_loops()
    found = [loop._every for loop in parts.process._loops if loop.name == "recover"]
    assert found == ([] if every is None else [every])
    for running in parts.process._running:
        running.cancel()


@pytest.mark.parametrize(
    ("call", "part", "error"),
    [
        ("store.open", "mongodb", StoreUnavailable("MongoDB is away")),
        ("clock.sync", "clock", StoreUnavailable("MongoDB is away")),
        ("beat.run_once", "store", StoreUnavailable("no writes")),
        ("publisher.open", "rabbitmq", BrokerUnavailable("RabbitMQ is away")),
        ("publisher.open", "rabbitmq", QueueMismatch("the queue has other arguments")),
        ("consumer.start", "consumers", BrokerUnavailable("RabbitMQ is away")),
    ],
)
async def test_a_part_that_is_missing_is_asked_for_until_it_is_there(
    call: str, part: str, error: BaseException
) -> None:
    parts = Parts()
    parts.faults[call] = [error, error]
    running = await parts.started()
    assert parts.calls[: parts.calls.index("poll.run_once")].count(call) >= 3
    lines = parts.notes.of("not_connected")
    assert [(line.level, line.values["part"], line.values["failures"]) for line in lines] == [
        (Level.WARNING, part, 1),
        (Level.WARNING, part, 2),
    ]
    assert await parts.reasons() == ()
    await parts.end(running)


async def test_what_is_missing_is_the_reason_not_to_be_ready() -> None:
    parts = Parts()
    assert await parts.reasons() == ("start: the process is starting",)
    parts.faults["store.open"] = [StoreUnavailable("MongoDB is away")]
    again = parts.gate("publisher.open")
    running = asyncio.create_task(parts.process.run())
    await parts.until("publisher.open")
    assert await parts.reasons() == ("rabbitmq: it is being connected",), "no more the one before"
    parts.faults["publisher.open"] = [QueueMismatch("mend the queue")]
    parts.gate("publisher.open")
    parts.begun.pop("publisher.open")
    again.set()
    await parts.until("publisher.open")
    assert await parts.reasons() == ("rabbitmq: mend the queue",)
    await parts.end(running)


async def test_what_only_settings_can_mend_ends_the_process() -> None:
    parts = Parts()
    parts.faults["publisher.open"] = [SetupError("RABBITMQ_URL can't be used")]
    async with asyncio.timeout(5):
        with pytest.raises(SetupError, match="RABBITMQ_URL"):
            await parts.process.run()
    assert parts.calls.count("publisher.open") == 1
    assert _ended(parts)[-1] == "store.close"
    assert "consumer.stop" not in parts.calls, "it had not begun"


async def test_a_process_that_is_stopped_while_it_starts_ends() -> None:
    parts = Parts()
    parts.stop.set()
    async with asyncio.timeout(5):
        await parts.process.run()
    assert parts.calls[0] == "engine.open"
    assert "store.open" not in parts.calls
    assert _ended(parts)[-2:] == ["engine.close", "store.close"]


# the web server


class Served(Parts):
    """A process whose web server is uvicorn itself, on a port that is free; its application answers nothing."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        roles: frozenset[Role] = frozenset({Role.WORK}),
        starts: bool = True,
        **ports: int,
    ) -> None:
        super().__init__(roles)
        served = {"host": "127.0.0.1", "metrics_port": 0, "trusted_proxies": None, "gateway_admin_user": None, **ports}
        self.process._gateway.settings = cast("Settings", SimpleNamespace(**{**vars(SETTINGS), **served}))
        monkeypatch.setattr(self.process, "_app", lambda _: app)

        async def app(_: object, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[Any]]) -> None:
            await receive()
            if not starts:
                raise KeyError("surprise")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})


async def test_a_web_server_that_ends_by_itself_ends_the_process_in_good_order_and_with_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = Served(monkeypatch)
    running = await parts.started()
    server = parts.process._server
    assert server is not None
    server.limit_max_requests = 0  # it ends at its next look
    with pytest.raises(ServerEnded, match="the web server ended"):
        async with asyncio.timeout(5):
            await running
    assert [line.level for line in parts.notes.of("server_ended")] == [Level.ERROR]
    assert parts.notes.lines[-1].event == "ended"
    assert _ended(parts)[-1] == "store.close"


async def test_a_web_server_that_breaks_ends_the_process_and_says_by_what(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Served(monkeypatch)
    running = await parts.started()

    async def broken(_: int) -> bool:
        raise OSError("no more sockets")

    assert parts.process._server is not None
    monkeypatch.setattr(parts.process._server, "on_tick", broken)
    with pytest.raises(ServerEnded, match="no more sockets"):
        async with asyncio.timeout(5):
            await running


async def test_an_application_that_does_not_start_ends_the_process_while_it_still_connects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = Served(monkeypatch, starts=False)
    away = [StoreUnavailable("MongoDB is away")] * 10_000
    parts.faults["store.open"] = list(away)
    with pytest.raises(ServerEnded, match="SystemExit"):
        async with asyncio.timeout(5):
            await parts.process.run()
    assert _ended(parts)[-1] == "store.close"
    assert parts.notes.lines[-1].event == "ended"


async def test_a_web_server_that_is_told_to_end_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Served(monkeypatch)
    running = await parts.started()
    await parts.end(running)
    assert parts.notes.of("server_ended") == []
    assert parts.notes.of("not_ended_well") == []


@pytest.mark.parametrize(("role", "name"), [(Role.WEB, "PORT"), (Role.WORK, "METRICS_PORT")])
async def test_a_port_that_is_taken_is_told_by_its_settings_name(
    monkeypatch: pytest.MonkeyPatch, role: Role, name: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        parts = Served(monkeypatch, frozenset({role}), **{name.lower(): port})
        with pytest.raises(SetupError, match=f"^{name} {port} on 127.0.0.1 can't be listened on"):
            await parts.process.run()


# readiness


async def test_a_topic_without_its_consumer_is_a_reason() -> None:
    parts = Parts()
    parts.attached = {"orders": True, "mail": False}
    running = await parts.started()
    await parts.loop("consumers").run_once()
    assert await parts.reasons() == ("no consumer is attached to topic mail",)
    await parts.end(running)


async def test_a_loop_that_fails_again_and_again_is_a_reason() -> None:
    parts = Parts()
    running = await parts.started()
    beat = parts.loop("beat")
    await beat.run_once()
    parts.faults["beat.run_once"] = [StoreUnavailable("away")] * 3
    for failures in range(1, 4):
        await beat.run_once()
        expected = ("beat has failed 3 times in a row",) if failures == 3 else ()
        assert await parts.reasons() == expected
    await beat.run_once()
    assert await parts.reasons() == ()
    await parts.end(running)


async def test_a_process_that_ends_is_not_ready() -> None:
    parts = Parts()
    running = await parts.started()
    parts.stop.set()
    assert await parts.reasons() == ("the process is ending",)
    await parts.end(running)


async def test_health_asks_every_part() -> None:
    parts = Parts()
    parts.faults["engine.version"] = [EngineUnavailable("the engine is away")]
    health = await parts.process.health()
    assert [(part.name, part.ok) for part in health.components] == [
        ("engine", False),
        ("mongodb", True),
        ("rabbitmq", True),
    ]
    assert (health.ok, health.components[0].error) == (False, "the engine is away")


# end

END = [
    "handle.stop", "poll.stop", "consumer.stop", "consumer.close", "report.drain", "recover.settle", "relay.drain",
    "beat.leave", "report.drain", "run.close", "publisher.close", "engine.close", "store.close",
]  # fmt: skip


def _ended(parts: Parts) -> list[str]:
    """Return what was done for the end, of what matters for the order."""
    calls = parts.calls[parts.calls.index("handle.stop") :]
    return [call for call in calls if call in END]


async def test_the_end_has_its_order() -> None:
    parts = Parts()
    running = await parts.started()
    await parts.end(running)
    assert _ended(parts) == END


async def test_handlers_end_while_the_engine_still_holds_a_poll() -> None:
    parts = Parts()
    running = await parts.started()
    held = parts.gate("poll.stop")
    parts.stop.set()
    await parts.until("report.drain")
    assert "recover.settle" not in parts.calls
    held.set()
    await parts.end(running)
    assert _ended(parts) == END


async def test_claims_are_renewed_and_signs_of_life_given_until_the_last_handler_ended() -> None:
    parts = Parts()
    running = await parts.started()
    handlers = parts.gate("consumer.close")
    parts.stop.set()
    await parts.until("consumer.close")
    assert [parts.loop(name).stopping for name in ("renew", "beat", "poll")] == [False, False, True]
    handlers.set()
    await parts.end(running)
    assert all(loop.stopping for loop in parts.process._loops)


@pytest.mark.parametrize(
    "call",
    [
        "poll.stop", "consumer.stop", "consumer.close", "report.drain", "recover.settle", "relay.drain", "beat.leave",
        "publisher.close", "engine.close",
    ],
)  # fmt: skip
@pytest.mark.parametrize("error", [EngineUnavailable("the engine is away"), KeyError("surprise")])
async def test_a_step_of_the_end_that_fails_is_told_and_takes_none_with_it(call: str, error: Exception) -> None:
    parts = Parts()
    running = await parts.started()
    parts.faults[call] = [error]
    await parts.end(running)
    assert _ended(parts) == END
    (line,) = parts.notes.of("not_ended_well")
    assert line.level is (Level.ERROR if isinstance(error, KeyError) else Level.WARNING)
    assert parts.notes.lines[-1].event == "ended"


async def test_what_never_started_is_given_back_and_what_runs_is_not() -> None:
    parts = Parts()
    rig = parts.rig
    tasks = []
    for state, replica in (
        (State.RECEIVED, "r1"), (State.QUEUED, "r1"), (State.RUNNING, "r1"), (State.QUEUED, "r2"),
    ):  # fmt: skip
        task_id = rig.engine.add("orders")
        await rig.engine.lock(task_id, "w1", LOCK)
        tasks.append(a_task(task_id, state=state, replica=replica))
    await rig.store.accept(tasks)
    running = await parts.started()
    await parts.end(running)
    states = [rig.store.tasks[task.id].state for task in tasks]
    assert states == [State.RETRYING, State.RETRYING, State.RUNNING, State.QUEUED]
    assert rig.engine.locked("orders") == {tasks[2].id, tasks[3].id}
    assert rig.store.tasks[tasks[0].id].next_at == NOW + SECOND
    assert [line.values["tasks"] for line in parts.notes.of("locks_released")] == [2]


async def test_a_lock_that_is_over_is_not_unlocked_as_it_may_be_anothers() -> None:
    parts = Parts()
    task_id = parts.rig.engine.add("orders")
    await parts.rig.engine.lock(task_id, "other", LOCK)
    await parts.rig.store.accept([a_task(task_id, replica="r1", lease_until=NOW)])
    running = await parts.started()
    await parts.end(running)
    assert parts.rig.store.tasks[task_id].state is State.RETRYING
    assert parts.rig.engine.locked("orders") == {task_id}


async def test_a_lock_that_can_not_be_given_back_holds_up_no_other() -> None:
    parts = Parts()
    ids = [parts.rig.engine.add("orders") for _ in range(3)]
    for task_id in ids:
        await parts.rig.engine.lock(task_id, "w1", LOCK)
    await parts.rig.store.accept([a_task(task_id, replica="r1") for task_id in ids])
    parts.rig.engine.fail_next("unlock", EngineUnavailable("away"))
    running = await parts.started()
    await parts.end(running)
    assert len(parts.rig.engine.locked("orders")) == 1
    assert _ended(parts) == END
