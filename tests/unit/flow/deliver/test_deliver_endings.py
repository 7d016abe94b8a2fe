"""How a task ended, where an answer was lost or a 204 hides a BPMN error: as the engine's history tells."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bridge.adapters.memory.faults import Operation
from bridge.adapters.memory.history import HistoryLevel
from bridge.adapters.memory.store import MemoryStore
from bridge.domain.errors import EngineForbidden, EngineUnavailable
from bridge.domain.replica import Replica
from bridge.domain.task import BpmnFault, Completion, Failure, Outcome, State, Task, Variables
from bridge.domain.variables import encode
from bridge.ports.engine import EngineTask
from tests.unit.flow.deliver.delivery_rig import LOCK, NOW, Flow


@pytest.mark.parametrize("outcome", [Completion(), BpmnFault("NAME_MISSING")])
async def test_a_lost_answer_is_found_in_the_history_and_nothing_is_reported_twice(outcome: Outcome) -> None:
    flow = Flow()
    task = await flow.decided(outcome)
    operation = "complete" if isinstance(outcome, Completion) else "bpmn_error"
    flow.engine.fail_next(operation, EngineUnavailable("cut"), after=True)  # type: ignore[arg-type]
    await flow.delivery.deliver(task)
    deferred = flow.store.tasks[task.id]
    assert (deferred.state, deferred.reports) == (State.REPORTING, 1)
    await flow.delivery.deliver(deferred)
    assert flow.store.tasks[task.id].state is State.COMPLETED
    assert len(flow.engine.reports) == 1


async def test_an_instance_that_was_cancelled_is_not_taken_for_completed() -> None:
    flow = Flow()
    task = await flow.decided(Completion())
    flow.engine.cancel(task.id)
    await flow.delivery.deliver(task)
    assert flow.store.tasks[task.id].state is State.CANCELLED


ULID_TEXT = "01JDXQ5T8G0000000000000000"


@pytest.mark.parametrize(
    ("worker_id", "state"),
    [
        (f"bridge-r-1-{ULID_TEXT}", State.COMPLETED),
        (f"bridge-r-2-{ULID_TEXT}", State.CANCELLED),
        ("bridge-r-1", State.CANCELLED),
        (f"r-1-{ULID_TEXT}", State.CANCELLED),
    ],
)
@pytest.mark.parametrize("outcome", [Completion(), BpmnFault("code")])
async def test_a_delivery_under_an_earlier_lease_of_ours_ended_the_task(
    outcome: Outcome, worker_id: str, state: State
) -> None:
    """It took the lapsed lock again while the next lease had begun: the engine's log names the earlier worker id."""
    replicas = MemoryStore()
    await replicas.heartbeat(Replica("r-1", "1.0", (), NOW, NOW))
    flow = Flow(replicas=replicas)
    task = await flow.decided(outcome)
    await flow.engine.unlock(task.id)
    await flow.engine.lock(task.id, worker_id, LOCK)
    if isinstance(outcome, Completion):
        await flow.engine.complete(task.id, worker_id, {})
    else:
        await flow.engine.raise_bpmn_error(task.id, worker_id, code="code", message="", variables={})
    await flow.delivery.deliver(task)
    assert flow.store.tasks[task.id].state is state


async def _lost(flow: Flow, outcome: Outcome) -> Task:
    """Have the engine take an outcome, and its answer lost."""
    task = await flow.decided(outcome)
    operations: dict[type[Outcome], Operation] = {Completion: "complete", Failure: "fail", BpmnFault: "bpmn_error"}
    flow.engine.fail_next(operations[type(outcome)], EngineUnavailable("cut"), after=True)
    await flow.delivery.deliver(task)
    return flow.store.tasks[task.id]


@pytest.mark.parametrize("outcome", [Completion(), BpmnFault("code"), Failure("E", "no", "boom", 2)])
async def test_an_end_of_which_history_has_nothing_is_unknown_and_never_called_cancelled(outcome: Outcome) -> None:
    flow = Flow()
    flow.error_when = lambda _, details: details == "boom"
    flow.engine.keep_history(HistoryLevel.NONE)
    task = await _lost(flow, outcome)
    await flow.delivery.deliver(task)
    kept = flow.store.tasks[task.id]
    assert (kept.state, kept.outcome, kept.next_at) == (State.UNKNOWN, outcome, None)
    assert "READ_HISTORY" in (kept.error or "")


async def test_the_activitys_history_tells_of_a_completion_where_there_is_no_log() -> None:
    flow = Flow()
    flow.engine.keep_history(HistoryLevel.ACTIVITY)
    task = await _lost(flow, Completion())
    await flow.delivery.deliver(task)
    kept = flow.store.tasks[task.id]
    assert (kept.state, kept.error) == (State.COMPLETED, None)


@pytest.mark.parametrize(
    ("outcome", "state", "why"),
    [
        (Completion(), State.CANCELLED, "gone from the engine"),
        (BpmnFault("code"), State.UNKNOWN, "interrupted"),
    ],
)
async def test_an_activity_that_was_interrupted_was_not_completed(outcome: Outcome, state: State, why: str) -> None:
    flow = Flow()
    flow.engine.keep_history(HistoryLevel.ACTIVITY)
    task = await flow.decided(outcome)
    flow.engine.cancel(task.id)
    await flow.delivery.deliver(task)
    kept = flow.store.tasks[task.id]
    assert kept.state is state
    assert why in (kept.error or "")


async def test_what_was_completed_after_our_lock_had_run_out_may_be_anothers() -> None:
    flow = Flow()
    flow.engine.keep_history(HistoryLevel.ACTIVITY)
    task = await _lost(flow, Completion())
    await flow.delivery.deliver(task.changed(lease_until=NOW - timedelta(seconds=1)))
    kept = flow.store.tasks[task.id]
    assert kept.state is State.UNKNOWN
    assert "after our lock had run out" in (kept.error or "")


async def test_a_history_that_is_refused_tells_nothing_and_one_that_is_away_is_asked_again() -> None:
    flow = Flow()
    task = await _lost(flow, Completion())
    for operation in ("history", "activity"):
        flow.engine.fail_next(operation, EngineUnavailable("away"))
    flow.engine.keep_history(HistoryLevel.NONE)
    for _ in range(2):
        await flow.delivery.deliver(flow.store.tasks[task.id])
        assert flow.store.tasks[task.id].state is State.REPORTING
    for operation in ("history", "activity"):
        flow.engine.fail_next(operation, EngineForbidden("no right", status=403))  # type: ignore[arg-type]
    await flow.delivery.deliver(flow.store.tasks[task.id])
    assert flow.store.tasks[task.id].state is State.UNKNOWN


@pytest.mark.parametrize("retries", [0, 2])
async def test_a_failure_that_the_model_turns_into_a_bpmn_error_is_a_finished_task(retries: int) -> None:
    flow = Flow()
    flow.error_when = lambda _, details: details == "boom"
    task = await flow.decided(Failure("E", "no", "boom", retries))
    await flow.delivery.deliver(task)
    kept = flow.store.tasks[task.id]
    assert (kept.state, kept.next_at, kept.result) == (State.COMPLETED, None, None)
    assert "errorEventDefinition turned this failure into a BPMN error" in (kept.error or "")
    assert (kept.error_type, kept.error_fp, kept.finished_at) == (None, None, NOW)
    assert len(flow.engine.reports) == 1


PAID = encode({"paid": True})
REFUSED = encode({"paid": False})


def refused(variables: Variables, _: str | None) -> bool:
    return variables["paid"].value is False


@pytest.mark.parametrize("level", [HistoryLevel.FULL, HistoryLevel.ACTIVITY])
async def test_a_completion_that_the_model_turns_into_a_bpmn_error_is_told_as_one(level: HistoryLevel) -> None:
    flow = Flow()
    flow.error_when = refused
    flow.engine.keep_history(level)
    task = await flow.decided(Completion(REFUSED))
    await flow.delivery.deliver(task)
    kept = flow.store.tasks[task.id]
    assert (kept.state, kept.next_at, kept.finished_at) == (State.COMPLETED, None, NOW)
    assert "errorEventDefinition turned this completion into a BPMN error" in (kept.error or "")
    assert kept.result == REFUSED, "the engine wrote it before"
    (line,) = flow.notes.of("outcome_settled")
    assert line.values == {"how": "ended_by_us", "kept": True, "thrown": True}


@pytest.mark.parametrize("level", HistoryLevel)
async def test_a_completion_that_the_model_lets_pass_is_one(level: HistoryLevel) -> None:
    flow = Flow()
    flow.error_when = refused
    flow.engine.keep_history(level)
    task = await flow.decided(Completion(PAID))
    await flow.delivery.deliver(task)
    kept = flow.store.tasks[task.id]
    assert (kept.state, kept.error) == (State.COMPLETED, None)
    (line,) = flow.notes.of("outcome_settled")
    assert line.values == {"how": "delivered_completion", "kept": True}


async def test_an_activity_without_an_error_event_costs_one_look_at_its_definition_and_none_at_its_history() -> None:
    flow = Flow()
    for operation in ("history", "activity", "get"):
        flow.engine.fail_next(operation, AssertionError("asked"))
    first = await flow.decided(Completion())
    await flow.delivery.deliver(first)
    flow.engine.fail_next("throwing_activities", AssertionError("asked again"))
    for _ in range(3):
        task = await flow.decided(Completion())
        await flow.delivery.deliver(task)
        assert flow.store.tasks[task.id].state is State.COMPLETED


@pytest.mark.parametrize("operation", ["history", "activity", "throwing_activities"])
@pytest.mark.parametrize("error", [EngineForbidden("no right", status=403), EngineUnavailable("away")])
async def test_a_completion_of_which_nothing_more_is_told_is_one(operation: Operation, error: Exception) -> None:
    flow = Flow()
    flow.error_when = refused
    flow.engine.keep_history(HistoryLevel.NONE)
    task = await flow.decided(Completion(REFUSED))
    flow.engine.fail_next(operation, error)
    await flow.delivery.deliver(task)
    kept = flow.store.tasks[task.id]
    assert (kept.state, kept.error) == (State.COMPLETED, None)
    told = operation != "throwing_activities" and isinstance(error, EngineUnavailable)
    assert len(flow.notes.of("outcome_unconfirmed")) == told


@pytest.mark.parametrize("level", [HistoryLevel.FULL, HistoryLevel.ACTIVITY])
async def test_where_the_answer_is_lost_a_thrown_error_can_not_be_told_from_a_cancellation(level: HistoryLevel) -> None:
    flow = Flow()
    flow.error_when = refused
    flow.engine.keep_history(level)
    task = await _lost(flow, Completion(REFUSED))
    await flow.delivery.deliver(task)
    kept = flow.store.tasks[task.id]
    assert kept.state is State.UNKNOWN
    assert "by a cancellation or as the model's errorEventDefinition" in (kept.error or "")


async def test_a_failure_whose_process_is_cancelled_right_after_is_no_bpmn_error() -> None:
    flow = Flow()
    task = await flow.decided(Failure("E", "no", "boom", 2))
    get = flow.engine.get

    async def cancelled(task_id: str) -> EngineTask:
        flow.engine.cancel(task_id)
        return await get(task_id)

    flow.engine.get = cancelled  # type: ignore[method-assign]
    await flow.delivery.deliver(task)
    assert flow.store.tasks[task.id].state is State.RETRYING, "its next look finds it gone"


async def test_a_failure_that_can_not_be_confirmed_was_taken_all_the_same() -> None:
    flow = Flow()
    task = await flow.decided(Failure("E", "no", "stack", 2))
    flow.engine.fail_next("get", EngineUnavailable("away"))
    await flow.delivery.deliver(task)
    assert flow.store.tasks[task.id].state is State.RETRYING
