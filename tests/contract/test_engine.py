"""What an engine does, asked of the one in memory and of a running Camunda alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from bridge.domain.errors import EngineRejected, LeaseLost, TaskGone
from bridge.domain.task import TypedValue
from bridge.domain.variables import decode, encode
from bridge.ports.engine import Engine, TopicPoll
from bridge.topic import File
from tests.contract.engine_calls import MINUTE, NOW, fail, fetch, throw
from tests.contract.engines import EngineLab

Call = Callable[[Engine, str, str], Awaitable[None]]
REPORTS: dict[str, Call] = {
    "complete": lambda engine, task_id, worker: engine.complete(task_id, worker, {}),
    "fail": lambda engine, task_id, worker: fail(engine, task_id, worker, 1),
    "bpmn_error": throw,
    "extend_lock": lambda engine, task_id, worker: engine.extend_lock(task_id, worker, MINUTE),
}
every_report = pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)


async def test_fetch_locks_and_describes_a_task(engine_lab: EngineLab, topic: str) -> None:
    values = encode({"amount": 7, "scan": File("a.txt", b"abc", "text/plain", "utf-8"), "raw": b"\0\xff"})
    task_id = await engine_lab.start(topic, values, business_key="order-1")
    (task,) = await fetch(engine_lab, topic, variables=("amount", "scan", "raw"))
    assert (task.id, task.topic, task.worker_id, task.retries) == (task_id, topic, "w1", None)
    assert (task.business_key, task.activity_id, task.suspended) == ("order-1", "task", False)
    assert task.process_instance_id is not None
    assert task.lock_until is not None
    assert task.lock_until.utcoffset() == NOW
    assert task.created_at is not None
    assert NOW <= task.lock_until - MINUTE - task.created_at < MINUTE, "its age, by the engine's clock alone"
    scan = File("a.txt", None, "text/plain", "utf-8")
    assert decode(task.variables) == {"amount": 7, "scan": scan, "raw": b"\0\xff"}
    # To a fetch 7.21 tells the time of creation, but to a look at a task only 7.24 does.
    told_later = (await engine_lab.engine.version()).startswith(("7.21.", "7.22.", "7.23."))
    looked_at = replace(task, variables={}, created_at=None if told_later else task.created_at)
    assert await engine_lab.engine.get(task_id) == looked_at


@pytest.mark.parametrize(("wanted", "names"), [(("a",), {"a"}), ((), set()), (("absent",), set())])
async def test_fetch_asks_only_for_the_wanted_variables(
    engine_lab: EngineLab, topic: str, wanted: tuple[str, ...], names: set[str]
) -> None:
    await engine_lab.start(topic, encode({"a": 1, "b": 2}))
    (task,) = await fetch(engine_lab, topic, variables=wanted)
    assert set(task.variables) == names


async def test_fetch_takes_by_priority_then_age_and_no_more_than_asked(engine_lab: EngineLab, topic: str) -> None:
    old, _young = [await engine_lab.start(topic) for _ in range(2)]
    urgent = await engine_lab.start(topic, priority=9)
    assert {task.id for task in await fetch(engine_lab, topic, most=2)} == {urgent, old}
    assert len(await fetch(engine_lab, topic)) == 1


async def test_fetch_serves_several_topics_at_once_and_only_those(engine_lab: EngineLab, topic: str) -> None:
    topics = [f"{topic}-{index}" for index in range(3)]
    ids = [await engine_lab.start(each) for each in topics]
    polls = [TopicPoll(each, MINUTE) for each in topics[:2]]
    fetched = await engine_lab.engine.fetch_and_lock("w1", 10, polls, NOW)
    assert {task.id for task in fetched} == set(ids[:2])


async def test_fetch_filters_by_process_definition(engine_lab: EngineLab, topic: str) -> None:
    task_id = await engine_lab.start(topic)
    assert await fetch(engine_lab, topic, process_definition_keys=("another",)) == []
    key = (await engine_lab.engine.get(task_id)).process_definition_key
    assert key is not None
    assert len(await fetch(engine_lab, topic, process_definition_keys=(key,))) == 1


async def test_fetch_filters_by_tenant_and_finds_tasks_of_none_only_without(engine_lab: EngineLab, topic: str) -> None:
    acme, bolt, cove, plain = [await engine_lab.start(topic, tenant=name) for name in ("acme", "bolt", "cove", None)]
    assert await fetch(engine_lab, topic, tenant_ids=("another",)) == []
    fetched = await fetch(engine_lab, topic, tenant_ids=("acme", "cove"))
    assert {task.id: task.tenant_id for task in fetched} == {acme: "acme", cove: "cove"}
    assert {task.id: task.tenant_id for task in await fetch(engine_lab, topic)} == {bolt: "bolt", plain: None}


async def test_within_a_tenant_fetch_takes_by_priority_then_age(engine_lab: EngineLab, topic: str) -> None:
    old, _young = [await engine_lab.start(topic, tenant="acme") for _ in range(2)]
    await engine_lab.start(topic, tenant="bolt", priority=20)
    urgent = await engine_lab.start(topic, tenant="acme", priority=9)
    assert {task.id for task in await fetch(engine_lab, topic, most=2, tenant_ids=("acme",))} == {urgent, old}


async def test_no_task_goes_to_two_workers(engine_lab: EngineLab, topic: str) -> None:
    ids = {await engine_lab.start(topic) for _ in range(6)}
    batches = await asyncio.gather(*(fetch(engine_lab, topic, f"w{number}", most=3) for number in range(4)))
    fetched = [task.id for batch in batches for task in batch]
    assert len(fetched) == len(set(fetched))
    assert set(fetched) <= ids


@pytest.mark.parametrize("by", ["start", "unlock"])
async def test_a_waiting_poll_wakes_for_a_free_task(engine_lab: EngineLab, topic: str, by: str) -> None:
    held = await engine_lab.start(topic)
    await engine_lab.engine.lock(held, "other", MINUTE)
    poll = asyncio.create_task(fetch(engine_lab, topic, wait=timedelta(seconds=25)))
    await asyncio.wait([poll], timeout=0.05)
    assert not poll.done()
    if by == "start":
        free = await engine_lab.start(topic)
    else:
        free = held
        await engine_lab.engine.unlock(held)
    (task,) = await asyncio.wait_for(poll, 10)
    assert task.id == free


async def test_a_poll_with_nothing_to_do_returns_empty(engine_lab: EngineLab, topic: str) -> None:
    assert await fetch(engine_lab, topic, wait=timedelta(milliseconds=50)) == []


async def test_complete_stores_the_variables_and_ends_the_task(engine_lab: EngineLab, topic: str) -> None:
    await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    values: dict[str, Any] = {
        "none": None, "yes": True, "small": -1, "big": 2**40, "huge": 2**70, "ratio": 0.5, "word": "ü😀",
        "long": "😀" * 5000, "nul": "a\0b", "at": datetime(2026, 1, 2, 3, 4, 5, 678000, UTC), "raw": b"\xff",
        "empty": b"", "data": {"value": [1, {"type": "String"}], "n": None}, "list": [],
    }  # fmt: skip
    await engine_lab.engine.complete(task.id, "w1", encode({**values, "day": date(2026, 1, 2)}))
    assert task.process_instance_id is not None
    stored = decode(await engine_lab.stored(task.process_instance_id))
    assert {name: stored[name] for name in values} == values
    assert stored["day"] == datetime(2026, 1, 2, tzinfo=UTC)
    with pytest.raises(TaskGone):
        await engine_lab.engine.complete(task.id, "w1", {})


@pytest.mark.parametrize(
    ("name", "variable", "status"),
    [("v", TypedValue("Nonsense", 1), 400), ("v" * 256, TypedValue("String", "x"), 500)],
)
async def test_a_refused_variable_is_no_lost_lease(
    engine_lab: EngineLab, topic: str, name: str, variable: TypedValue, status: int
) -> None:
    await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    with pytest.raises(EngineRejected) as caught:
        await engine_lab.engine.complete(task.id, "w1", {name: variable})
    assert (type(caught.value), caught.value.status, caught.value.transient) == (EngineRejected, status, False)
    await engine_lab.engine.complete(task.id, "w1", {})


@every_report
async def test_only_the_holder_reports(engine_lab: EngineLab, topic: str, report: Call) -> None:
    task_id = await engine_lab.start(topic)
    with pytest.raises(LeaseLost):
        await report(engine_lab.engine, task_id, "w1")
    await fetch(engine_lab, topic)
    with pytest.raises(LeaseLost):
        await report(engine_lab.engine, task_id, "w2")
    await report(engine_lab.engine, task_id, "w1")


@every_report
async def test_a_report_on_an_unknown_task_finds_it_gone(engine_lab: EngineLab, report: Call) -> None:
    with pytest.raises(TaskGone):
        await report(engine_lab.engine, str(uuid4()), "w1")


@every_report
async def test_a_suspended_task_takes_no_report_but_keeps_its_lock(
    engine_lab: EngineLab, topic: str, report: Call
) -> None:
    await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    await engine_lab.suspend(task.id)
    with pytest.raises(LeaseLost):
        await report(engine_lab.engine, task.id, "w1")
    await engine_lab.engine.lock(task.id, "w1", MINUTE)
    now = await engine_lab.engine.get(task.id)
    assert (now.worker_id, now.suspended) == ("w1", True)
    await engine_lab.engine.unlock(task.id)
    assert await fetch(engine_lab, topic) == []


async def test_an_unlocked_task_takes_its_report_when_it_is_locked_again(engine_lab: EngineLab, topic: str) -> None:
    await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    await engine_lab.engine.unlock(task.id)
    with pytest.raises(LeaseLost):
        await engine_lab.engine.complete(task.id, "w1", {})
    assert (await engine_lab.engine.get(task.id)).worker_id is None
    await engine_lab.engine.lock(task.id, "w1", MINUTE)
    await engine_lab.engine.complete(task.id, "w1", {})


async def test_an_expired_lock_still_completes(engine_lab: EngineLab, topic: str) -> None:
    await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    await engine_lab.expire(task.id, "w1")
    with pytest.raises(LeaseLost):
        await engine_lab.engine.extend_lock(task.id, "w1", MINUTE)
    await engine_lab.engine.complete(task.id, "w1", {})


async def test_an_expired_lock_may_be_taken_and_then_fences(engine_lab: EngineLab, topic: str) -> None:
    await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    await engine_lab.expire(task.id, "w1")
    assert await engine_lab.engine.locked_by("w1") == []
    (again,) = await fetch(engine_lab, topic, "w2")
    assert (again.id, again.worker_id) == (task.id, "w2")
    with pytest.raises(LeaseLost):
        await engine_lab.engine.complete(task.id, "w1", {})


async def test_lock_takes_what_is_free_expired_or_ours(engine_lab: EngineLab, topic: str) -> None:
    engine, task_id = engine_lab.engine, await engine_lab.start(topic)
    await engine.lock(task_id, "w1", MINUTE)
    await engine.lock(task_id, "w1", MINUTE * 2)
    with pytest.raises(LeaseLost):
        await engine.lock(task_id, "w2", MINUTE)
    await engine_lab.expire(task_id, "w1")
    await engine.lock(task_id, "w1", MINUTE)
    await engine_lab.expire(task_id, "w1")
    await engine.lock(task_id, "w2", MINUTE)
    with pytest.raises(LeaseLost):
        await engine.lock(task_id, "w2", NOW)
    with pytest.raises(TaskGone):
        await engine.lock(str(uuid4()), "w1", MINUTE)


async def test_extend_lock_moves_its_end(engine_lab: EngineLab, topic: str) -> None:
    await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    await engine_lab.engine.extend_lock(task.id, "w1", MINUTE * 9)
    extended = await engine_lab.engine.get(task.id)
    assert extended.lock_until is not None
    assert task.lock_until is not None
    assert MINUTE * 7 < extended.lock_until - task.lock_until < MINUTE * 9


async def test_unlock_frees_whoever_holds_it(engine_lab: EngineLab, topic: str) -> None:
    await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    await engine_lab.engine.unlock(task.id)
    await engine_lab.engine.unlock(task.id)
    freed = await engine_lab.engine.get(task.id)
    assert (freed.worker_id, freed.lock_until) == (None, None)
    assert len(await fetch(engine_lab, topic, "w2")) == 1


async def test_a_failure_keeps_the_lock_for_its_retry_timeout(engine_lab: EngineLab, topic: str) -> None:
    await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    long = "x" * 700
    await engine_lab.engine.fail(task.id, "w1", message=long, details=long, retries=2, retry_timeout=MINUTE)
    failed = await engine_lab.engine.get(task.id)
    assert (failed.worker_id, failed.retries, failed.error) == ("w1", 2, "x" * 666)
    assert await fetch(engine_lab, topic, "w2") == []
    await engine_lab.engine.unlock(task.id)
    (again,) = await fetch(engine_lab, topic, "w2")
    assert again.retries == 2


async def test_a_failed_task_can_still_be_completed_in_its_retry_timeout(engine_lab: EngineLab, topic: str) -> None:
    await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    await fail(engine_lab.engine, task.id, "w1", 1, MINUTE)
    await engine_lab.engine.complete(task.id, "w1", {})


async def test_without_retries_a_task_waits_for_an_operator(engine_lab: EngineLab, topic: str) -> None:
    await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    await fail(engine_lab.engine, task.id, "w1", 0)
    assert await fetch(engine_lab, topic) == []
    assert (await engine_lab.engine.get(task.id)).retries == 0
    await engine_lab.engine.set_retries(task.id, 1)
    await engine_lab.engine.unlock(task.id)
    assert [again.retries for again in await fetch(engine_lab, topic)] == [1]


async def test_a_task_started_without_retries_is_never_offered(engine_lab: EngineLab, topic: str) -> None:
    await engine_lab.start(topic, retries=0)
    assert await fetch(engine_lab, topic) == []


async def test_negative_numbers_are_refused(engine_lab: EngineLab, topic: str) -> None:
    await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    statuses = []
    for call in (
        fail(engine_lab.engine, task.id, "w1", -1),
        fail(engine_lab.engine, task.id, "w1", 1, -MINUTE),
        engine_lab.engine.set_retries(task.id, -1),
    ):
        with pytest.raises(EngineRejected) as caught:
            await call
        assert not isinstance(caught.value, LeaseLost)
        statuses.append(caught.value.status)
    assert statuses == [500, 500, 400]


@pytest.mark.parametrize("code", ["refused", "caught by nobody"])
async def test_a_bpmn_error_ends_the_task(engine_lab: EngineLab, topic: str, code: str) -> None:
    await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    await throw(engine_lab.engine, task.id, "w1", code)
    with pytest.raises(TaskGone):
        await engine_lab.engine.get(task.id)


async def test_a_bpmn_error_brings_its_variables(engine_lab: EngineLab, topic: str) -> None:
    await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    await throw(engine_lab.engine, task.id, "w1")
    assert task.process_instance_id is not None
    assert (await engine_lab.stored(task.process_instance_id))["reason"].value == "stock"


async def test_a_bpmn_error_needs_a_code(engine_lab: EngineLab, topic: str) -> None:
    await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    with pytest.raises(EngineRejected) as caught:
        await throw(engine_lab.engine, task.id, "w1", "")
    assert caught.value.status == 500
