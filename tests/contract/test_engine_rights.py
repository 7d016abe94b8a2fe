"""An engine with authorization on, in memory and for real: what its user lacks looks like an idle engine, or a 403."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import aiohttp
import pytest

from bridge.adapters.camunda.engine import CamundaEngine
from bridge.domain.errors import EngineForbidden, TaskGone
from bridge.domain.rights import MissingRight, Right
from bridge.domain.task import Variables
from bridge.ports.engine import Engine, TopicPoll
from sandbox.parts import ADMIN
from tests.contract.engine_calls import MINUTE
from tests.contract.engines import CamundaLab, EngineLab, MemoryLab
from tests.guarded import GuardedEngine, login

NOW = timedelta(0)
NO_RESULT: Variables = {}


@dataclass
class RightsLab:
    """A lab of somebody who may do everything, and the engine as a user sees it who may do nothing until granted."""

    lab: EngineLab
    user: Engine
    grant: Callable[..., Awaitable[None]]


@pytest.fixture(params=["memory", pytest.param("camunda", marks=[pytest.mark.engine, pytest.mark.own_engine])])
async def rights_lab(request: pytest.FixtureRequest) -> AsyncIterator[RightsLab]:
    if request.param == "memory":
        memory = MemoryLab()
        memory.engine.lacking = set(Right)

        async def give(*rights: Right) -> None:
            memory.engine.lacking -= set(rights)

        yield RightsLab(memory, memory.engine, give)
        return
    guarded: GuardedEngine = request.getfixturevalue("guarded_engine")
    name = await guarded.add_user()
    user = CamundaEngine(guarded.url, credentials=login(name))

    async def grant(*rights: Right) -> None:
        await guarded.grant(name, *rights)

    async with aiohttp.ClientSession(headers=guarded.admin) as session:
        lab = CamundaLab(guarded.url, session, login(ADMIN))
        await lab.engine.open()
        await user.open()
        try:
            yield RightsLab(lab, user, grant)
        finally:
            await user.close()
            await lab.close()


async def test_each_missing_right_is_named_until_it_is_granted(rights_lab: RightsLab) -> None:
    assert await rights_lab.user.missing_rights() == [MissingRight(right) for right in Right]
    assert await rights_lab.user.missing_rights(["a"]) == [MissingRight(right, "a") for right in Right]
    await rights_lab.grant(Right.READ, Right.HISTORY, Right.DEFINITIONS)
    assert await rights_lab.user.missing_rights() == [MissingRight(Right.UPDATE)]
    await rights_lab.grant(Right.UPDATE)
    assert list(await rights_lab.user.missing_rights()) == []


async def test_without_rights_an_engine_looks_idle(rights_lab: RightsLab, topic: str) -> None:
    task_id = await rights_lab.lab.start(topic)
    user, poll = rights_lab.user, [TopicPoll(topic, MINUTE)]
    assert list(await user.fetch_and_lock("w1", 1, poll, NOW)) == []
    assert list(await user.get_many([task_id])) == []
    assert list(await user.locked_by("w1")) == []
    assert await user.count(topic) == 0
    assert (topic in await user.topic_names(), await user.oldest(topic)) == (False, None)
    assert list(await user.history(task_id)) == []
    with pytest.raises(EngineForbidden):
        await user.get(task_id)
    with pytest.raises(TaskGone):
        await user.get(str(uuid4()))
    await rights_lab.grant(Right.READ)
    assert (await user.get(task_id)).id == task_id
    assert await user.count(topic) == 1
    assert list(await user.fetch_and_lock("w1", 1, poll, NOW)) == []
    await rights_lab.grant(Right.HISTORY)
    assert len(await user.history(task_id)) == 1


async def test_changes_without_the_right_are_refused_by_the_engine_itself(rights_lab: RightsLab, topic: str) -> None:
    task_id = await rights_lab.lab.start(topic)
    user = rights_lab.user
    await rights_lab.grant(Right.READ)

    async def refused(call: Awaitable[None]) -> None:
        with pytest.raises(EngineForbidden) as caught:
            await call
        assert (caught.value.status, caught.value.kind) == (403, "AuthorizationException")

    await refused(user.lock(task_id, "w1", MINUTE))
    await refused(user.set_retries(task_id, 1))
    await refused(user.unlock(task_id))
    await rights_lab.grant(Right.UPDATE)
    (task,) = await user.fetch_and_lock("w1", 1, [TopicPoll(topic, MINUTE)], NOW)
    await user.complete(task.id, "w1", NO_RESULT)


async def test_a_held_task_can_not_be_reported_on_without_the_right(rights_lab: RightsLab, topic: str) -> None:
    """The right may be taken away under a lock: here another with the same worker id holds it."""
    task_id = await rights_lab.lab.start(topic)
    await rights_lab.grant(Right.READ)
    user = rights_lab.user
    if isinstance(rights_lab.lab, MemoryLab):
        rights_lab.lab.engine.lacking.discard(Right.UPDATE)
        await user.lock(task_id, "w1", MINUTE)
        rights_lab.lab.engine.lacking.add(Right.UPDATE)
    else:
        await rights_lab.lab.engine.lock(task_id, "w1", MINUTE)
    calls = (
        user.complete(task_id, "w1", NO_RESULT),
        user.fail(task_id, "w1", message="no", details="", retries=1, retry_timeout=NOW),
        user.raise_bpmn_error(task_id, "w1", code="refused", message="no", variables=NO_RESULT),
        user.extend_lock(task_id, "w1", MINUTE),
    )
    for call in calls:
        with pytest.raises(EngineForbidden) as caught:
            await call
        assert (caught.value.status, caught.value.kind) == (403, "AuthorizationException")


async def test_an_engine_that_asks_for_no_rights_lacks_none(engine_lab: EngineLab) -> None:
    assert list(await engine_lab.engine.missing_rights()) == []
    assert list(await engine_lab.engine.missing_rights(["a"])) == []


@pytest.mark.engine
@pytest.mark.own_engine
async def test_rights_on_one_definition_are_enough_where_it_is_seen(guarded_engine: GuardedEngine, topic: str) -> None:
    """On the real engine alone: the one in memory has no grants for single definitions."""
    name = await guarded_engine.add_user()
    user = CamundaEngine(guarded_engine.url, credentials=login(name))
    async with aiohttp.ClientSession(headers=guarded_engine.admin) as session:
        lab = CamundaLab(guarded_engine.url, session, login(ADMIN))
        await lab.engine.open()
        await user.open()
        try:
            task_id = await lab.start(topic)
            key = (await lab.engine.get(task_id)).process_definition_key
            assert key is not None
            await guarded_engine.grant(name, *Right, definition=key)
            assert list(await user.missing_rights()) == []
            assert list(await user.missing_rights([key, "other"])) == [MissingRight(right, "other") for right in Right]
        finally:
            await user.close()
            await lab.close()
