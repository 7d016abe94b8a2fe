"""A process that is killed in the middle of an operator's retry: the document says what was asked, and it is done."""

from __future__ import annotations

import pytest

from bridge.adapters.memory.faults import Operation
from bridge.domain.edits import missed_edits
from bridge.domain.errors import EngineRejected, EngineUnavailable, UnacceptableTask
from bridge.domain.lifecycle import Event
from bridge.domain.task import State, Task
from bridge.domain.variables import encode
from bridge.flow.deliver.sender import INCIDENT_CHECK_AFTER
from bridge.flow.reconcile.offer import OFFER_WITHIN
from bridge.ports.engine import TopicPoll
from tests.unit.fakes import LOCK, NOW, SECOND
from tests.unit.flow.poll.poll_rig import NONE
from tests.unit.operations.retry_rig import HOUR, A, B, Killed, RetryRig
from tests.unit.operations.test_edits import sums
from tests.unit.operations.test_operate import AWAY

CALLS: list[tuple[Operation, bool]] = [
    ("set_variables", False), ("set_variables", True), ("get", False), ("unlock", False), ("unlock", True),
    ("set_retries", False), ("set_retries", True),
]  # fmt: skip


async def edited_at(rig: RetryRig, task: Task) -> None:
    with pytest.raises(Killed):
        await rig.operate.retry(task.id, variables=B, operation="op-1")


async def runs_with_the_edit(rig: RetryRig, task: Task) -> bool:
    await rig.round()
    again = rig.now(task)
    ran = await rig.run_all()
    return (again.epoch, again.inputs, missed_edits(again), ran) == (2, B, (), [task.id])


@pytest.mark.parametrize(("call", "after"), CALLS)
async def test_killed_while_the_engine_is_asked_loses_neither_retry_nor_edit(call: Operation, after: bool) -> None:
    rig = RetryRig(sums)
    task = await rig.failed_push("sums", A, A)
    rig.kill_at(call, after=after)
    await edited_at(rig, task)
    kept = rig.now(task)
    assert (kept.is_retry_pending, kept.inputs, kept.next_at) == (True, B, NOW + OFFER_WITHIN)
    assert await rig.sweep(OFFER_WITHIN - SECOND) == 0
    assert await rig.sweep(SECOND) == 1
    assert (rig.now(task).pending_retry, rig.now(task).lost_claims, rig.now(task).operation) == (None, 0, "op-1")
    assert rig.engine.incidents() == []
    assert rig.nudged[-1] == {"sums"}
    assert await runs_with_the_edit(rig, task)


@pytest.mark.parametrize("event", [Event.REVIVE, Event.TAKE])
@pytest.mark.parametrize("after", [False, True])
async def test_killed_while_it_is_written_down_is_all_or_nothing(event: Event, after: bool) -> None:
    rig = RetryRig(sums)
    task = await rig.failed_push("sums", A, A)
    rig.killing.kills = (event, after)
    await edited_at(rig, task)
    assert rig.killing.kills != (event, after), "the fault struck"
    if event is Event.REVIVE and not after:
        assert rig.now(task) == task
        assert [one.id for one in rig.engine.incidents()] == [task.id]
        await rig.operate.retry(task.id, variables=B)
    await rig.sweep(OFFER_WITHIN)
    assert await runs_with_the_edit(rig, task)


async def test_a_fetch_that_comes_before_the_last_write_finds_the_edit() -> None:
    rig = RetryRig(sums)
    task = await rig.failed_push("sums", A, A)
    set_retries = rig.engine.set_retries

    async def set_and_fetch(task_id: str, retries: int) -> None:
        await set_retries(task_id, retries)
        await rig.round()

    rig.engine.set_retries = set_and_fetch  # type: ignore[method-assign]
    answer = await rig.operate.retry(task.id, variables=B)
    assert (answer.state, answer.epoch, answer.inputs, answer.lost_claims) == (State.QUEUED, 2, B, 0)
    assert await rig.run_all() == [task.id]
    assert not rig.now(task).is_retry_pending, "a new lease makes it void"


async def test_a_retry_for_later_is_finished_for_that_moment() -> None:
    rig = RetryRig(sums)
    task = await rig.failed_push("sums", A, A)
    rig.kill_at("set_retries")
    with pytest.raises(Killed):
        await rig.operate.retry(task.id, at=NOW + HOUR)
    await rig.sweep(OFFER_WITHIN)
    assert rig.now(task).next_at == NOW + HOUR
    poll = TopicPoll("sums", LOCK)
    rig.clock.advance(HOUR - OFFER_WITHIN - SECOND)
    assert await rig.engine.fetch_and_lock("other", 1, [poll], NONE) == []
    rig.clock.advance(SECOND)
    assert [one.id for one in await rig.engine.fetch_and_lock("other", 1, [poll], NONE)] == [task.id]


# what the other process may find


async def left_undone(rig: RetryRig) -> Task:
    task = await rig.failed_push("sums", A, A)
    rig.kill_at("set_variables")
    await edited_at(rig, task)
    return task


async def test_an_engine_that_is_away_is_asked_again() -> None:
    rig = RetryRig(sums)
    task = await left_undone(rig)
    rig.engine.fail_next("set_variables", AWAY)
    await rig.sweep(OFFER_WITHIN)
    assert len(rig.notes.of("retry_postponed")) == 1
    assert rig.now(task).is_retry_pending
    await rig.sweep(2 * SECOND)
    assert await runs_with_the_edit(rig, task)


async def test_what_the_engine_refuses_is_an_incident_again_that_says_so() -> None:
    rig = RetryRig(sums)
    task = await left_undone(rig)
    rig.engine.fail_next("set_variables", EngineRejected("too long", status=500))
    await rig.sweep(OFFER_WITHIN)
    kept = rig.now(task)
    assert (kept.state, kept.retries, kept.pending_retry) == (State.FAILED, 0, None)
    assert kept.error == "the retry was refused: too long"
    assert (kept.finished_at, kept.next_at) == (rig.clock.now(), rig.clock.now() + INCIDENT_CHECK_AFTER)


async def test_a_task_that_is_gone_by_then_is_cancelled() -> None:
    rig = RetryRig(sums)
    task = await left_undone(rig)
    rig.engine.cancel(task.id)
    await rig.sweep(OFFER_WITHIN)
    assert rig.now(task).state is State.CANCELLED


async def test_two_processes_finish_it_once() -> None:
    rig = RetryRig(sums)
    task = await left_undone(rig)
    rig.clock.advance(OFFER_WITHIN)
    first = await rig.offer.finish(task.id)
    assert first is not None
    await rig.store.move([first])
    assert await rig.offer.finish(task.id) is None


# what is undone


async def test_a_refusal_after_the_variables_were_set_keeps_the_edit_and_the_incident() -> None:
    rig = RetryRig(sums)
    task = await rig.failed_push("sums", A, A)
    rig.engine.fail_next("set_retries", EngineRejected("no", status=400))
    with pytest.raises(EngineRejected):
        await rig.operate.retry(task.id, variables=B)
    kept = rig.now(task)
    assert (kept.state, kept.inputs, kept.pending_retry, kept.next_at) == (State.FAILED, B, None, task.next_at)
    assert [one.id for one in rig.engine.incidents()] == [task.id]
    await rig.operate.retry(task.id)
    assert await runs_with_the_edit(rig, task)


async def test_a_refusal_of_the_variables_leaves_everything_as_it_was() -> None:
    rig = RetryRig(sums)
    task = await rig.failed_push("sums", A, A)
    rig.engine.fail_next("set_variables", EngineRejected("too long", status=500))
    with pytest.raises(UnacceptableTask):
        await rig.operate.retry(task.id, variables=B)
    assert rig.now(task) == task


async def test_a_pending_retry_that_can_not_be_read_is_set_aside_and_holds_up_no_other() -> None:
    rig = RetryRig(sums)
    tasks = [await rig.failed_push("sums", A, A) for _ in range(2)]
    for task in tasks:
        rig.kill_at("get")
        await edited_at(rig, task)
    spoilt, other = tasks
    rig.store.spoiled[spoilt.id] = {"variables": {"amount": 5}}
    await rig.sweep(OFFER_WITHIN)
    assert rig.store.aside == {spoilt.id}
    assert await runs_with_the_edit(rig, other)


@pytest.mark.parametrize("raised", [True, False])
async def test_an_incident_whose_retries_were_raised_is_seen_where_no_fetch_brings_it(raised: bool) -> None:
    """As after an answer that was lost on its way to the operator, or by Cockpit."""
    rig = RetryRig(sums)
    task = await rig.failed_push("sums", A, A)
    rig.engine.fail_next("set_retries", EngineUnavailable("cut"), after=raised)
    with pytest.raises(EngineUnavailable):
        await rig.operate.retry(task.id, variables=encode({"amount": 5}))
    assert rig.now(task).state is State.FAILED
    await rig.sweep(OFFER_WITHIN)
    kept = rig.now(task)
    assert kept.state is (State.RETRYING if raised else State.FAILED)
    assert (kept.retries, kept.inputs) == (3 if raised else 0, B)
    if raised:
        assert (kept.next_at, kept.lost_claims, kept.finished_at) == (rig.clock.now(), 0, None)
        assert await runs_with_the_edit(rig, task)
