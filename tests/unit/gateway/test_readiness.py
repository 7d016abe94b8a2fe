"""Ready means able to do what is asked for: an outage of the engine keeps nobody from taking requests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from bridge.domain.errors import BrokerUnavailable, EngineUnavailable, GatewayError, StoreUnavailable
from bridge.domain.replica import Load
from bridge.operations.health import Purpose
from bridge.runtime.loop import Loop
from gateway.settings import Role
from tests.unit.gateway.process_parts import SETTINGS, Parts

pytestmark = pytest.mark.usefixtures("process_at_once")

EVERYTHING = frozenset(Role)
AWAY = EngineUnavailable("the engine is away")


@pytest.fixture(autouse=True)
def without_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SETTINGS, "port", None)


async def fail(parts: Parts, name: str, call: str, error: Exception) -> Loop:
    """Let a loop fail often enough to be a reason."""
    loop = parts.loop(name)
    await loop.run_once()
    parts.faults[call] = [error] * 3
    for _ in range(3):
        await loop.run_once()
    assert loop.failures >= 3
    return loop


async def purposes(parts: Parts) -> Sequence[Purpose]:
    """Return what a process is ready for."""
    return [purpose for purpose in Purpose if await parts.reasons(purpose) == ()]


async def test_a_process_of_all_roles_is_ready_for_all() -> None:
    parts = Parts(EVERYTHING)
    running = await parts.started()
    assert await purposes(parts) == list(Purpose)
    assert await parts.reasons() == ()
    await parts.end(running)


@pytest.mark.parametrize("role", Role)
async def test_a_process_is_ready_for_what_its_role_does_alone(role: Role) -> None:
    parts = Parts(frozenset({role}))
    parts.process._readiness.missing = {}
    expected = {Role.WEB: Purpose.HTTP, Role.INTAKE: Purpose.INTAKE, Role.WORK: Purpose.WORK}
    assert await purposes(parts) == [expected[role]]
    others = [await parts.reasons(purpose) for purpose in Purpose if purpose is not expected[role]]
    assert all("this process has not the role" in reason for reasons in others for reason in reasons)


@pytest.mark.parametrize(
    ("name", "call", "error", "ready"),
    [
        ("rights", "rights.run_once", AWAY, list(Purpose)),
        ("reconcile", "reconciler.run_once", AWAY, [Purpose.HTTP, Purpose.WORK]),
        ("renew", "renew.run_once", AWAY, [Purpose.HTTP, Purpose.INTAKE]),
        ("consumers", "consumer.consuming", BrokerUnavailable("away"), [Purpose.HTTP, Purpose.INTAKE]),
        ("heartbeat", "heartbeat.run_once", StoreUnavailable("away"), []),
    ],
)
async def test_what_fails_is_a_reason_where_it_is_needed(
    name: str, call: str, error: GatewayError, ready: Sequence[Purpose]
) -> None:
    parts = Parts(EVERYTHING)
    running = await parts.started()
    await fail(parts, name, call, error)
    assert await purposes(parts) == ready
    await parts.end(running)


@pytest.mark.parametrize(("roles", "ready"), [(EVERYTHING, True), (frozenset({Role.INTAKE, Role.WORK}), False)])
async def test_while_the_engine_is_away_a_process_with_the_role_web_is_ready(
    roles: frozenset[Role], ready: bool
) -> None:
    parts = Parts(roles)
    running = await parts.started()
    loop = await fail(parts, "reconcile", "reconciler.run_once", AWAY)
    assert str(loop.fault) == "the engine is away"
    assert (await parts.reasons() == ()) is ready
    await fail(parts, "reconcile", "reconciler.run_once", StoreUnavailable("away"))
    assert await parts.reasons() == ("reconcile has failed 3 times in a row",), "the store's outage is another matter"
    await loop.run_once()
    assert loop.fault is None
    await parts.end(running)


async def test_while_rabbitmq_is_awaited_requests_are_taken() -> None:
    parts = Parts(EVERYTHING)
    parts.faults["store.open"] = [StoreUnavailable("away")]
    store, broker = parts.gate("store.open"), parts.gate("publisher.open")
    running = asyncio.create_task(parts.process.run())
    await parts.until("store.open")
    assert await purposes(parts) == []
    store.set()
    await parts.until("publisher.open")
    assert await purposes(parts) == [Purpose.HTTP]
    assert await parts.reasons() == ("rabbitmq: it is being connected",)
    await fail(parts, "heartbeat", "heartbeat.run_once", StoreUnavailable("away"))
    assert await purposes(parts) == []
    broker.set()
    await parts.end(running)


async def test_a_topic_whose_threads_all_hang_is_a_reason_for_workers() -> None:
    parts = Parts(EVERYTHING)
    running = await parts.started()
    parts.loads = {"orders": Load(1, 3, stuck=2), "mail": Load(0, 1, stuck=2)}
    reason = "topic mail: all its threads (2) are stuck in handlers that were given up"
    assert await parts.reasons(Purpose.WORK) == (reason,)
    assert await purposes(parts) == [Purpose.HTTP, Purpose.INTAKE]
    await parts.end(running)


async def test_a_process_that_ends_is_ready_for_nothing() -> None:
    parts = Parts(EVERYTHING)
    running = await parts.started()
    parts.stop.set()
    assert await purposes(parts) == []
    await parts.end(running)
