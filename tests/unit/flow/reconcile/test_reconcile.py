"""Whatever a crash or an outage left, each live task gets its next step, and two that look at once do no harm."""

from __future__ import annotations

import asyncio

import pytest

from bridge.domain.errors import BrokerUnavailable, EngineUnavailable, StoreError, StoreUnavailable
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import Completion, Failure, Source, State, TaskKey, TypedValue
from tests.unit.fakes import LOCK, NOW, SECOND
from tests.unit.flow.reconcile.sweeper import LOST_CLAIMS, STALE, Sweeper
from tests.unit.flow_lab import LAPSED, NEEDS_RENEWAL, THIEF, SlowBroker


async def test_what_is_not_due_is_left() -> None:
    flow = Sweeper()
    await flow.lab.task()
    assert await flow.sweep() == 0
    assert (flow.published, flow.lab.store.moves) == ([], [])


async def test_a_received_task_is_published_again_until_the_broker_confirms() -> None:
    flow = Sweeper()
    task = await flow.due(State.RECEIVED)
    flow.lab.broker.fail_next("publish", BrokerUnavailable("no confirm"))
    assert await flow.sweep() == 1
    assert (flow.published, flow.lab.state(task)) == ([], State.RECEIVED)
    assert len(flow.lab.notes.of("publish_failed")) == 1
    flow.lab.clock.advance(5 * SECOND)
    await flow.sweep()
    assert (flow.published, flow.lab.state(task)) == ([task.id], State.QUEUED)


async def test_a_received_task_whose_lock_is_worn_is_published_under_a_new_one() -> None:
    flow = Sweeper()
    task = await flow.due(State.RECEIVED)
    flow.lab.clock.advance(NEEDS_RENEWAL)
    await flow.sweep()
    assert flow.lab.engine.of("extend_lock") == [task.id]
    assert (flow.published, flow.lab.now(task).lease_until) == ([task.id], NOW + NEEDS_RENEWAL + LOCK - SECOND)


async def test_the_lock_of_a_queued_task_is_renewed_when_it_needs_renewal() -> None:
    flow = Sweeper()
    task = await flow.due(State.QUEUED)
    await flow.sweep()
    assert flow.lab.engine.calls == []
    flow.lab.clock.advance(NEEDS_RENEWAL)
    await flow.sweep()
    kept = flow.lab.now(task)
    assert flow.lab.engine.calls == [("extend_lock", task.id)]
    assert (kept.state, kept.lease_until, flow.published) == (State.QUEUED, NOW + NEEDS_RENEWAL + LOCK - SECOND, [])
    assert kept.next_at == NOW + NEEDS_RENEWAL + LOCK / 3


async def test_a_queued_task_is_kept_while_the_engine_is_away() -> None:
    flow = Sweeper()
    task = await flow.due(State.QUEUED)
    flow.lab.clock.advance(NEEDS_RENEWAL)
    flow.lab.engine.fail_next("extend_lock", EngineUnavailable("cut"))
    await flow.sweep()
    assert len(flow.lab.notes.of("lock_not_renewed")) == 1
    assert (flow.lab.state(task), flow.lab.now(task).lease_until) == (State.QUEUED, task.lease_until)


@pytest.mark.parametrize("state", [State.RECEIVED, State.QUEUED])
async def test_a_waiting_task_that_is_lost_gets_its_end_and_no_message(state: State) -> None:
    flow = Sweeper()
    gone, stolen = await flow.due(state), await flow.due(state)
    flow.lab.engine.cancel(gone.id)
    await flow.lab.steal(stolen)
    flow.lab.clock.advance(NEEDS_RENEWAL)
    await flow.sweep()
    assert set(flow.lab.engine.of("extend_lock")) == {gone.id, stolen.id}
    assert [flow.lab.state(task) for task in (gone, stolen)] == [State.CANCELLED, State.SUPERSEDED]
    assert flow.published == []


async def test_a_task_that_was_completed_since_it_was_read_is_not_taken_for_cancelled() -> None:
    flow = Sweeper()
    task = await flow.due(State.QUEUED)
    flow.lab.clock.advance(NEEDS_RENEWAL)

    def complete() -> None:
        flow.lab.put(task, state=State.REPORTING, outcome=Completion())
        flow.lab.engine.cancel(task.id)

    flow.lab.engine.before["extend_lock"] = complete
    await flow.sweep()
    assert flow.lab.engine.of("extend_lock") == [task.id]
    assert (flow.lab.state(task), flow.lab.now(task).outcome) == (State.REPORTING, Completion())


@pytest.mark.parametrize(("ready", "again"), [(0, True), (1, False)])
async def test_a_stale_message_is_published_again_only_where_no_queue_may_hold_it(ready: int, again: bool) -> None:
    flow = Sweeper()
    task = await flow.due(State.QUEUED)
    if ready:
        await flow.lab.broker.publish("orders", [TaskKey("another", 1)])
        flow.lab.broker.published.clear()
    flow.lab.clock.advance(STALE)
    await flow.sweep()
    assert flow.published == ([task.id] if again else [])
    assert len(flow.lab.notes.of("messages_lost")) == int(again)
    assert flow.lab.state(task) is State.QUEUED
    assert flow.lab.now(task).lease_until > flow.lab.clock.now(), "its lock is renewed in either case"


async def test_a_broker_that_tells_no_depth_is_no_proof_of_a_lost_message() -> None:
    flow = Sweeper()
    task = await flow.due(State.QUEUED)
    flow.lab.clock.advance(STALE)
    flow.lab.broker.fail_next("depth", BrokerUnavailable("cut"))
    await flow.sweep()
    assert (flow.published, flow.lab.state(task)) == ([], State.QUEUED)
    assert flow.lab.engine.of("extend_lock") == [task.id]


async def test_a_lost_claim_is_taken_back_and_published_with_an_attempt_that_says_so() -> None:
    flow = Sweeper()
    task = await flow.lost()
    await flow.sweep()
    kept = flow.lab.now(task)
    assert (kept.state, kept.claim_id, kept.lost_claims) == (State.QUEUED, None, 1)
    assert [(attempt.ended, attempt.claim_id, attempt.replica) for attempt in kept.history] == [("lost", "c1", "dead")]
    assert flow.published == [task.id]
    assert flow.lab.engine.of("fail") == []
    await flow.lab.deliver(kept)
    await flow.lab.delivery.drain()
    assert (flow.lab.state(task), flow.lab.now(task).attempts) == (State.COMPLETED, 2)


async def test_claims_are_left_while_renewals_may_not_have_come_through_and_nothing_else_is() -> None:
    flow = Sweeper(batch=1)
    flow.sees_renewals = False
    running = await flow.lost(next_at=NOW - SECOND)
    outcome = await flow.due(State.REPORTING, outcome=Completion())
    await flow.sweep()
    assert (flow.lab.state(running), flow.lab.now(running).lost_claims) == (State.RUNNING, 0)
    assert flow.lab.notes.of("claim_expired") == []
    assert flow.lab.state(outcome) is State.COMPLETED, "a claim that is left hides nothing behind it"
    flow.sees_renewals = True
    await flow.sweep()
    assert (flow.lab.state(running), flow.lab.now(running).lost_claims) == (State.QUEUED, 1)


async def test_a_handler_that_kills_its_process_too_often_is_an_incident() -> None:
    flow = Sweeper()
    task = await flow.lost(lost_claims=LOST_CLAIMS - 1)
    await flow.sweep()
    kept = flow.lab.now(task)
    assert (kept.state, kept.history[-1].ended, flow.published) == (State.FAILED, "lost", [])
    (report,) = flow.lab.engine.reports
    assert isinstance(report.outcome, Failure)
    assert (report.outcome.retries, report.worker_id) == (0, "w1")
    assert [incident.id for incident in flow.lab.engine.incidents()] == [task.id]


async def test_a_retry_in_the_engine_starts_the_count_of_lost_claims_anew() -> None:
    """Given in Cockpit, and brought by a fetch before the incident is looked at."""
    flow = Sweeper()
    task = await flow.lost(lost_claims=LOST_CLAIMS - 1)
    await flow.sweep()
    await flow.lab.engine.set_retries(task.id, 1)
    (again,) = await flow.lab.store.accept([task.changed(lease_until=flow.lab.clock.now() + LOCK)])
    assert again is not None
    assert (again.state, again.epoch, again.lost_claims) == (State.RECEIVED, 2, 0)


async def test_a_claim_that_decided_since_it_was_read_is_left() -> None:
    flow = Sweeper()
    task = await flow.lost()
    decide = Move(task.id, Event.DECIDE, 1, "c1", {"outcome": Completion(), "next_at": NOW + LOCK})
    flow.lab.store.before["move"] = lambda: flow.lab.store._apply(decide)
    await flow.sweep()
    assert (flow.lab.state(task), flow.lab.now(task).history) == (State.REPORTING, ())
    assert (flow.published, flow.lab.notes.of("claim_expired")) == ([], [])


async def test_an_outcome_that_nobody_delivered_is_delivered() -> None:
    flow = Sweeper()
    task = await flow.due(State.REPORTING, outcome=Completion())
    await flow.sweep()
    assert (flow.lab.state(task), len(flow.lab.engine.reports)) == (State.COMPLETED, 1)


async def test_a_due_retry_is_fetched_for_at_once_and_looked_at_less_and_less_often() -> None:
    flow = Sweeper()
    task = await flow.due(State.RETRYING)
    waits = []
    for _ in range(7):
        await flow.sweep()
        waits.append((flow.lab.now(task).next_at or NOW) - flow.lab.clock.now())
        flow.lab.clock.advance(waits[-1])
    assert waits == [2 * SECOND, 4 * SECOND, 8 * SECOND, 16 * SECOND, 32 * SECOND, 60 * SECOND, 60 * SECOND]
    assert flow.nudged == [{"orders"}] * 7
    assert flow.lab.engine.of("get_many") == [task.id] * 5, "the engine is asked only when fetching brought nothing"
    assert flow.lab.state(task) is State.RETRYING


@pytest.mark.parametrize(
    ("fate", "state"),
    [
        ("gone", State.CANCELLED),
        ("stolen", State.SUPERSEDED),
        ("stolen and lapsed", State.RETRYING),
        ("ours", State.RETRYING),
        ("engine away", State.RETRYING),
    ],
)
async def test_a_retry_that_is_not_offered_ends_as_the_engine_says(fate: str, state: State) -> None:
    flow = Sweeper()
    task = await flow.due(State.RETRYING, reports=2)
    if fate == "gone":
        flow.lab.engine.cancel(task.id)
    elif fate == "engine away":
        flow.lab.engine.fail_next("get_many", EngineUnavailable("cut"))
    elif fate != "ours":
        await flow.lab.steal(task)
    if fate == "stolen and lapsed":
        flow.lab.clock.advance(LAPSED)
    await flow.sweep()
    assert flow.lab.engine.of("get_many") == [task.id]
    assert flow.lab.engine.of("get") == ([task.id] if fate == "gone" else []), "only the engine's 404 ends a task"
    kept = flow.lab.now(task)
    assert kept.state is state
    assert (THIEF in (kept.error or "")) == (state is State.SUPERSEDED)
    if state is State.RETRYING:
        assert kept.next_at is not None
        assert kept.next_at > flow.lab.clock.now()
    assert flow.nudged == [{"orders"} if state is State.RETRYING else set()]


async def test_a_submission_that_was_kept_unasked_is_checked_before_it_is_published() -> None:
    flow = Sweeper()
    values = {"variables": {"amount": TypedValue("Integer", 2)}, "source": Source.PUSHED, "verified": False}
    first, second, gone = [await flow.due(State.RECEIVED, next_at=NOW + n * SECOND, **values) for n in range(3)]
    flow.lab.engine.cancel(gone.id)
    flow.lab.engine.fail_next("get_many", EngineUnavailable("cut"))
    flow.lab.clock.advance(2 * SECOND)
    await flow.sweep()
    assert flow.published == []
    assert len(flow.lab.notes.of("submission_unchecked")) == 3
    assert {flow.lab.state(task) for task in (first, second, gone)} == {State.RECEIVED}
    flow.lab.clock.advance(10 * SECOND)
    await flow.sweep()
    assert flow.published == sorted([first.id, second.id])  # due at the same moment by now
    assert [flow.lab.state(task) for task in (first, second, gone)] == [State.QUEUED, State.QUEUED, State.CANCELLED]
    assert flow.lab.now(first).verified


async def test_a_broker_that_does_not_answer_holds_up_neither_outcomes_nor_lost_claims() -> None:
    broker = SlowBroker(["orders"])
    flow = Sweeper(broker=broker)
    first = await flow.due(State.RECEIVED)
    await flow.reconciler.run_once()
    await broker.asked.wait()
    lost, outcome = await flow.lost(), await flow.due(State.REPORTING, outcome=Completion())
    await flow.reconciler.run_once()
    await flow.lab.delivery.drain()
    assert (flow.lab.state(outcome), flow.lab.state(lost)) == (State.COMPLETED, State.RECEIVED)
    broker.answers.set()
    await flow.reconciler.settle()
    flow.lab.clock.advance(2 * SECOND)
    await flow.sweep()
    assert sorted(flow.published) == sorted([first.id, lost.id])


async def test_more_unpublished_tasks_than_one_sweep_sees_do_not_hide_an_outcome() -> None:
    broker = SlowBroker(["orders"])
    flow = Sweeper(broker=broker, batch=2)
    waiting = [await flow.due(State.RECEIVED) for _ in range(6)]
    flow.lab.clock.advance(SECOND)
    outcome = await flow.due(State.REPORTING, outcome=Completion())
    for _ in range(len(waiting)):
        await flow.reconciler.run_once()
    await flow.lab.delivery.drain()
    assert broker.asked.is_set()
    assert flow.lab.state(outcome) is State.COMPLETED
    assert {flow.lab.state(task) for task in waiting} == {State.RECEIVED}
    broker.answers.set()
    await flow.reconciler.settle()
    for _ in range(len(waiting)):
        flow.lab.clock.advance(2 * SECOND)
        await flow.sweep()
    assert sorted(flow.published) == sorted(task.id for task in waiting)


async def test_a_publish_that_can_not_be_recorded_is_told_of_and_made_again() -> None:
    flow = Sweeper()
    task = await flow.due(State.RECEIVED)
    flow.lab.store.fail_next("confirm")
    await flow.sweep()
    assert (flow.lab.store.struck, len(flow.lab.notes.of("publishes_not_recorded"))) == (["confirm"], 1)
    await flow.sweep()
    assert (flow.published, flow.lab.state(task)) == ([task.id] * 2, State.QUEUED)


async def test_one_state_that_the_store_refuses_does_not_hold_up_the_others() -> None:
    flow = Sweeper()
    lost, waiting = await flow.lost(), await flow.due(State.RECEIVED)
    flow.lab.store.fail_next("move", StoreError("the document is full"))
    with pytest.raises(StoreError, match="full"):
        await flow.reconciler.run_once()
    await flow.reconciler.settle()
    assert flow.lab.store.struck == ["move"]
    assert (flow.lab.state(lost), flow.lab.state(waiting)) == (State.RUNNING, State.QUEUED)


async def test_a_store_that_is_away_ends_the_sweep_and_leaves_all_due() -> None:
    flow = Sweeper()
    lost, waiting = await flow.lost(), await flow.due(State.RECEIVED)
    flow.lab.store.fail_next("move")
    with pytest.raises(StoreUnavailable):
        await flow.reconciler.run_once()
    assert (flow.lab.store.struck, flow.published) == (["move"], [])
    assert await flow.sweep() == 2
    flow.lab.clock.advance(2 * SECOND)
    await flow.sweep()
    assert sorted(flow.published) == sorted([lost.id, waiting.id])


async def test_two_that_look_at_once_do_no_harm() -> None:
    flow = Sweeper()
    lab, other = flow.lab, flow.another()
    outcome = await flow.due(State.REPORTING, outcome=Completion())
    lost, doomed = await flow.lost(), await flow.lost(lost_claims=LOST_CLAIMS - 1)
    received, retrying = await flow.due(State.RECEIVED), await flow.due(State.RETRYING, reports=2)
    lab.engine.cancel(retrying.id)
    lab.store.together = asyncio.Barrier(2)
    seen = await asyncio.gather(flow.reconciler.run_once(), other.run_once())
    assert set(seen) == {5}, "both have read the same tasks"
    await asyncio.gather(flow.reconciler.settle(), other.settle(), lab.delivery.drain())
    assert [lab.state(task) for task in (outcome, doomed, retrying)] == [State.COMPLETED, State.FAILED, State.CANCELLED]
    lab.clock.advance(2 * SECOND)
    await flow.sweep()
    assert [lab.state(task) for task in (lost, received)] == [State.QUEUED] * 2
    assert (lab.now(lost).lost_claims, len(lab.now(lost).history), len(lab.engine.reports)) == (1, 1, 2)
    for task in (lost, received):
        for _ in range(flow.published.count(task.id)):
            await lab.deliver(task)
    await lab.delivery.drain()
    assert sorted(lab.work.runs) == sorted([lost.id, received.id]), "a second message finds nothing to claim"
