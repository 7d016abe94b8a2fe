"""A stored outcome reaches the engine through lost answers, refusals and stolen locks; the handler is not involved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bridge.adapters.memory_engine import MemoryEngine
from bridge.adapters.memory_faults import Operation
from bridge.adapters.memory_history import HistoryLevel
from bridge.adapters.memory_models import ErrorWhen
from bridge.adapters.memory_store import MemoryStore
from bridge.adapters.moves import alike
from bridge.errors import EngineForbidden, EngineRejected, EngineUnavailable, ForeignAnswer, LeaseLost, PayloadRefused
from bridge.flow.report import Report
from bridge.lifecycle import Move
from bridge.ports import Clock, EngineTask, TopicPoll
from bridge.task import BpmnFault, Completion, Failure, Outcome, State, Task, TypedValue, Variables
from bridge.variables import encode
from tests.unit.fakes import Notes

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOCK = timedelta(seconds=60)


class Frozen:
    def now(self) -> datetime:
        return NOW


class Ticking:
    """A clock by which each look takes a millisecond."""

    def __init__(self) -> None:
        self._looks = 0

    def now(self) -> datetime:
        self._looks += 1
        return NOW + timedelta(milliseconds=self._looks)


class Flow:
    def __init__(self, clock: Clock = Frozen()) -> None:
        self.error_when: ErrorWhen | None = None
        self.engine = MemoryEngine(Frozen())
        self.store = MemoryStore()
        self.notes = Notes()
        second = timedelta(seconds=1)
        self.report = Report(
            self.engine,
            self.store,
            clock,
            self.notes,
            first_delay=second,
            most_delay=60 * second,
            limit=3,
            concurrency=4,
        )

    async def decided(self, outcome: Outcome) -> Task:
        self.engine.add("say_hello", error_when=self.error_when)
        (lease,) = await self.engine.fetch_and_lock("bridge-a", 1, [TopicPoll("say_hello", LOCK)], timedelta(0))
        task = Task(
            lease.id, "say_hello", "bridge-a", NOW + LOCK, NOW, NOW, 3, state=State.REPORTING, outcome=outcome,
            process_definition_id=lease.process_definition_id, activity_id=lease.activity_id,
            activity_instance_id=lease.activity_instance_id, error_type="E", error_fp="f",
        )  # fmt: skip
        await self.store.accept([task])
        return task


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
    assert await flow.report.deliver(task)
    assert flow.store.tasks[task.id].state is state
    assert len(flow.engine.reports) == 1


@pytest.mark.parametrize("outcome", [Completion(), BpmnFault("NAME_MISSING")])
async def test_a_lost_answer_is_found_in_the_history_and_nothing_is_reported_twice(outcome: Outcome) -> None:
    flow = Flow()
    task = await flow.decided(outcome)
    operation = "complete" if isinstance(outcome, Completion) else "bpmn_error"
    flow.engine.fail_next(operation, EngineUnavailable("cut"), after=True)  # type: ignore[arg-type]
    await flow.report.deliver(task)
    deferred = flow.store.tasks[task.id]
    assert (deferred.state, deferred.reports) == (State.REPORTING, 1)
    await flow.report.deliver(deferred)
    assert flow.store.tasks[task.id].state is State.COMPLETED
    assert len(flow.engine.reports) == 1


async def test_an_instance_that_was_cancelled_is_not_taken_for_completed() -> None:
    flow = Flow()
    task = await flow.decided(Completion())
    flow.engine.cancel(task.id)
    await flow.report.deliver(task)
    assert flow.store.tasks[task.id].state is State.CANCELLED


async def _lost(flow: Flow, outcome: Outcome) -> Task:
    """Have the engine take an outcome, and its answer lost."""
    task = await flow.decided(outcome)
    operations: dict[type[Outcome], Operation] = {Completion: "complete", Failure: "fail", BpmnFault: "bpmn_error"}
    flow.engine.fail_next(operations[type(outcome)], EngineUnavailable("cut"), after=True)
    await flow.report.deliver(task)
    return flow.store.tasks[task.id]


@pytest.mark.parametrize("outcome", [Completion(), BpmnFault("code"), Failure("E", "no", "boom", 2)])
async def test_an_end_of_which_history_has_nothing_is_unknown_and_never_called_cancelled(outcome: Outcome) -> None:
    flow = Flow()
    flow.error_when = lambda _, details: details == "boom"
    flow.engine.keep_history(HistoryLevel.NONE)
    task = await _lost(flow, outcome)
    await flow.report.deliver(task)
    kept = flow.store.tasks[task.id]
    assert (kept.state, kept.outcome, kept.next_at) == (State.UNKNOWN, outcome, None)
    assert "READ_HISTORY" in (kept.error or "")


async def test_the_activitys_history_tells_of_a_completion_where_there_is_no_log() -> None:
    flow = Flow()
    flow.engine.keep_history(HistoryLevel.ACTIVITY)
    task = await _lost(flow, Completion())
    await flow.report.deliver(task)
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
    await flow.report.deliver(task)
    kept = flow.store.tasks[task.id]
    assert kept.state is state
    assert why in (kept.error or "")


async def test_what_was_completed_after_our_lock_had_run_out_may_be_anothers() -> None:
    flow = Flow()
    flow.engine.keep_history(HistoryLevel.ACTIVITY)
    task = await _lost(flow, Completion())
    await flow.report.deliver(task.changed(lease_until=NOW - timedelta(seconds=1)))
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
        await flow.report.deliver(flow.store.tasks[task.id])
        assert flow.store.tasks[task.id].state is State.REPORTING
    for operation in ("history", "activity"):
        flow.engine.fail_next(operation, EngineForbidden("no right", status=403))  # type: ignore[arg-type]
    await flow.report.deliver(flow.store.tasks[task.id])
    assert flow.store.tasks[task.id].state is State.UNKNOWN


@pytest.mark.parametrize("retries", [0, 2])
async def test_a_failure_that_the_model_turns_into_a_bpmn_error_is_a_finished_task(retries: int) -> None:
    flow = Flow()
    flow.error_when = lambda _, details: details == "boom"
    task = await flow.decided(Failure("E", "no", "boom", retries))
    await flow.report.deliver(task)
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
    await flow.report.deliver(task)
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
    await flow.report.deliver(task)
    kept = flow.store.tasks[task.id]
    assert (kept.state, kept.error) == (State.COMPLETED, None)
    (line,) = flow.notes.of("outcome_settled")
    assert line.values == {"how": "delivered_completion", "kept": True}


async def test_an_activity_without_an_error_event_costs_one_look_at_its_definition_and_none_at_its_history() -> None:
    flow = Flow()
    for operation in ("history", "activity", "get"):
        flow.engine.fail_next(operation, AssertionError("asked"))
    first = await flow.decided(Completion())
    await flow.report.deliver(first)
    flow.engine.fail_next("throwing_activities", AssertionError("asked again"))
    for _ in range(3):
        task = await flow.decided(Completion())
        await flow.report.deliver(task)
        assert flow.store.tasks[task.id].state is State.COMPLETED


@pytest.mark.parametrize("operation", ["history", "activity", "throwing_activities"])
@pytest.mark.parametrize("error", [EngineForbidden("no right", status=403), EngineUnavailable("away")])
async def test_a_completion_of_which_nothing_more_is_told_is_one(operation: Operation, error: Exception) -> None:
    flow = Flow()
    flow.error_when = refused
    flow.engine.keep_history(HistoryLevel.NONE)
    task = await flow.decided(Completion(REFUSED))
    flow.engine.fail_next(operation, error)
    await flow.report.deliver(task)
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
    await flow.report.deliver(task)
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
    await flow.report.deliver(task)
    assert flow.store.tasks[task.id].state is State.RETRYING, "its next look finds it gone"


async def test_a_failure_that_can_not_be_confirmed_was_taken_all_the_same() -> None:
    flow = Flow()
    task = await flow.decided(Failure("E", "no", "stack", 2))
    flow.engine.fail_next("get", EngineUnavailable("away"))
    await flow.report.deliver(task)
    assert flow.store.tasks[task.id].state is State.RETRYING


async def test_a_stolen_lock_supersedes_and_keeps_the_outcome() -> None:
    flow = Flow()
    task = await flow.decided(Completion())
    await flow.engine.unlock(task.id)
    await flow.engine.lock(task.id, "thief", LOCK)
    await flow.report.deliver(task)
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
    assert await flow.report.deliver(task)
    assert flow.store.tasks[task.id].state is state
    expected = replace(outcome, name="") if isinstance(outcome, Failure) else outcome
    assert [(report.worker_id, report.outcome) for report in flow.engine.reports] == [(task.worker_id, expected)]


@pytest.mark.parametrize("error", [LeaseLost("another was faster", status=400), EngineUnavailable("cut")])
async def test_an_unlocked_task_that_can_not_be_locked_again_keeps_its_outcome(error: Exception) -> None:
    flow = Flow()
    task = await flow.decided(Completion())
    await flow.engine.unlock(task.id)
    flow.engine.fail_next("lock", error)
    await flow.report.deliver(task)
    kept = flow.store.tasks[task.id]
    assert (kept.state, kept.outcome, flow.engine.reports) == (State.REPORTING, Completion(), [])
    await flow.report.deliver(kept)
    assert flow.store.tasks[task.id].state is State.COMPLETED


async def test_a_suspended_task_that_somebody_unlocked_keeps_its_outcome_until_it_is_active() -> None:
    flow = Flow()
    task = await flow.decided(Completion())
    await flow.engine.unlock(task.id)
    flow.engine.suspend(task.id)
    await flow.report.deliver(task)
    assert flow.store.tasks[task.id].state is State.REPORTING
    flow.engine.suspend(task.id, False)
    await flow.report.deliver(flow.store.tasks[task.id])
    assert flow.store.tasks[task.id].state is State.COMPLETED


async def test_optimistic_locking_is_sent_again_and_never_becomes_a_failure() -> None:
    flow = Flow()
    task = await flow.decided(Completion())
    for _ in range(5):
        flow.engine.fail_next("complete", EngineRejected("locked", status=500, code=1))
        await flow.report.deliver(flow.store.tasks[task.id])
    assert flow.store.tasks[task.id].reports == 5
    await flow.report.deliver(flow.store.tasks[task.id])
    assert flow.store.tasks[task.id].state is State.COMPLETED


async def test_a_lasting_refusal_becomes_an_incident_that_keeps_the_outcome() -> None:
    flow = Flow()
    task = await flow.decided(Completion())
    for _ in range(3):
        flow.engine.fail_next("complete", EngineRejected("the delegate throws", status=500, code=0))
        await flow.report.deliver(flow.store.tasks[task.id])
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
        await flow.report.deliver(flow.store.tasks[task.id])
    kept = flow.store.tasks[task.id]
    assert (kept.state, kept.reports, kept.refusals) == (State.REPORTING, 5, 0)
    assert kept.error == str(error), "the task's page says why it waits"
    assert flow.engine.reports == []
    await flow.report.deliver(kept)
    assert len(flow.engine.reports) == 1
    assert flow.store.tasks[task.id].state is not State.REPORTING


async def test_an_answer_that_the_engine_did_not_write_ends_nothing_that_the_engine_has() -> None:
    """The outcome reached the engine, and a login page answered: the engine's history tells what became of it."""
    flow = Flow()
    task = await flow.decided(Completion())
    flow.engine.fail_next("complete", ForeignAnswer("the engine's address answers 200", status=200), after=True)
    await flow.report.deliver(task)
    assert flow.store.tasks[task.id].state is State.REPORTING
    flow.engine.fail_next("history", ForeignAnswer("the engine's address answers 404", status=404))
    await flow.report.deliver(flow.store.tasks[task.id])
    assert flow.store.tasks[task.id].state is State.REPORTING
    await flow.report.deliver(flow.store.tasks[task.id])
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
        flow.report.put(task)
    await flow.report.drain()
    (together,) = written
    assert len(alike(together)) == 1
    (moment,) = {kept.finished_at for kept in flow.store.tasks.values()}
    assert moment is not None
    assert {(kept.state, kept.updated_at) for kept in flow.store.tasks.values()} == {(State.COMPLETED, moment)}


async def test_an_outcome_of_an_older_lease_is_not_written_over_the_newer() -> None:
    flow = Flow()
    task = await flow.decided(Completion())
    flow.store.tasks[task.id] = task.changed(epoch=2)
    assert not await flow.report.deliver(task)
    assert flow.store.tasks[task.id].state is State.REPORTING
