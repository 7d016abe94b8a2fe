"""The step after a task runs long in the engine's transaction: it runs once, and nobody sends the outcome again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from bridge.domain.task import State
from tests.faults.lab import FaultLab
from tests.faults.timing_out import TimingOutProxy

HOUR = timedelta(hours=1)
WHY = "the step after this task takes longer than 2 s in the engine's transaction: set asyncBefore on it"
PATIENT: Mapping[str, Any] = {"CAMUNDA_TIMEOUT": "2", "LOCK_DURATION": "300"}

_MODEL = """<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:camunda="http://camunda.org/schema/1.0/bpmn"
             id="definitions" targetNamespace="tests">
  <process id="{{key}}" isExecutable="true" camunda:historyTimeToLive="P1D">
    <startEvent id="start"/>
    <sequenceFlow id="f1" sourceRef="start" targetRef="work"/>
    <serviceTask id="work" camunda:type="external" camunda:topic="{{topic}}"/>
    <sequenceFlow id="f2" sourceRef="work" targetRef="slow"/>
    <serviceTask id="slow" camunda:expression="${{{{''.getClass().forName('java.io.FileInputStream').getConstructor(''.getClass()).newInstance('{pipe}').read()}}}}"/>
    <sequenceFlow id="f3" sourceRef="slow" targetRef="done"/>
    <endEvent id="done"/>
  </process>
</definitions>
"""  # noqa: E501 - an expression is one line


class SlowStep:
    """A process whose step after the task waits in the same transaction, each run of it for one `go`."""

    def __init__(self, lab: FaultLab) -> None:
        self._lab = lab
        self._pipe = lab.folder / "pipe"
        os.mkfifo(self._pipe)
        self._end = os.open(self._pipe, os.O_RDWR)

    async def deploy(self) -> str:
        """Deploy it; return its key."""
        text = _MODEL.format(pipe=self._pipe)
        return await self._lab.deploy_text("slow", text, self._lab.write_counted(name="slow"))

    def go(self) -> None:
        """Let one run of the step end."""
        os.write(self._end, b"x")

    def close(self) -> None:
        """Let all runs end that still wait."""
        os.close(self._end)


@pytest.fixture
def step(faults: FaultLab) -> Iterator[SlowStep]:
    step = SlowStep(faults)
    try:
        yield step
    finally:
        step.close()


async def test_a_slow_step_runs_once_and_holds_up_no_other(faults: FaultLab, step: SlowStep) -> None:
    slow, quick = await step.deploy(), await faults.counted()
    async with TimingOutProxy(faults.engine_url, HOUR) as proxy:
        gateway = await faults.faulty(CAMUNDA_URL=proxy.url, REPORT_CONCURRENCY="1", **PATIENT)
        (task_id,) = await faults.begin(slow)
        told = await gateway.until("next_step_slow")
        assert (told["activity"], told["why"]) == ("work", WHY)
        assert (await faults.until_error(task_id, WHY)).state is State.REPORTING
        await faults.begin(quick, 3)
        await faults.until_finished(quick, 3)
        await faults.faulty(CAMUNDA_URL=proxy.url, **PATIENT)
        await faults.until_looked_at(task_id, 3)
        assert await faults.finished(slow) == 0, "they waited for the slow one"
        step.go()
        await faults.until_finished(slow, 1)
        done = await faults.until_kept(task_id, State.COMPLETED)
        assert (done.error, done.in_flight_until) == (None, None)
        assert proxy.asked["complete"] == 4
    assert await faults.successes(slow) == [task_id]
    assert len(faults.runs()) == 4


async def test_the_process_that_sent_it_is_killed_meanwhile(faults: FaultLab, step: SlowStep) -> None:
    key = await step.deploy()
    async with TimingOutProxy(faults.engine_url, HOUR) as proxy:
        gateway = await faults.faulty(CAMUNDA_URL=proxy.url, **PATIENT)
        (task_id,) = await faults.begin(key)
        await faults.until_error(task_id, WHY)
        await gateway.kill()
        await faults.faulty(CAMUNDA_URL=proxy.url, **PATIENT)
        await faults.until_looked_at(task_id, 3)
        assert (await faults.kept(task_id)).error == WHY
        step.go()
        await faults.until_kept(task_id, State.COMPLETED)
        assert proxy.asked["complete"] == 1
    assert await faults.successes(key) == [task_id]
    assert len(faults.runs()) == 1


async def test_a_proxy_cuts_the_call_meanwhile(faults: FaultLab, step: SlowStep) -> None:
    key = await step.deploy()
    async with TimingOutProxy(faults.engine_url, timedelta(seconds=4)) as proxy:
        gateway = await faults.faulty(CAMUNDA_URL=proxy.url, **PATIENT)
        (task_id,) = await faults.begin(key)
        await gateway.until("outcome_settled", task_id=task_id, how="defer")
        assert proxy.cut["complete"] == 1
        await faults.until_looked_at(task_id, 3)
        step.go()
        await faults.until_kept(task_id, State.COMPLETED)
        assert proxy.asked["complete"] == 1
        assert not gateway.events("circuit_opened")
    assert await faults.successes(key) == [task_id]
    assert len(faults.runs()) == 1


async def test_a_lock_that_ends_during_the_transaction_is_longer_the_next_time(
    faults: FaultLab, step: SlowStep
) -> None:
    """The engine offers the task again, and refuses the transaction in the end: which can't be helped at first."""
    key = await step.deploy()
    async with TimingOutProxy(faults.engine_url, HOUR) as proxy:
        await faults.faulty(CAMUNDA_URL=proxy.url, CAMUNDA_TIMEOUT="2", LOCK_DURATION="4")
        (task_id,) = await faults.begin(key)
        await faults.until_leased(task_id, 2)
        assert proxy.asked["complete"] == 1, "the engine may be at work on it"
        step.go()
        step.go()
        await faults.until_kept(task_id, State.COMPLETED)
        assert proxy.asked["complete"] == 2
        assert proxy.asked["lock"] == 1
    assert await faults.successes(key) == [task_id]
    assert len(faults.runs()) == 1


async def test_the_end_of_the_process_waits_for_the_grace_only(faults: FaultLab, step: SlowStep) -> None:
    key = await step.deploy()
    async with TimingOutProxy(faults.engine_url, HOUR) as proxy:
        gateway = await faults.faulty(CAMUNDA_URL=proxy.url, SHUTDOWN_GRACE="2", **PATIENT)
        (task_id,) = await faults.begin(key)
        await faults.until_error(task_id, WHY)
        assert await gateway.stop() == 0
        assert gateway.events("outcomes_left", tasks=1)
        await faults.faulty(CAMUNDA_URL=proxy.url, **PATIENT)
        await faults.until_looked_at(task_id, 1)
        step.go()
        await faults.until_kept(task_id, State.COMPLETED)
        assert proxy.asked["complete"] == 1
    assert await faults.successes(key) == [task_id]
