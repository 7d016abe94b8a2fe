"""A process comes up part by part, tells what it lacks, and ends in an order that loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from bridge.domain.engine_product import Brand, EngineProduct
from bridge.domain.errors import BrokerUnavailable, EngineUnavailable, QueueMismatch, SetupError, StoreUnavailable
from bridge.domain.messages import message
from bridge.domain.rights import MissingRight, Right
from bridge.domain.task import State
from bridge.ports.journal import Level
from gateway.settings import Role
from tests.unit.fakes import LOCK, NOW, SECOND, a_task
from tests.unit.gateway.process_parts import ALL, END, SETTINGS, Parts, ended

pytestmark = pytest.mark.usefixtures("process_at_once")


# start


async def test_parts_are_connected_in_order_before_anything_is_fetched() -> None:
    parts = Parts()
    running = await parts.started()
    connected = ["engine.open", "store.open", "clock.sync", "heartbeat.run_once", "publisher.open", "consumer.start"]
    assert list(dict.fromkeys(call for call in parts.calls if call in connected)) == connected
    assert parts.calls.index("consumer.start") < parts.calls.index("poll.run_once")
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
async def test_workers_sweep_what_is_due_too_more_seldom_than_an_intake(
    roles: set[Role], every: timedelta | None
) -> None:
    parts = Parts(frozenset(roles))
    parts.process._start_loops()
    found = [loop._every for loop in parts.process._loops if loop.name == "reconcile"]
    assert found == ([] if every is None else [every])
    for running in parts.process._running:
        running.cancel()


@pytest.mark.parametrize(
    ("call", "part", "error"),
    [
        ("store.open", "mongodb", StoreUnavailable("MongoDB is away")),
        ("clock.sync", "clock", StoreUnavailable("MongoDB is away")),
        ("heartbeat.run_once", "store", StoreUnavailable("no writes")),
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
    lines = parts.notes.of("connect_failed")
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


@pytest.mark.parametrize("part", ["store", "dashboard_store"])
async def test_indexes_that_are_being_built_are_no_outage_and_the_reason_not_to_be_ready(part: str) -> None:
    parts = Parts()
    built, told = asyncio.Event(), asyncio.Event()

    async def building(on_build: Callable[[str], None]) -> None:
        on_build("collection tasks, 25 %, since 90 s")
        told.set()
        await built.wait()

    getattr(parts.process._gateway, part).open = building
    running = asyncio.create_task(parts.process.run())
    await told.wait()
    name = {"store": "mongodb", "dashboard_store": "dashboard_store"}[part]
    assert await parts.reasons() == (f"{name}: indexes are being built: collection tasks, 25 %, since 90 s",)
    (line,) = parts.notes.of("indexes_being_built")
    assert (line.level, line.values["part"]) == (Level.INFO, name)
    built.set()
    await parts.until("poll.run_once")
    assert (await parts.reasons(), parts.notes.of("connect_failed")) == ((), [])
    await parts.end(running)


async def test_failing_renewals_and_heartbeats_come_again_well_within_a_claim() -> None:
    parts = Parts(ALL)
    running = await parts.started()
    most = {loop.name: loop._delays[1] for loop in parts.process._loops}
    assert most["renew"] == SETTINGS.claim / 6
    assert most["heartbeat"] <= SETTINGS.claim / 6
    assert most["poll"] > SETTINGS.claim / 6
    await parts.end(running)


async def test_what_only_settings_can_mend_ends_the_process() -> None:
    parts = Parts()
    parts.faults["publisher.open"] = [SetupError("RABBITMQ_URL can't be used")]
    async with asyncio.timeout(5):
        with pytest.raises(SetupError, match="RABBITMQ_URL"):
            await parts.process.run()
    assert parts.calls.count("publisher.open") == 1
    assert ended(parts)[-1] == "store.close"
    assert "consumer.stop" not in parts.calls, "it had not begun"


async def test_a_process_that_is_stopped_while_it_starts_ends() -> None:
    parts = Parts()
    parts.stop.set()
    async with asyncio.timeout(5):
        await parts.process.run()
    assert parts.calls[0] == "engine.open"
    assert "store.open" not in parts.calls
    assert ended(parts)[-2:] == ["engine.close", "store.close"]


# readiness


async def test_a_topic_without_its_consumer_is_a_reason() -> None:
    parts = Parts()
    parts.attached = {"orders": True, "mail": False}
    running = await parts.started()
    await parts.loop("consumers").run_once()
    assert await parts.reasons() == ("no consumer is attached to topic mail",)
    parts.detached = {"mail": "queue gateway.mail stands with other arguments"}
    assert await parts.reasons() == (
        "no consumer is attached to topic mail: queue gateway.mail stands with other arguments",
    )
    await parts.end(running)


async def test_a_loop_that_fails_again_and_again_is_a_reason() -> None:
    parts = Parts()
    running = await parts.started()
    heartbeat = parts.loop("heartbeat")
    await heartbeat.run_once()
    parts.faults["heartbeat.run_once"] = [StoreUnavailable("away")] * 3
    for failures in range(1, 4):
        await heartbeat.run_once()
        expected = ("heartbeat has failed 3 times in a row",) if failures == 3 else ()
        assert await parts.reasons() == expected
    await heartbeat.run_once()
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


async def test_health_names_a_queue_that_takes_no_message() -> None:
    parts = Parts(frozenset(Role))
    parts.unpublished = {"orders": message("broker.failed", operation="publish to queue orders", kind="Nack", error="")}
    health = await parts.process.health()
    assert [(part.name, part.ok) for part in health.components][2:] == [("rabbitmq", False)]
    assert "publish to queue orders" in str(health.components[2].error)


async def test_health_warns_of_an_engine_that_answers() -> None:
    parts = Parts()
    missing = MissingRight(Right.UPDATE, "orders")
    parts.process._gateway.rights.missing = (missing,)
    product = parts.process._gateway.product.product = EngineProduct(Brand.CAMUNDA, "7.20.0")
    health = await parts.process.health()
    assert health.ok
    assert [part.warnings for part in health.components] == [(missing.message, *product.shortcomings), (), ()]


# end


async def test_the_end_has_its_order() -> None:
    parts = Parts()
    running = await parts.started()
    await parts.end(running)
    assert ended(parts) == END


async def test_handlers_end_while_the_engine_still_holds_a_poll() -> None:
    parts = Parts()
    running = await parts.started()
    held = parts.gate("poll.stop")
    parts.stop.set()
    await parts.until("delivery.drain")
    assert "reconciler.stop" not in parts.calls
    held.set()
    await parts.end(running)
    assert ended(parts) == END


async def test_claims_are_renewed_and_signs_of_life_given_until_the_last_handlerended() -> None:
    parts = Parts()
    running = await parts.started()
    handlers = parts.gate("consumer.close")
    parts.stop.set()
    await parts.until("consumer.close")
    assert [parts.loop(name).stopping for name in ("renew", "heartbeat", "poll")] == [False, False, True]
    handlers.set()
    await parts.end(running)
    assert all(loop.stopping for loop in parts.process._loops)


@pytest.mark.parametrize(
    "call",
    [
        "poll.stop", "consumer.stop", "consumer.close", "delivery.drain", "reconciler.stop", "relay.drain",
        "heartbeat.leave", "publisher.close", "engine.close",
    ],
)  # fmt: skip
@pytest.mark.parametrize("error", [EngineUnavailable("the engine is away"), KeyError("surprise")])
async def test_a_step_of_the_end_that_fails_is_told_and_takes_none_with_it(call: str, error: Exception) -> None:
    parts = Parts()
    running = await parts.started()
    parts.faults[call] = [error]
    await parts.end(running)
    assert ended(parts) == END
    (line,) = parts.notes.of("shutdown_step_failed")
    assert line.level is (Level.ERROR if isinstance(error, KeyError) else Level.WARNING)
    assert parts.notes.lines[-1].event == "stopped"


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
    assert ended(parts) == END


async def test_a_full_batch_of_what_is_due_is_followed_by_the_next_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SETTINGS, "sweep_every", 3600.0)
    parts = Parts()
    parts.reconciler.is_behind = True
    running = await parts.started()
    for _ in range(3):
        parts.begun["reconciler.run_once"] = asyncio.Event()
        await parts.until("reconciler.run_once")
    parts.reconciler.is_behind = False
    await parts.end(running)
