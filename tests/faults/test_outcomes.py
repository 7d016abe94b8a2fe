"""Calls whose answer is lost on the way back, and an engine that can't take what it is told."""

from __future__ import annotations

import pytest

from bridge.domain.task import State
from tests.faults.lab import FaultLab
from tests.faults.proxy import Proxy

REFUSES = '    from bridge.topic import BpmnError\n    raise BpmnError("REFUSED", "no")'


async def test_the_answer_to_a_completion_is_lost(faults: FaultLab) -> None:
    key = await faults.counted()
    async with Proxy(faults.engine_url) as proxy:
        fault = proxy.drop_answer("/complete")
        gateway = await faults.faulty(CAMUNDA_URL=proxy.url)
        (task_id,) = await faults.begin(key)
        await fault.until_struck()
        assert fault.swallowed > 0
        await gateway.until("outcome_settled", task_id=task_id, how="ended_by_us")
        assert gateway.events("outcome_settled", task_id=task_id, how="defer")
        await faults.assert_each_once(key, [task_id])
        assert len(faults.runs()) == 1
        assert await gateway.stop() == 0


async def test_the_answer_to_a_bpmn_error_is_lost(faults: FaultLab) -> None:
    key = await faults.counted(body=REFUSES)
    async with Proxy(faults.engine_url) as proxy:
        fault = proxy.drop_answer("/bpmnError")
        gateway = await faults.faulty(CAMUNDA_URL=proxy.url)
        instance = await faults.start(key)
        await fault.until_struck()
        await gateway.until("outcome_settled", how="ended_by_us")
        assert await faults.ended_at(instance) == "refusal"
        assert len(faults.runs()) == 1
        assert await gateway.stop() == 0


async def test_the_answer_to_a_failure_is_lost(faults: FaultLab) -> None:
    body = '    if context.attempt == 1:\n        raise ValueError("not yet")'
    key = await faults.counted(body=body)
    async with Proxy(faults.engine_url) as proxy:
        fault = proxy.drop_answer("/failure")
        gateway = await faults.faulty(CAMUNDA_URL=proxy.url)
        (task_id,) = await faults.begin(key)
        await fault.until_struck()
        await faults.until_finished(key, 1)
        await faults.assert_each_once(key, [task_id])
        assert [run.attempt for run in faults.runs()] == [1, 2]
        assert await gateway.stop() == 0


async def test_the_answer_to_a_fetch_is_lost(faults: FaultLab) -> None:
    key = await faults.counted()
    (task_id,) = await faults.begin(key)
    async with Proxy(faults.engine_url) as proxy:
        fault = proxy.drop_answer("/fetchAndLock")
        gateway = await faults.faulty(CAMUNDA_URL=proxy.url, LOCK_DURATION="600")
        await fault.until_struck()
        assert await faults.store.get(task_id) is None
        # Long before the lock of the lost answer would have ended.
        await faults.until_finished(key, 1)
        await faults.assert_each_once(key, [task_id])
        assert len(faults.runs()) == 1
        assert await gateway.stop() == 0


@pytest.mark.parametrize("state", [State.RUNNING, State.REPORTING, State.COMPLETED])
async def test_the_stores_answer_is_lost(faults: FaultLab, state: State) -> None:
    """The write's effect is unknown then: it is read back, and neither lost nor done twice."""
    key = await faults.counted()
    async with Proxy(faults.env["MONGODB_URI"]) as proxy:
        gateway = await faults.faulty(MONGODB_URI=proxy.url)
        fault = proxy.drop_answer(f"\0{state.value}\0")
        (task_id,) = await faults.begin(key)
        await fault.until_struck()
        await faults.until_finished(key, 1)
        await faults.assert_each_once(key, [task_id])
        assert [run.attempt for run in faults.runs()] == [1]
        assert await gateway.stop() == 0


async def test_the_brokers_connection_is_half_closed(faults: FaultLab) -> None:
    key = await faults.counted()
    async with Proxy(faults.env["RABBITMQ_URL"]) as proxy:
        gateway = await faults.faulty(RABBITMQ_URL=proxy.url)
        fault = proxy.half_close('{"id":')
        tasks = await faults.begin(key, 3)
        await fault.until_struck()
        await faults.until_finished(key, 3)
        await faults.assert_each_once(key, tasks)
        assert len(faults.runs()) == 3
        assert await gateway.stop() == 0


THROWS = """<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:camunda="http://camunda.org/schema/1.0/bpmn"
             id="definitions" targetNamespace="tests">
  <process id="{key}" isExecutable="true" camunda:historyTimeToLive="P1D">
    <startEvent id="start"/>
    <sequenceFlow id="f1" sourceRef="start" targetRef="work"/>
    <serviceTask id="work" camunda:type="external" camunda:topic="{topic}"/>
    <sequenceFlow id="f2" sourceRef="work" targetRef="next"/>
    <serviceTask id="next" camunda:expression="${{neededHere}}"/>
    <sequenceFlow id="f3" sourceRef="next" targetRef="done"/>
    <endEvent id="done"/>
  </process>
</definitions>
"""


async def test_a_next_step_that_throws_is_an_incident_and_no_second_run(faults: FaultLab) -> None:
    key = await faults.deploy_text("throws", THROWS, faults.write_counted())
    gateway = await faults.faulty(REPORT_LIMIT="3")
    instance = await faults.start(key)
    task_id = (await faults.task_of(instance))["id"]
    incident = await faults.until_incident(instance)
    assert "neededHere" in incident["incidentMessage"]
    failed = await faults.until_kept(task_id, State.FAILED)
    assert len(gateway.events("outcome_settled", task_id=task_id, how="defer")) == 2
    assert failed.outcome is not None
    assert len(faults.runs()) == 1
    # Once the cause is mended an operator's retry delivers what the handler decided then; it doesn't run again.
    variable = {"type": "String", "value": "is here"}
    await faults.ask("PUT", f"/process-instance/{instance}/variables/neededHere", variable)
    status, _ = await gateway.ask("POST", f"/tasks/{task_id}/retry")
    assert status == 202
    await faults.until_finished(key, 1)
    await faults.assert_each_once(key, [task_id])
    assert len(faults.runs()) == 1
