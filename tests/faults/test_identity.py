"""Which task it is, on real engines: a database that was put back, another engine at the address, an end untold."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from bridge.domain.task import LIVE, State
from sandbox import Part, Sandbox
from tests.conftest import base_port
from tests.faults.lab import FaultLab
from tests.faults.proxy import Proxy

REFUSES = """
    if given.number == 1:
        from bridge.topic import BpmnError
        raise BpmnError("REFUSED", "as the model has it")
"""
THROWING = """<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:camunda="http://camunda.org/schema/1.0/bpmn"
             id="definitions" targetNamespace="tests">
  <process id="{key}" isExecutable="true" camunda:historyTimeToLive="P1D">
    <startEvent id="start"/>
    <sequenceFlow id="f1" sourceRef="start" targetRef="work"/>
    <serviceTask id="work" camunda:type="external" camunda:topic="{topic}">
      <extensionElements>
        <camunda:errorEventDefinition id="thrown" errorRef="refused"
          expression="${{externalTask.errorMessage != null}}"/>
      </extensionElements>
    </serviceTask>
    <boundaryEvent id="caught" attachedToRef="work"><errorEventDefinition errorRef="refused"/></boundaryEvent>
    <sequenceFlow id="f2" sourceRef="work" targetRef="done"/>
    <sequenceFlow id="f3" sourceRef="caught" targetRef="refusal"/>
    <endEvent id="done"/>
    <endEvent id="refusal"/>
  </process>
  <error id="refused" errorCode="REFUSED"/>
</definitions>
"""


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Another engine, which keeps no history."""
    sandbox = Sandbox(tmp_path_factory.mktemp("another"), base_port=base_port(40), history="none")
    try:
        sandbox.up([Part.ENGINE])
        yield sandbox
    finally:
        sandbox.down()


async def test_what_a_database_that_was_put_back_forgot_is_delivered_again_or_runs(
    outage: FaultLab, disturbed: Sandbox
) -> None:
    key = await outage.counted(gated=True, body=REFUSES)
    number = {"number": {"type": "Integer", "value": 1}}
    instances = [await outage.start(key), await outage.start(key, number), await outage.start(key)]
    done, refused, cancelled = [(await outage.task_of(instance))["id"] for instance in instances]
    await asyncio.to_thread(disturbed.stop, Part.ENGINE)
    await asyncio.to_thread(disturbed.snapshot, Part.ENGINE, "before")
    await asyncio.to_thread(disturbed.start, Part.ENGINE)
    gateway = await outage.faulty()
    visits = {visit.run.task_id: visit for visit in await outage.gate.until(3)}
    for task_id in (done, refused):
        await visits[task_id].let_go()
        await outage.until_kept(task_id, State.COMPLETED)
    await outage.cancel(instances[2])
    await outage.until_kept(cancelled, State.CANCELLED)

    await asyncio.to_thread(disturbed.stop, Part.ENGINE)
    await asyncio.to_thread(disturbed.restore, Part.ENGINE, "before")
    await asyncio.to_thread(disturbed.start, Part.ENGINE)
    await outage.gate.open()
    await gateway.until_count("task_reopened", 3)
    await outage.until_finished(key, 3)
    kept = [await outage.until_kept(task_id, State.COMPLETED) for task_id in (done, refused, cancelled)]
    assert Counter(run.task_id for run in outage.runs()) == {done: 1, refused: 1, cancelled: 2}
    assert [[attempt.ended for attempt in task.history] for task in kept] == [
        ["completed", "reopened"], ["bpmn_error", "reopened"], ["reopened", "completed"],
    ]  # fmt: skip
    assert "the engine lost this completion" in (kept[0].history[1].message or "")
    assert [await outage.ended_at(instance) for instance in instances] == ["done", "refusal", "done"]
    assert not gateway.events("engine_changed"), "it is the same engine"


async def _pass(engine: FaultLab, time: timedelta) -> AsyncIterator[None]:
    """Let so much time pass by an engine that holds polls for a topic without tasks; give each poll's end."""
    ends = datetime.now(UTC) + time
    while (left := ends - datetime.now(UTC)) > timedelta(0):
        wait = min(left, timedelta(seconds=10)) // timedelta(milliseconds=1)
        topic = {"topicName": engine.topic("nothing"), "lockDuration": 1000}
        body = {"workerId": "waits", "maxTasks": 1, "asyncResponseTimeout": max(1, wait), "topics": [topic]}
        assert await engine.ask("POST", "/external-task/fetchAndLock", body) == []
        yield


async def test_another_engine_at_the_address_for_two_minutes_cancels_nothing(
    faults: FaultLab, another: Sandbox, tmp_path: Path
) -> None:
    key = await faults.counted(gated=True, timeout=600)
    elsewhere = another.env()["CAMUNDA_URL"]
    async with aiohttp.ClientSession() as session, Proxy(faults.engine_url) as proxy:
        gateway = await faults.faulty(CAMUNDA_URL=proxy.url)
        tasks = await faults.begin(key, 20)
        visits = await faults.gate.until(8)
        decided, running = ({visit.run.task_id for visit in some} for some in (visits[:4], visits[4:]))
        (tmp_path / "other").mkdir()
        other = FaultLab({**faults.env, "CAMUNDA_URL": elsewhere}, tmp_path / "other", session)
        stranger = await other.task_of(await other.start(await other.deploy("work", faults.topic("work"))))
        proxy.lead_to(elsewhere)
        assert proxy.cuts
        await gateway.until("engine_changed")
        for visit in visits[:4]:
            await visit.let_go()
        for task_id in decided:
            await faults.until_kept(task_id, State.REPORTING)
        status, health = await gateway.ask("GET", "/health")
        assert status == 503
        assert "another engine answers" in str(health)
        async for _ in _pass(other, timedelta(minutes=2)):
            kept = [task for task_id in tasks if (task := await faults.store.get(task_id)) is not None]
            assert {task.state for task in kept} <= LIVE
            assert {task.state for task in kept if task.id in decided} == {State.REPORTING}
        assert max(task.lease_until for task in kept) < datetime.now(UTC), "all locks ended meanwhile"
        await faults.until_unlocked(faults.topic("work"), 20)
        assert await faults.store.get(stranger["id"]) is None, "what the other engine has is none of ours"
        assert (await other.ask("GET", f"/external-task/{stranger['id']}"))["id"] == stranger["id"]
        proxy.lead_to(faults.engine_url)
        await gateway.until("engine_restored")
        await faults.gate.open()
        await faults.until_finished(key, 20)
        ended = {task_id: await faults.until_kept(task_id, State.COMPLETED) for task_id in tasks}
        await other.ask("DELETE", f"/process-instance/{stranger['processInstanceId']}")
    assert Counter(await faults.successes(key)) == dict.fromkeys(tasks, 1)
    runs = Counter(run.task_id for run in faults.runs())
    assert runs.keys() == set(tasks)
    assert {task_id: runs[task_id] for task_id in decided} == dict.fromkeys(decided, 1), "a stored outcome waits"
    assert running <= runs.keys()
    assert {task_id: count for task_id, count in runs.items() if count > ended[task_id].epoch} == {}, "once a lease"
    assert len(gateway.events("engine_changed")) == 1


async def test_a_bulk_deletion_in_our_engine_cancels_its_tasks(faults: FaultLab) -> None:
    key = await faults.counted(gated=True)
    gateway = await faults.faulty()
    tasks = await faults.begin(key, 100)
    await faults.gate.until(8)
    rows = await faults.ask("GET", f"/process-instance?processDefinitionKey={key}&maxResults=1000")
    body = {"processInstanceIds": [row["id"] for row in rows], "deleteReason": "an operator's"}
    await faults.ask("POST", "/process-instance/delete", body)
    cancelled = await faults.until_all_kept(State.CANCELLED)
    assert len(cancelled) >= 8
    assert set(cancelled) <= set(tasks)
    assert not gateway.events("engine_changed")


async def test_a_failure_that_the_model_turns_into_a_bpmn_error_is_told_as_what_it_was(faults: FaultLab) -> None:
    topic = faults.write_counted(body="    raise ValueError('boom')")
    key = await faults.deploy("work", topic, THROWING)
    await faults.faulty()
    instance = await faults.start(key)
    await faults.until_finished(key, 1)
    task = await faults.until_kept(await faults.first_task_of(instance), State.COMPLETED)
    assert "errorEventDefinition turned this failure into a BPMN error" in (task.error or "")
    assert await faults.ended_at(instance) == "refusal"
    assert await faults.ask("GET", f"/incident?processInstanceId={instance}") == []


async def test_a_completion_whose_answer_is_lost_and_of_which_no_history_is_kept_is_unknown(
    another: Sandbox, servers: dict[str, str], tmp_path: Path
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        Proxy(another.env()["CAMUNDA_URL"]) as proxy,
    ):
        lab = FaultLab({**servers, "CAMUNDA_URL": another.env()["CAMUNDA_URL"]}, tmp_path, session)
        await lab.open()
        try:
            fault = proxy.drop_answer("/complete")
            key = await lab.counted()
            await lab.faulty(CAMUNDA_URL=proxy.url)
            task = await lab.task_of(await lab.start(key))
            kept = await lab.until_kept(task["id"], State.UNKNOWN)
            assert fault.struck.is_set()
            assert "READ_HISTORY" in (kept.error or "")
            assert len(lab.runs()) == 1
        finally:
            await lab.close()
