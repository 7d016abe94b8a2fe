"""A stored outcome reaches the engine through lost answers, refusals and stolen locks; the handler is not involved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.adapters.mongo.moves import alike
from bridge.domain.errors import (
    EngineForbidden,
    EngineRejected,
    EngineUnavailable,
    ForeignAnswer,
    LeaseLost,
    PayloadRefused,
)
from bridge.domain.lifecycle import Move
from bridge.domain.task import BpmnFault, Completion, Failure, Outcome, State, TypedValue
from tests.unit.flow.deliver.delivery_rig import LOCK, Flow, Ticking


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Completion({"said": TypedValue("String", "oi")}), State.COMPLETED),
        (BpmnFault("NAME_MISSING"), State.COMPLETED),
        (Failure("ValueError", "no", "stack", 2, timedelta(seconds=5)), State.RETRYING),
        (Failure("Fail", "no", "stack", 0), State.FAILED),
    ],
)
async def test_a_delivered_outcome_settles_the_task(outcome: Outcome, state: State) -> None:
    flow = Flow()
    task = await flow.decided(outcome)
    assert await flow.delivery.deliver(task)
    assert flow.store.tasks[task.id].state is state
    assert len(flow.engine.reports) == 1


async def test_a_stolen_lock_supersedes_and_keeps_the_outcome() -> None:
    flow = Flow()
    task = await flow.decided(Completion())
    await flow.engine.unlock(task.id)
    await flow.engine.lock(task.id, "thief", LOCK)
    await flow.delivery.deliver(task)
    kept = flow.store.tasks[task.id]
    assert (kept.state, kept.outcome) == (State.SUPERSEDED, Completion())
    assert flow.engine.reports == []


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Completion(), State.COMPLETED),
        (BpmnFault("NAME_MISSING"), State.COMPLETED),
        (Failure("ValueError", "no", "stack", 2), State.RETRYING),
    ],
)
async def test_a_task_that_somebody_unlocked_is_locked_again_and_its_outcome_delivered(
    outcome: Outcome, state: State
) -> None:
    flow = Flow()
    task = await flow.decided(outcome)
    await flow.engine.unlock(task.id)
    assert await flow.delivery.deliver(task)
    assert flow.store.tasks[task.id].state is state
    expected = replace(outcome, name="") if isinstance(outcome, Failure) else outcome
    assert [(report.worker_id, report.outcome) for report in flow.engine.reports] == [(task.worker_id, expected)]


@pytest.mark.parametrize("error", [LeaseLost("another was faster", status=400), EngineUnavailable("cut")])
async def test_an_unlocked_task_that_can_not_be_locked_again_keeps_its_outcome(error: Exception) -> None:
    flow = Flow()
    task = await flow.decided(Completion())
    await flow.engine.unlock(task.id)
    flow.engine.fail_next("lock", error)
    await flow.delivery.deliver(task)
    kept = flow.store.tasks[task.id]
    assert (kept.state, kept.outcome, flow.engine.reports) == (State.REPORTING, Completion(), [])
    await flow.delivery.deliver(kept)
    assert flow.store.tasks[task.id].state is State.COMPLETED


async def test_a_suspended_task_that_somebody_unlocked_keeps_its_outcome_until_it_is_active() -> None:
    flow = Flow()
    task = await flow.decided(Completion())
    await flow.engine.unlock(task.id)
    flow.engine.suspend(task.id)
    await flow.delivery.deliver(task)
    assert flow.store.tasks[task.id].state is State.REPORTING
    flow.engine.suspend(task.id, False)
    await flow.delivery.deliver(flow.store.tasks[task.id])
    assert flow.store.tasks[task.id].state is State.COMPLETED


async def test_optimistic_locking_is_sent_again_and_never_becomes_a_failure() -> None:
    flow = Flow()
    task = await flow.decided(Completion())
    for _ in range(5):
        flow.engine.fail_next("complete", EngineRejected("locked", status=500, code=1))
        await flow.delivery.deliver(flow.store.tasks[task.id])
    assert flow.store.tasks[task.id].reports == 5
    await flow.delivery.deliver(flow.store.tasks[task.id])
    assert flow.store.tasks[task.id].state is State.COMPLETED


async def test_a_lasting_refusal_becomes_an_incident_that_keeps_the_outcome() -> None:
    flow = Flow()
    task = await flow.decided(Completion())
    for _ in range(3):
        flow.engine.fail_next("complete", EngineRejected("the delegate throws", status=500, code=0))
        await flow.delivery.deliver(flow.store.tasks[task.id])
    kept = flow.store.tasks[task.id]
    assert (kept.state, kept.outcome) == (State.FAILED, Completion())
    assert "the delegate throws" in (kept.error or "")
    assert [task.id for task in flow.engine.incidents()] == [task.id]


@pytest.mark.parametrize("outcome", [Completion(), BpmnFault("NAME_MISSING"), Failure("Fail", "no", "stack", 0)])
@pytest.mark.parametrize(
    "error",
    [
        ForeignAnswer("the engine's address answers 401", status=401),
        PayloadRefused("the engine's address answers 413", status=413),
        EngineForbidden("the user has no 'UPDATE' on ProcessInstance", status=403, kind="AuthorizationException"),
    ],
)
async def test_what_is_no_fault_of_the_task_is_deferred_for_as_long_as_it_lasts(
    outcome: Outcome, error: Exception
) -> None:
    flow = Flow()
    task = await flow.decided(outcome)
    operation = {Completion: "complete", BpmnFault: "bpmn_error", Failure: "fail"}[type(outcome)]
    for _ in range(5):
        flow.engine.fail_next(operation, error)  # type: ignore[arg-type]
        await flow.delivery.deliver(flow.store.tasks[task.id])
    kept = flow.store.tasks[task.id]
    assert (kept.state, kept.reports, kept.refusals) == (State.REPORTING, 5, 0)
    assert kept.error == str(error), "the task's page says why it waits"
    assert flow.engine.reports == []
    await flow.delivery.deliver(kept)
    assert len(flow.engine.reports) == 1
    assert flow.store.tasks[task.id].state is not State.REPORTING


async def test_an_answer_that_the_engine_did_not_write_ends_nothing_that_the_engine_has() -> None:
    """The outcome reached the engine, and a login page answered: the engine's history tells what became of it."""
    flow = Flow()
    task = await flow.decided(Completion())
    flow.engine.fail_next("complete", ForeignAnswer("the engine's address answers 200", status=200), after=True)
    await flow.delivery.deliver(task)
    assert flow.store.tasks[task.id].state is State.REPORTING
    flow.engine.fail_next("history", ForeignAnswer("the engine's address answers 404", status=404))
    await flow.delivery.deliver(flow.store.tasks[task.id])
    assert flow.store.tasks[task.id].state is State.REPORTING
    await flow.delivery.deliver(flow.store.tasks[task.id])
    assert flow.store.tasks[task.id].state is State.COMPLETED
    assert len(flow.engine.reports) == 1


async def test_what_the_engine_took_meanwhile_is_completed_at_one_moment() -> None:
    flow = Flow(Ticking())
    written: list[list[Move]] = []
    move = flow.store.move

    async def watched(moves: Sequence[Move]) -> Sequence[bool]:
        written.append(list(moves))
        return await move(moves)

    flow.store.move = watched  # type: ignore[method-assign]
    tasks = [await flow.decided(Completion()) for _ in range(4)]
    for task in tasks:
        flow.delivery.put(task)
    await flow.delivery.drain()
    (together,) = written
    assert len(alike(together)) == 1
    (moment,) = {kept.finished_at for kept in flow.store.tasks.values()}
    assert moment is not None
    assert {(kept.state, kept.updated_at) for kept in flow.store.tasks.values()} == {(State.COMPLETED, moment)}


async def test_an_outcome_of_an_older_lease_is_not_written_over_the_newer() -> None:
    flow = Flow()
    task = await flow.decided(Completion())
    flow.store.tasks[task.id] = task.changed(epoch=2)
    assert not await flow.delivery.deliver(task)
    assert flow.store.tasks[task.id].state is State.REPORTING
