"""Scopes of variables, and which tasks a fetch is for: asked of the engine in memory and of a running Camunda alike."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.domain.errors import TaskGone, VariableError
from bridge.domain.task import TypedValue, Variables
from bridge.domain.variables import decode, encode
from bridge.ports.engine import TopicPoll
from bridge.topic import File
from tests.contract.engine_calls import MINUTE, NOW, fetch
from tests.contract.engines import EngineLab


async def place_of(lab: EngineLab, task_id: str) -> tuple[str, str]:
    """Return the ids of a task's execution and of its process instance."""
    task = await lab.engine.get(task_id)
    assert task.execution_id is not None
    assert task.process_instance_id is not None
    assert task.activity_instance_id is not None
    return task.execution_id, task.process_instance_id


def chosen(variables: Variables, *names: str) -> dict[str, Any]:
    return {name: value for name, value in decode(variables).items() if name in names}


async def test_an_execution_sees_inner_variables_over_outer_ones(engine_lab: EngineLab, topic: str) -> None:
    engine = engine_lab.engine
    given = encode({"source": "mapped", "name": "outer", "plain": 1})
    (task_id,) = await engine_lab.start_scoped(topic, given, {"name": "source"})
    execution, instance = await place_of(engine_lab, task_id)
    everything = {"source": "mapped", "name": "mapped", "plain": 1}
    assert chosen(await engine.read_variables(execution), *everything) == everything
    assert decode(await engine.read_variables(execution, local=True)) == {"name": "mapped"}
    assert chosen(await engine.read_variables(instance), *everything) == {**everything, "name": "outer"}
    (task,) = await fetch(engine_lab, topic)
    assert chosen(task.variables, *everything) == everything


@pytest.mark.parametrize(("wanted", "names"), [(None, {"name"}), (("name", "plain"), {"name"}), (("plain",), set())])
async def test_a_fetch_may_be_for_the_tasks_own_variables(
    engine_lab: EngineLab, topic: str, wanted: tuple[str, ...] | None, names: set[str]
) -> None:
    await engine_lab.start_scoped(topic, encode({"source": 1, "plain": 1}), {"name": "source"})
    (task,) = await fetch(engine_lab, topic, variables=wanted, local_variables=True)
    assert task.variables.keys() == names


async def test_a_variable_is_set_where_it_lives_and_a_new_one_on_the_process_instance(
    engine_lab: EngineLab, topic: str
) -> None:
    engine = engine_lab.engine
    given = encode({"source": "mapped", "name": "outer", "plain": 1})
    (task_id,) = await engine_lab.start_scoped(topic, given, {"name": "source"})
    execution, instance = await place_of(engine_lab, task_id)
    await engine.set_variables(execution, encode({"name": "edited", "plain": 2, "new": True}))
    names = ("source", "name", "plain", "new")
    (task,) = await fetch(engine_lab, topic)
    assert chosen(task.variables, *names) == {"source": "mapped", "name": "edited", "plain": 2, "new": True}
    of_process = {"source": "mapped", "name": "outer", "plain": 2, "new": True}
    assert chosen(await engine.read_variables(instance), *names) == of_process
    # What is set on the process instance alone is shadowed.
    await engine.set_variables(instance, encode({"name": "never seen"}))
    assert decode(await engine.read_variables(execution))["name"] == "edited"


async def test_a_file_is_read_in_the_scope_where_it_is(engine_lab: EngineLab, topic: str) -> None:
    engine = engine_lab.engine
    files = {f"scan{number}": File(f"{number}.txt", f"page {number}".encode()) for number in range(3)}
    ids = await engine_lab.start_scoped(topic, encode(files), {"page": "scan"}, elements=3)
    for number, task_id in enumerate(ids):
        execution, instance = await place_of(engine_lab, task_id)
        assert await engine.read_file(execution, "page") == f"page {number}".encode()
        assert await engine.read_file(execution, "scan2") == b"page 2"
        assert decode(await engine.read_variables(execution))["page"] == File(f"{number}.txt")
        with pytest.raises(VariableError, match="page"):
            await engine.read_file(instance, "page")
    fetched = {task.id: decode(task.variables) for task in await fetch(engine_lab, topic)}
    assert [fetched[task_id]["page"].name for task_id in ids] == ["0.txt", "1.txt", "2.txt"]


async def test_elements_of_a_multi_instance_do_not_see_each_others_variables(engine_lab: EngineLab, topic: str) -> None:
    engine = engine_lab.engine
    given = encode({"order0": "a", "order1": "b"})
    first, second = await engine_lab.start_scoped(topic, given, {"order": "order"}, elements=2)
    (execution, instance), (other, _) = await place_of(engine_lab, first), await place_of(engine_lab, second)
    assert execution != other
    await engine.set_variables(execution, encode({"order": "edited", "loopCounter": 7}))
    assert chosen(await engine.read_variables(execution), "order", "loopCounter") == {
        "order": "edited",
        "loopCounter": 7,
    }
    assert chosen(await engine.read_variables(other), "order", "loopCounter") == {"order": "b", "loopCounter": 1}
    assert chosen(await engine.read_variables(instance), "order", "loopCounter") == {}


async def test_a_result_with_the_name_of_a_local_variable_ends_with_it(engine_lab: EngineLab, topic: str) -> None:
    (task_id,) = await engine_lab.start_scoped(topic, encode({"source": 1, "plain": 1}), {"name": "source"})
    _, instance = await place_of(engine_lab, task_id)
    await fetch(engine_lab, topic)
    results = {**encode({"name": 2, "plain": 2, "new": 2}), "local": TypedValue("Integer", 2, local=True)}
    await engine_lab.engine.complete(task_id, "w1", results)
    stored = chosen(await engine_lab.stored(instance), "name", "plain", "new", "local")
    assert stored == {"plain": 2, "new": 2}


async def test_an_execution_that_has_ended_is_gone(engine_lab: EngineLab, topic: str) -> None:
    engine = engine_lab.engine
    (task_id,) = await engine_lab.start_scoped(topic, encode({"source": 1}), {"name": "source"})
    execution, _ = await place_of(engine_lab, task_id)
    await fetch(engine_lab, topic)
    await engine.complete(task_id, "w1", {})
    for call in (
        engine.read_variables(execution),
        engine.read_variables(execution, local=True),
        engine.set_variables(execution, encode({"name": 1})),
        engine.read_file(execution, "name"),
    ):
        with pytest.raises(TaskGone):
            await call


@pytest.mark.parametrize(
    ("narrowed", "found"),
    [
        ({"business_key": "A-17"}, True),
        ({"business_key": "A-1"}, False),
        ({"process_variables": {"country": "BR"}}, True),
        ({"process_variables": {"country": "BR", "express": True, "amount": 5, "rate": 0.5}}, True),
        ({"process_variables": {"country": "BR", "express": False}}, True),  # one of them is enough
        ({"process_variables": {"country": "PT", "express": False}}, False),
        ({"process_variables": {"amount": "5"}}, False),
        ({"process_variables": {"absent": 1}}, False),
        ({"process_variables": {"big": 5}}, False),  # as it is a Long, and 5 an Integer
        ({"process_variables": {"bigger": 5_000_000_000}}, True),
        ({"process_variables": {"local": 1}}, False),
        ({"process_definition_version_tag": "stable"}, True),
        ({"process_definition_version_tag": "sta"}, False),
        ({"process_definition_ids": ("absent:1:1",)}, False),
        ({"without_tenant_id": True}, True),
        ({"tenant_ids": ("acme",)}, False),
    ],
)
async def test_a_fetch_is_narrowed(engine_lab: EngineLab, topic: str, narrowed: dict[str, Any], found: bool) -> None:
    given = encode({"country": "BR", "express": True, "amount": 5, "rate": 0.5, "source": 1})
    big = {"big": TypedValue("Long", 5), "bigger": TypedValue("Long", 5_000_000_000)}
    await engine_lab.start_scoped(topic, {**given, **big}, {"local": "source"}, business_key="A-17")
    assert bool(await fetch(engine_lab, topic, **narrowed)) is found


async def test_each_topic_of_a_fetch_is_narrowed_for_itself(engine_lab: EngineLab, topic: str) -> None:
    other = f"{topic}-other"
    ids = [
        (await engine_lab.start_scoped(name, encode({"country": country}), {}, business_key=country))[0]
        for name in (topic, other)
        for country in ("BR", "PT")
    ]
    options: list[dict[str, Any]] = [{"process_variables": {"country": "BR", "absent": 1}}, {"business_key": "BR"}]
    for narrowed in options:
        polls = [TopicPoll(topic, MINUTE, **narrowed), TopicPoll(other, MINUTE)]
        found = await engine_lab.engine.fetch_and_lock("w1", 10, polls, NOW)
        assert {task.id for task in found} == {ids[0], ids[2], ids[3]}
        for task in found:
            await engine_lab.engine.unlock(task.id)


async def test_a_fetch_is_narrowed_to_definitions(engine_lab: EngineLab, topic: str) -> None:
    (task_id,) = await engine_lab.start_scoped(topic, encode({"a": 1}), {"b": "a"})
    definition = (await engine_lab.engine.get(task_id)).process_definition_id
    assert definition is not None
    assert len(await fetch(engine_lab, topic, process_definition_ids=("absent:1:1", definition))) == 1


async def test_a_fetch_without_tenants_leaves_theirs(engine_lab: EngineLab, topic: str) -> None:
    of_tenant, of_nobody = await engine_lab.start(topic, tenant="acme"), await engine_lab.start(topic)
    assert [task.id for task in await fetch(engine_lab, topic, without_tenant_id=True)] == [of_nobody]
    assert [task.id for task in await fetch(engine_lab, topic)] == [of_tenant]


async def test_extension_properties_are_fetched_where_they_are_asked_for(engine_lab: EngineLab, topic: str) -> None:
    for wanted in (True, False):
        (task_id,) = await engine_lab.start_scoped(topic, encode({"a": 1}), {"b": "a"})
        (task,) = await fetch(engine_lab, topic, include_extension_properties=wanted)
        assert (task.id, task.properties) == (task_id, {"owner": "tests"} if wanted else None)
        assert task.created_at is not None
