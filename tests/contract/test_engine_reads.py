"""What an engine tells, asked of the one in memory and of a running Camunda alike."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from bridge.domain.errors import EngineRejected, TaskGone, VariableError
from bridge.domain.task import TypedValue
from bridge.domain.variables import decode, encode
from bridge.topic import File
from tests.contract.engine_calls import MINUTE, fail, fetch, throw
from tests.contract.engines import EngineLab


async def test_get_many_tells_of_those_that_are_there_and_how_long_they_are_held(
    engine_lab: EngineLab, topic: str
) -> None:
    engine = engine_lab.engine
    free, held, expired = [await engine_lab.start(topic, business_key=f"order-{n}") for n in range(3)]
    await engine.lock(held, "w1", MINUTE * 9)
    await engine.lock(expired, "w2", MINUTE)
    await engine_lab.expire(expired, "w2")
    found = {task.id: task for task in await engine.get_many([free, held, expired, str(uuid4())])}
    assert found.keys() == {free, held, expired}
    left = found[held].held_for
    assert left is not None
    assert MINUTE * 8 < left <= MINUTE * 9
    assert (found[free].held_for, found[expired].held_for) == (None, None)
    for task_id, task in found.items():
        assert replace(task, held_for=None) == await engine.get(task_id)
    assert await engine.get_many([]) == []


async def test_locked_by_and_count(engine_lab: EngineLab, topic: str) -> None:
    worker = f"w-{uuid4().hex}"
    ids = {await engine_lab.start(topic) for _ in range(3)}
    fetched = {task.id for task in await fetch(engine_lab, topic, worker, most=2)}
    assert fetched < ids
    assert {task.id for task in await engine_lab.engine.locked_by(worker)} == fetched
    assert await engine_lab.engine.count(topic) == 3
    assert await engine_lab.engine.count() >= 3


async def test_the_backlog_of_a_topic_is_what_a_worker_can_get(engine_lab: EngineLab, topic: str) -> None:
    engine = engine_lab.engine
    assert topic not in await engine.topic_names()
    assert (await engine.count(topic, workable=True), await engine.oldest(topic)) == (0, None)
    incident, suspended = await engine_lab.start(topic, retries=0), await engine_lab.start(topic)
    await engine_lab.suspend(suspended)
    locked = await engine_lab.start(topic)
    await engine.lock(locked, "w1", MINUTE)
    first = await engine_lab.start(topic)
    assert (await engine.get(incident)).retries == 0
    assert await engine.count(topic) == 4
    assert await engine.count(topic, workable=True) == 2
    assert await engine.count(workable=True) >= 2
    assert topic in await engine.topic_names()
    oldest = await engine.oldest(topic)
    assert oldest is not None
    (told,) = [task.created_at for task in await fetch(engine_lab, topic) if task.id == first]
    assert oldest == told
    assert await engine.oldest(topic) is None, "all are locked"


async def test_a_topic_whose_tasks_are_all_incidents_has_no_backlog(engine_lab: EngineLab, topic: str) -> None:
    await engine_lab.start(topic, retries=0)
    assert topic not in await engine_lab.engine.topic_names()
    assert (await engine_lab.engine.count(topic, workable=True), await engine_lab.engine.oldest(topic)) == (0, None)


async def test_history_tells_who_ended_a_task(engine_lab: EngineLab, topic: str) -> None:
    await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    await fail(engine_lab.engine, task.id, "w1", 2)
    await engine_lab.engine.lock(task.id, "w2", MINUTE)
    await engine_lab.engine.complete(task.id, "w2", {})
    created, failed, succeeded = await engine_lab.engine.history(task.id)
    assert (created.created, created.worker_id) == (True, None)
    assert (failed.failed, failed.worker_id, failed.message, failed.retries) == (True, "w1", "no", None)
    assert (succeeded.succeeded, succeeded.worker_id, succeeded.retries) == (True, "w2", 2)
    assert await engine_lab.engine.history(str(uuid4())) in ([], ())


@pytest.mark.parametrize("how", ["bpmn error", "cancel"])
async def test_history_cannot_tell_a_bpmn_error_from_a_cancelled_instance(
    engine_lab: EngineLab, topic: str, how: str
) -> None:
    await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    await (throw(engine_lab.engine, task.id, "w1") if how == "bpmn error" else engine_lab.cancel(task.id))
    _created, ended = await engine_lab.engine.history(task.id)
    assert (ended.deleted, ended.succeeded, ended.worker_id) == (True, False, "w1")


async def test_read_file_and_variables(engine_lab: EngineLab, topic: str) -> None:
    content = bytes(range(256)) * 100
    task_id = await engine_lab.start(topic, encode({"scan": File("a.bin", content), "raw": b"abc", "word": "x"}))
    instance = (await engine_lab.engine.get(task_id)).process_instance_id
    assert instance is not None
    assert await engine_lab.engine.read_file(instance, "scan") == content
    assert await engine_lab.engine.read_file(instance, "raw") == b"abc"
    for name in ("word", "absent"):
        with pytest.raises(VariableError, match=name):
            await engine_lab.engine.read_file(instance, name)
    assert decode(await engine_lab.engine.read_variables(instance))["scan"] == File("a.bin")
    await engine_lab.cancel(task_id)
    with pytest.raises(TaskGone):
        await engine_lab.engine.read_file(instance, "scan")
    with pytest.raises(TaskGone):
        await engine_lab.engine.read_variables(instance)


async def test_variables_are_set_beside_the_others(engine_lab: EngineLab, topic: str) -> None:
    engine, task_id = engine_lab.engine, await engine_lab.start(topic, encode({"kept": 1, "changed": "a"}))
    instance = (await engine.get(task_id)).process_instance_id
    assert instance is not None
    await engine.set_variables(instance, encode({"changed": 2, "new": {"a": [1]}, "a.b": True}))
    (found,) = await fetch(engine_lab, topic)
    values = decode(found.variables)
    assert [values[name] for name in ("kept", "changed", "new", "a.b")] == [1, 2, {"a": [1]}, True]
    for name, variable in (("bad", TypedValue("Nonsense", 1)), ("x" * 256, TypedValue("String", "x"))):
        with pytest.raises(EngineRejected):
            await engine.set_variables(instance, {"kept": TypedValue("Integer", 9), name: variable})
    assert decode(await engine.read_variables(instance))["kept"] == 1
    await engine_lab.cancel(task_id)
    with pytest.raises(TaskGone):
        await engine.set_variables(instance, encode({"kept": 1}))


async def test_version(engine_lab: EngineLab) -> None:
    version = await engine_lab.engine.version()
    assert version
    assert (await engine_lab.engine.product()).version == version
