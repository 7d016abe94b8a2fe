"""How an engine tells what became of a task, asked of the one in memory and of a running Camunda alike."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bridge.adapters.camunda.engine import CamundaEngine
from bridge.domain.errors import EngineRejected
from bridge.domain.task import BpmnFault, Completion, Failure, Outcome, Task
from bridge.domain.variables import decode, encode
from bridge.flow.deliver.ending import COMPLETION_AS_ERROR, DELETED, FAILURE_AS_ERROR, Ending, Endings, How
from bridge.flow.deliver.error_events import ErrorEventDefinitions
from bridge.ports.engine import Engine, EngineTask
from tests.conftest import engine_login
from tests.contract.engine_calls import MINUTE, fetch
from tests.contract.engines import EngineLab, HandClock
from tests.unit.fakes import Notes


async def _report(engine: Engine, task: EngineTask, outcome: Outcome) -> None:
    match outcome:
        case Completion():
            await engine.complete(task.id, "w1", outcome.variables)
        case Failure(_, message, details, retries):
            await engine.fail(
                task.id, "w1", message=message, details=details, retries=retries, retry_timeout=timedelta(0)
            )
        case BpmnFault(code):
            await engine.raise_bpmn_error(task.id, "w1", code=code, message="", variables={})


def _kept(task: EngineTask) -> Task:
    assert task.lock_until is not None
    assert task.created_at is not None
    return Task(
        task.id, task.topic, "w1", task.lock_until, task.created_at, task.created_at, 3,
        process_definition_id=task.process_definition_id, activity_id=task.activity_id,
        activity_instance_id=task.activity_instance_id,
    )  # fmt: skip


def _endings(engine: Engine) -> Endings:
    return Endings(engine, ErrorEventDefinitions(engine, HandClock(), Notes()), HandClock())


@pytest.mark.parametrize("outcome", [Completion(), BpmnFault("refused"), BpmnFault("uncaught")])
async def test_what_ended_a_task_is_told_by_its_log(engine_lab: EngineLab, topic: str, outcome: Outcome) -> None:
    await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    await _report(engine_lab.engine, task, outcome)
    assert await _endings(engine_lab.engine).find_ending(_kept(task), outcome) == Ending(How.BY_US)


@pytest.mark.parametrize("outcome", [Completion(), Failure("E", "no", "boom", 2)])
async def test_a_task_whose_instance_was_deleted_was_not_ended_by_us(
    engine_lab: EngineLab, topic: str, outcome: Outcome
) -> None:
    task_id = await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    if isinstance(outcome, Failure):
        await _report(engine_lab.engine, task, outcome)
    await engine_lab.cancel(task_id)
    assert (await _endings(engine_lab.engine).find_ending(_kept(task), outcome)).how is How.OTHERWISE


async def test_an_activitys_history_tells_whether_it_was_completed_or_interrupted(
    engine_lab: EngineLab, topic: str
) -> None:
    await engine_lab.start(topic)
    (done,) = await fetch(engine_lab, topic)
    assert done.activity_instance_id is not None
    running = await engine_lab.engine.activity(done.activity_instance_id)
    assert running is not None
    assert (running.ended_at, running.cancelled) == (None, False)
    await engine_lab.engine.complete(done.id, "w1", {})
    completed = await engine_lab.engine.activity(done.activity_instance_id)
    assert completed is not None
    assert completed.ended_at is not None
    assert done.created_at is not None
    assert (completed.cancelled, completed.ended_at - done.created_at < MINUTE) == (False, True)
    await engine_lab.start(topic)
    (gone,) = await fetch(engine_lab, topic)
    assert gone.activity_instance_id is not None
    await engine_lab.cancel(gone.id)
    interrupted = await engine_lab.engine.activity(gone.activity_instance_id)
    assert interrupted is not None
    assert interrupted.cancelled
    assert await engine_lab.engine.activity("task:none") is None


@pytest.mark.parametrize("outcome", [Failure("E", "no", "boom", 2), Failure("E", "no", "boom", 0)])
async def test_an_error_event_definition_takes_a_failure_for_a_bpmn_error(
    engine_lab: EngineLab, topic: str, outcome: Failure
) -> None:
    await engine_lab.start_throwing(topic)
    (task,) = await fetch(engine_lab, topic)
    await _report(engine_lab.engine, task, outcome)
    assert await engine_lab.engine.get_many([task.id]) == []
    assert await _endings(engine_lab.engine).find_ending(_kept(task), outcome) == Ending(How.THROWN, FAILURE_AS_ERROR)


async def test_a_failure_that_it_does_not_match_is_one(engine_lab: EngineLab, topic: str) -> None:
    await engine_lab.start_throwing(topic)
    (task,) = await fetch(engine_lab, topic)
    await _report(engine_lab.engine, task, Failure("E", "no", "another", 1))
    assert (await engine_lab.engine.get(task.id)).retries == 1


THROWS = Completion(encode({"always": True, "receipt": "none"}))


async def test_it_takes_a_completion_for_one_too_and_keeps_its_result(engine_lab: EngineLab, topic: str) -> None:
    await engine_lab.start_throwing(topic)
    (task,) = await fetch(engine_lab, topic)
    await _report(engine_lab.engine, task, THROWS)
    log = await engine_lab.engine.history(task.id)
    assert (log[-1].succeeded, log[-1].deleted, log[-1].worker_id) == (False, True, "w1")
    activity = await engine_lab.engine.activity(task.activity_instance_id or "")
    assert activity is not None
    assert activity.cancelled
    stored = await engine_lab.stored(task.process_instance_id or "")
    assert decode(stored) == {"always": True, "receipt": "none"}
    endings = _endings(engine_lab.engine)
    assert await endings.after_answer(_kept(task), THROWS) == Ending(How.THROWN, COMPLETION_AS_ERROR)
    assert await endings.find_ending(_kept(task), THROWS) == Ending(How.UNTOLD, DELETED), "the answer was lost"


async def test_a_completion_that_it_does_not_match_is_one(engine_lab: EngineLab, topic: str) -> None:
    await engine_lab.start_throwing(topic)
    (task,) = await fetch(engine_lab, topic)
    await _report(engine_lab.engine, task, Completion())
    assert await _endings(engine_lab.engine).after_answer(_kept(task), Completion()) is None
    assert await _endings(engine_lab.engine).find_ending(_kept(task), Completion()) == Ending(How.BY_US)


async def test_an_engine_tells_which_activities_may_throw(engine_lab: EngineLab, topic: str) -> None:
    """That of a boundary event, which catches, is not meant."""
    await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    assert set(await engine_lab.engine.throwing_activities(task.process_definition_id or "")) == set()
    await engine_lab.start_throwing(f"{topic}-throwing")
    (task,) = await fetch(engine_lab, f"{topic}-throwing")
    assert set(await engine_lab.engine.throwing_activities(task.process_definition_id or "")) == {"task"}
    with pytest.raises(EngineRejected) as caught:
        await engine_lab.engine.throwing_activities("none:1:1")
    assert (caught.value.status, caught.value.kind) == (404, "InvalidRequestException")


@pytest.mark.engine
async def test_an_engine_tells_which_database_it_works_on(servers: dict[str, str]) -> None:
    engine = CamundaEngine(servers["CAMUNDA_URL"], credentials=engine_login())
    await engine.open()
    try:
        first = await engine.identity.installation()
        assert first
        assert await engine.identity.installation() == first
        assert await engine.identity.existing_definitions(()) == ()
        assert list(await engine.identity.existing_definitions(["none:1:2", "none:1:3"])) == []
    finally:
        await engine.close()
