"""What the engine says of a lock is taken for no more than it means, and no handler begins under one that is lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bridge.domain.errors import EngineRejected, EngineUnavailable, LeaseLost, LeaseStolen, TaskGone, TaskSuspended
from bridge.domain.lifecycle import Event
from bridge.domain.task import State, Task
from bridge.flow.lease import MARGIN, RELEASE_WITHIN, Lease
from tests.unit.fakes import LOCK, NOW, SECOND
from tests.unit.flow_lab import LAPSED, NEEDS_RENEWAL, THIEF, Lab, Work


def test_a_topic_may_have_a_lock_of_its_own() -> None:
    lab = Lab(topics=[Work().topic("orders"), Work().topic("mail", lock=8)])
    assert [lab.lease.duration(name) for name in ("orders", "mail", "unknown")] == [LOCK, 8 * SECOND, LOCK]


def test_a_lock_is_relied_on_for_less_than_it_was_asked_for() -> None:
    lab = Lab(topics=[Work().topic("orders"), Work().topic("mail", lock=2)])
    assert lab.lease.expiry("orders", NOW) == NOW + LOCK - MARGIN
    assert lab.lease.expiry("mail", NOW) == NOW + 1.5 * SECOND, "a margin must not eat up a short lock"


def test_what_a_clock_tells_of_a_lock_is_bounded_by_the_locks_own_length() -> None:
    """The header may be a proxy's, whose clock is hours behind."""
    lab = Lab(topics=[Work().topic("orders"), Work().topic("mail", lock=8)])
    assert lab.lease.reported_expiry("orders", 20 * SECOND, NOW) == NOW + 20 * SECOND - MARGIN
    assert lab.lease.reported_expiry("orders", timedelta(hours=3), NOW) == NOW + LOCK - MARGIN
    assert lab.lease.reported_expiry("mail", timedelta(hours=3), NOW) == NOW + 8 * SECOND - MARGIN


async def test_a_lock_needs_renewal_when_a_third_of_it_has_gone() -> None:
    lab = Lab()
    task = await lab.task(next_at=NOW)
    until = NOW + LOCK
    lab.clock.advance(20 * SECOND)
    assert not lab.lease.needs_renewal(task, until)
    lab.clock.advance(timedelta(milliseconds=1))
    assert lab.lease.needs_renewal(task, until)


async def test_extending_tells_until_when_the_lock_holds_counted_from_the_question() -> None:
    lab = Lab()
    task = await lab.task()
    lab.clock.advance(NEEDS_RENEWAL)
    lab.engine.before["extend_lock"] = lambda: lab.clock.advance(5 * SECOND)
    assert await lab.lease.extend(task) == NOW + NEEDS_RENEWAL + LOCK - MARGIN
    assert lab.engine.calls == [("extend_lock", task.id)]


async def test_a_lock_that_lapsed_and_that_nobody_took_is_taken_up_again() -> None:
    lab = Lab()
    task = await lab.task()
    lab.clock.advance(LAPSED)
    assert await lab.lease.extend(task) == NOW + LAPSED + LOCK - MARGIN
    assert [call for call, _ in lab.engine.calls] == ["extend_lock", "get", "lock"]
    assert await lab.offered() == []


async def test_a_task_that_an_operator_unlocked_is_taken_up_again() -> None:
    lab = Lab()
    task = await lab.task()
    await lab.engine.unlock(task.id)
    await lab.lease.extend(task)
    assert (await lab.engine.get(task.id)).worker_id == task.worker_id


@pytest.mark.parametrize("lapsed", [False, True])
async def test_a_lock_that_another_worker_took_is_stolen_even_when_it_let_it_lapse(lapsed: bool) -> None:
    lab = Lab()
    task = await lab.task()
    await lab.steal(task)
    if lapsed:
        lab.clock.advance(LAPSED)
    with pytest.raises(LeaseStolen, match=THIEF):
        await lab.lease.extend(task)
    assert lab.engine.of("lock") == []


async def test_a_task_taken_between_the_question_and_the_lock_is_stolen() -> None:
    lab = Lab()
    task = await lab.task()
    lab.clock.advance(LAPSED)
    lab.engine.fail_next("lock", LeaseLost("another was faster", status=400))
    with pytest.raises(LeaseStolen, match="just now"):
        await lab.lease.extend(task)
    assert lab.engine.of("lock") == [task.id]


async def test_a_suspended_task_is_neither_lost_nor_locked() -> None:
    lab = Lab()
    task = await lab.task()
    lab.engine.suspend(task.id)
    with pytest.raises(TaskSuspended):
        await lab.lease.extend(task)
    assert lab.engine.of("lock") == []


async def test_a_task_whose_instance_was_deleted_is_gone_at_either_question() -> None:
    lab = Lab()
    first, second = await lab.task(), await lab.task()
    lab.engine.cancel(first.id)
    with pytest.raises(TaskGone):
        await lab.lease.extend(first)
    lab.clock.advance(LAPSED)
    lab.engine.before["get"] = lambda: lab.engine.cancel(second.id)
    with pytest.raises(TaskGone):
        await lab.lease.extend(second)


@pytest.mark.parametrize("error", [EngineUnavailable("cut"), EngineRejected("broken", status=500)])
@pytest.mark.parametrize("call", ["extend_lock", "get", "lock"])
async def test_what_the_engine_does_not_tell_is_not_taken_for_a_loss(call: str, error: Exception) -> None:
    lab = Lab()
    task = await lab.task()
    lab.clock.advance(LAPSED)
    lab.engine.fail_next(call, error)  # type: ignore[arg-type]  # the parameter's values are operations
    with pytest.raises(type(error)) as raised:
        await lab.lease.extend(task)
    assert raised.value is error
    assert not isinstance(error, LeaseStolen | TaskGone)


async def test_an_unlock_that_is_not_answered_is_waited_for_only_so_long() -> None:
    lab = Lab()
    task = await lab.task()
    asked = list[str]()

    async def hang(task_id: str) -> None:
        asked.append(task_id)
        await asyncio.Event().wait()

    lab.engine.unlock = hang  # type: ignore[method-assign]
    lease = Lease(lab.engine, lab.clock, {}, LOCK, release_within=timedelta(0))
    with pytest.raises(EngineUnavailable, match="unlock: no answer"):
        await lease.release(task, task.lease_until)
    assert asked == [task.id]


async def test_only_a_lock_that_is_surely_ours_is_released() -> None:
    lab = Lab()
    task = await lab.task()
    for left in (timedelta(0), RELEASE_WITHIN):
        await lab.lease.release(task, NOW + left)
    assert lab.engine.of("unlock") == [], "by now it may be another's, and the engine asks nobody's name"
    await lab.lease.release(task, task.lease_until)
    assert lab.engine.of("unlock") == [task.id]
    assert await lab.offered() == [task.id]


async def test_a_loss_says_why_and_is_fenced_by_the_lease() -> None:
    lab = Lab()
    task: Task = (await lab.task()).changed(epoch=4)
    stolen = lab.lease.lost(task, LeaseStolen("worker thief holds the task now", status=400))
    gone = lab.lease.lost(task, TaskGone("no such task", status=404))
    assert [(move.event, move.epoch) for move in (stolen, gone)] == [(Event.SUPERSEDE, 4), (Event.GONE, 4)]
    assert stolen.changes["error"] == "worker thief holds the task now"
    assert gone.changes["error"] == "the task is gone from the engine"
    assert stolen.changes["finished_at"] == NOW


async def test_a_fresh_lock_is_not_extended_before_the_handler_begins() -> None:
    lab = Lab()
    task = await lab.task()
    await lab.deliver(task)
    assert (lab.work.runs, lab.engine.of("extend_lock")) == ([task.id], [])


async def test_a_lock_that_needs_renewal_is_extended_before_the_handler_begins_and_kept_with_the_outcome() -> None:
    lab = Lab()
    task = await lab.task()
    lab.clock.advance(NEEDS_RENEWAL)
    lab.engine.before["extend_lock"] = lambda: lab.order.extend(lab.work.runs)
    await lab.deliver(task)
    assert lab.order[0] == "extend_lock", "the handler had not begun when the engine was asked"
    assert lab.work.runs == [task.id]
    assert lab.now(task).lease_until == NOW + NEEDS_RENEWAL + LOCK - MARGIN


async def test_a_lapsed_lock_that_nobody_took_is_locked_anew_before_the_handler_begins() -> None:
    lab = Lab()
    task = await lab.task()
    lab.clock.advance(LAPSED)
    await lab.deliver(task)
    assert (lab.engine.of("lock"), lab.work.runs) == ([task.id], [task.id])


async def test_a_stolen_lock_supersedes_and_the_handler_does_not_run() -> None:
    lab = Lab()
    task = await lab.task()
    await lab.steal(task)
    lab.clock.advance(NEEDS_RENEWAL)
    assert (await lab.deliver(task)).given == ["ack"]
    assert lab.engine.of("extend_lock") == [task.id]
    assert (lab.work.runs, lab.state(task), len(lab.claims)) == ([], State.SUPERSEDED, 0)
    assert THIEF in (lab.now(task).error or "")


async def test_a_task_that_is_gone_is_cancelled_and_the_handler_does_not_run() -> None:
    lab = Lab()
    task = await lab.task()
    lab.engine.cancel(task.id)
    lab.clock.advance(NEEDS_RENEWAL)
    assert (await lab.deliver(task)).given == ["ack"]
    assert lab.engine.of("extend_lock") == [task.id]
    assert (lab.work.runs, lab.state(task)) == ([], State.CANCELLED)


@pytest.mark.parametrize("suspended", [False, True])
async def test_under_a_live_lock_the_handler_runs_though_the_engine_can_not_extend_it(suspended: bool) -> None:
    lab = Lab()
    task = await lab.task()
    lab.clock.advance(NEEDS_RENEWAL)
    if suspended:
        lab.engine.suspend(task.id)
    else:
        lab.engine.fail_next("extend_lock", EngineUnavailable("cut"))
    await lab.deliver(task)
    assert lab.engine.of("extend_lock") == [task.id]
    assert (lab.work.runs, lab.state(task)) == ([task.id], State.REPORTING)


@pytest.mark.parametrize("suspended", [False, True])
async def test_under_a_lapsed_lock_the_task_is_given_back_and_no_retry_is_burnt(suspended: bool) -> None:
    lab = Lab()
    task = await lab.task()
    lab.clock.advance(LAPSED)
    if suspended:
        lab.engine.suspend(task.id)
    else:
        lab.engine.fail_next("extend_lock", EngineUnavailable("cut"))
    assert (await lab.deliver(task)).given == ["ack"]
    kept = lab.now(task)
    assert lab.engine.of("extend_lock") == [task.id]
    assert (lab.work.runs, kept.state, kept.retries, kept.history) == ([], State.RETRYING, 3, ())
    assert (lab.engine.of("unlock"), lab.engine.of("fail")) == ([], []), "it may be another's by now"
    assert kept.next_at == NOW + LAPSED + SECOND


async def test_a_loss_that_can_not_be_stored_leaves_the_claim_to_expire_and_no_handler_runs() -> None:
    lab = Lab()
    task = await lab.task()
    await lab.steal(task)
    lab.clock.advance(NEEDS_RENEWAL)
    lab.store.fail_next("move")
    assert (await lab.deliver(task)).given == ["requeue"]
    assert lab.store.struck == ["move"]
    assert (lab.work.runs, lab.state(task), len(lab.claims)) == ([], State.RUNNING, 0)
