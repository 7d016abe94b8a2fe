"""A handler goes on as long as its claim and its lock may be ours, and is cancelled as soon as one surely is not."""

from __future__ import annotations

import asyncio

import pytest

from bridge.domain.errors import EngineUnavailable, StoreUnavailable
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import Completion, State, Task
from bridge.flow.handle.claims import Claim
from bridge.flow.handle.renew import ENGINE_WITHIN, PAUSE, REPEAT_AFTER, STORE_WITHIN, Renew
from bridge.flow.lease import MARGIN
from tests.unit.fakes import LOCK, NOW, SECOND
from tests.unit.flow_lab import CLAIM, LAPSED, NEEDS_RENEWAL, THIEF, Acknowledger, Lab, Work


async def at_work(lab: Lab) -> tuple[Task, asyncio.Task[Acknowledger], Claim]:
    """Return a task whose handler has begun."""
    task = await lab.task()
    running, claim = await lab.begin(task)
    lab.store.moves.clear()
    return task, running, claim


async def ended(lab: Lab, running: asyncio.Task[Acknowledger]) -> None:
    lab.work.go.set()
    await running
    await lab.delivery.drain()


def events(lab: Lab) -> list[list[Event]]:
    return [[move.event for move in moves] for moves in lab.store.moves]


async def test_with_nothing_at_work_nothing_is_asked_of_anybody() -> None:
    lab = Lab()
    await lab.renew.run_once()
    assert (lab.store.moves, lab.engine.calls) == ([], [])


async def test_all_claims_are_extended_in_one_write_and_locks_that_are_fresh_are_left() -> None:
    lab = Lab(Work(held=True))
    works = [await at_work(lab) for _ in range(3)]
    lab.store.moves.clear()
    lab.clock.advance(10 * SECOND)
    await lab.renew.run_once()
    assert events(lab) == [[Event.RENEW] * 3]
    assert lab.engine.calls == []
    assert {lab.now(task).next_at for task, _, _ in works} == {NOW + 10 * SECOND + CLAIM}
    for _, running, _ in works:
        await ended(lab, running)


async def test_a_lock_is_extended_once_a_third_of_it_has_gone_and_then_not_again_at_once() -> None:
    lab = Lab(Work(held=True))
    task, running, claim = await at_work(lab)
    lab.clock.advance(NEEDS_RENEWAL)
    await lab.renew.run_once()
    await lab.renew.run_once()
    assert lab.engine.calls == [("extend_lock", task.id)]
    assert claim.lease_until == NOW + NEEDS_RENEWAL + LOCK - MARGIN
    assert lab.now(task).lease_until == claim.lease_until, "whoever takes the task over knows of it"
    await ended(lab, running)


async def test_a_claim_that_was_taken_over_cancels_the_handler_and_leaves_the_task_to_the_other() -> None:
    lab = Lab(Work(held=True))
    task, running, claim = await at_work(lab)
    await lab.store.move([Move(task.id, Event.LOSE_CLAIM, 1, claim.claim_id)])
    others, second = await lab.begin(task, lab.replica("r2"))
    await lab.renew.run_once()
    assert (await running).given == ["ack"]
    assert (lab.work.cancelled, claim.lost, len(lab.claims)) == (1, "the claim was taken over", 0)
    assert (lab.state(task), lab.now(task).claim_id) == (State.RUNNING, second.claim_id)
    await ended(lab, others)
    assert (lab.state(task), len(lab.engine.reports)) == (State.COMPLETED, 1)


async def test_a_new_lease_cancels_the_handler_of_the_old() -> None:
    lab = Lab(Work(held=True))
    task, running, _ = await at_work(lab)
    await lab.fetched(task.id, "orders", "w1")
    await lab.renew.run_once()
    await running
    assert (lab.work.cancelled, lab.state(task), lab.now(task).epoch) == (1, State.RECEIVED, 2)


async def test_a_stolen_lock_cancels_the_handler_and_supersedes() -> None:
    lab = Lab(Work(held=True))
    task, running, _ = await at_work(lab)
    await lab.steal(task)
    lab.clock.advance(NEEDS_RENEWAL)
    await lab.renew.run_once()
    await running
    assert lab.engine.of("extend_lock") == [task.id]
    assert (lab.work.cancelled, lab.state(task)) == (1, State.SUPERSEDED)
    assert THIEF in (lab.now(task).error or "")


async def test_an_instance_that_is_deleted_in_mid_run_cancels_the_handler_and_the_task() -> None:
    lab = Lab(Work(held=True))
    task, running, _ = await at_work(lab)
    lab.engine.cancel(task.id)
    lab.clock.advance(NEEDS_RENEWAL)
    await lab.renew.run_once()
    await running
    assert lab.engine.of("extend_lock") == [task.id]
    assert (lab.work.cancelled, lab.state(task)) == (1, State.CANCELLED)


@pytest.mark.parametrize("suspended", [False, True])
async def test_the_handler_goes_on_while_the_engine_is_away_or_has_the_task_suspended(suspended: bool) -> None:
    lab = Lab(Work(held=True))
    task, running, claim = await at_work(lab)
    lab.clock.advance(NEEDS_RENEWAL)
    if suspended:
        lab.engine.suspend(task.id)
    else:
        lab.engine.fail_next("extend_lock", EngineUnavailable("cut"))
    await lab.renew.run_once()
    assert lab.engine.of("extend_lock") == [task.id]
    assert len(lab.notes.of("lock_not_renewed")) == 1
    assert (lab.work.cancelled, claim.lost) == (0, None)
    lab.engine.suspend(task.id, suspended=False)
    lab.clock.advance(LAPSED)
    await lab.renew.run_once()
    assert claim.lease_until == NOW + NEEDS_RENEWAL + LAPSED + LOCK - MARGIN, "nobody took it, so it is taken up again"
    await ended(lab, running)
    assert lab.state(task) is State.COMPLETED


async def test_one_lock_that_is_lost_does_not_keep_the_others_from_being_renewed() -> None:
    lab = Lab(Work(held=True))
    (gone, first, _), (task, second, claim) = await at_work(lab), await at_work(lab)
    lab.engine.cancel(gone.id)
    lab.clock.advance(NEEDS_RENEWAL)
    await lab.renew.run_once()
    await first
    assert (lab.state(gone), lab.state(task)) == (State.CANCELLED, State.RUNNING)
    assert claim.lease_until == NOW + NEEDS_RENEWAL + LOCK - MARGIN
    await ended(lab, second)


async def test_a_claim_that_decides_while_it_is_renewed_is_not_cancelled() -> None:
    lab = Lab(Work(held=True))
    task, running, claim = await at_work(lab)

    def decide() -> None:
        move = Move(task.id, Event.DECIDE, 1, claim.claim_id, {"outcome": Completion()})
        assert lab.store._apply(move) is not None
        lab.claims.drop(claim)

    lab.store.before["move"] = decide
    await lab.renew.run_once()
    assert events(lab) == [[Event.RENEW]]
    assert (claim.lost, lab.notes.of("claim_lost")) == (None, [])
    assert lab.state(task) is State.REPORTING
    await ended(lab, running)


async def test_a_claim_whose_decision_is_being_written_is_not_said_to_be_lost() -> None:
    lab = Lab(Work(held=True))
    _, running, claim = await at_work(lab)
    lab.store.fail_next("move", after=True)
    lab.work.go.set()
    while not lab.store.struck:
        await asyncio.wait({running}, timeout=0)
    await lab.renew.run_once()
    assert events(lab)[-1] == [Event.RENEW]
    assert (len(lab.claims), claim.lost, lab.notes.of("claim_lost")) == (1, None, [])
    await ended(lab, running)


async def test_a_task_that_its_own_outcome_ended_is_not_taken_for_cancelled() -> None:
    """The engine's "gone" comes by a call that was under way as the handler ended; the delivery's answer is lost."""
    lab = Lab(Work(held=True))
    task, running, _ = await at_work(lab)
    lab.clock.advance(NEEDS_RENEWAL)
    lab.engine.hangs = asyncio.Event()
    lab.engine.fail_next("complete", EngineUnavailable("cut"), after=True)
    renewing = asyncio.create_task(lab.renew.run_once())
    await lab.engine.asked.wait()
    await ended(lab, running)
    assert (lab.state(task), len(lab.engine.reports)) == (State.REPORTING, 1)
    lab.engine.hangs.set()
    await renewing
    assert lab.state(task) is State.REPORTING
    await lab.delivery.deliver(lab.now(task))
    assert lab.state(task) is State.COMPLETED


async def test_a_lock_is_not_extended_for_a_task_that_ended_while_it_waited_its_turn() -> None:
    lab = Lab(Work(held=True))
    lab.renew = Renew(lab.store, lab.lease, lab.claims, lab.clock, lab.notes, claim=CLAIM, at_once=1)
    (first, running, _), (second, waiting, claim) = await at_work(lab), await at_work(lab)
    lab.clock.advance(NEEDS_RENEWAL)
    lab.engine.hangs = asyncio.Event()
    renewing = asyncio.create_task(lab.renew.run_once())
    await lab.engine.asked.wait()
    lab.claims.drop(claim)
    lab.engine.hangs.set()
    await renewing
    assert lab.engine.of("extend_lock") == [first.id]
    assert lab.state(second) is State.RUNNING
    await ended(lab, running)
    await waiting


async def test_an_engine_that_hangs_does_not_let_the_claims_expire() -> None:
    lab = Lab(Work(held=True))
    lab.renew = Renew(lab.store, lab.lease, lab.claims, lab.clock, lab.notes, claim=SECOND / 1000)
    task, running, claim = await at_work(lab)
    lab.clock.advance(NEEDS_RENEWAL)
    lab.engine.hangs = asyncio.Event()
    async with asyncio.timeout(10):
        await lab.renew.run_once()
        lab.clock.advance(SECOND)
        await lab.renew.run_once()
    assert lab.engine.of("extend_lock") == [task.id], "the call under way is not made a second time"
    assert events(lab) == [[Event.RENEW]] * 2
    assert claim.lost is None
    lab.engine.hangs.set()
    await lab.renew.run_once()
    assert claim.lease_until == NOW + NEEDS_RENEWAL + LOCK - MARGIN
    await ended(lab, running)


def test_a_renewal_that_fails_is_repeated_before_the_claim_expires() -> None:
    """After a good renewal that waited for the engine, one hangs in the store, and waits for the engine, too."""
    assert ENGINE_WITHIN + PAUSE + STORE_WITHIN + ENGINE_WITHIN + REPEAT_AFTER < 1


async def test_what_the_engine_says_late_is_kept_by_the_next_round() -> None:
    lab = Lab(Work(held=True))
    lab.renew = Renew(lab.store, lab.lease, lab.claims, lab.clock, lab.notes, claim=SECOND / 1000)
    task, running, _ = await at_work(lab)
    lab.clock.advance(NEEDS_RENEWAL)
    lab.engine.hangs = asyncio.Event()
    async with asyncio.timeout(10):
        await lab.renew.run_once()
    assert lab.state(task) is State.RUNNING
    lab.engine.cancel(task.id)
    lab.engine.hangs.set()
    assert (await running).given == ["ack"], "the handler is cancelled without waiting for that"
    await lab.renew.run_once()
    assert (lab.work.cancelled, lab.state(task)) == (1, State.CANCELLED)


async def test_a_store_that_is_away_is_told_of_and_the_handler_goes_on() -> None:
    lab = Lab(Work(held=True))
    task, running, claim = await at_work(lab)
    lab.store.fail_next("move")
    with pytest.raises(StoreUnavailable):
        await lab.renew.run_once()
    assert lab.store.struck == ["move"]
    assert (claim.lost, lab.work.cancelled) == (None, 0)
    lab.clock.advance(5 * SECOND)
    await lab.renew.run_once()
    assert lab.now(task).next_at == NOW + 5 * SECOND + CLAIM
    await ended(lab, running)
    assert lab.state(task) is State.COMPLETED


async def test_a_loss_that_can_not_be_stored_cancels_the_handler_all_the_same() -> None:
    lab = Lab(Work(held=True))
    task, running, _ = await at_work(lab)
    await lab.steal(task)
    lab.clock.advance(NEEDS_RENEWAL)
    lab.engine.before["extend_lock"] = lambda: lab.store.fail_next("move")
    with pytest.raises(StoreUnavailable):
        await lab.renew.run_once()
    await running
    assert lab.store.struck == ["move"]
    assert (lab.work.cancelled, lab.state(task)) == (1, State.RUNNING), "its claim expires, and it is asked about anew"


async def test_a_loss_that_could_not_be_stored_is_stored_by_the_next_round() -> None:
    lab = Lab(Work(held=True))
    task, running, _ = await at_work(lab)
    await lab.steal(task)
    lab.clock.advance(NEEDS_RENEWAL)
    lab.engine.before["extend_lock"] = lambda: lab.store.fail_next("move")
    with pytest.raises(StoreUnavailable):
        await lab.renew.run_once()
    await running
    await lab.renew.run_once()
    await lab.renew.run_once()
    assert events(lab) == [[Event.RENEW], [Event.SUPERSEDE]]
    assert (lab.store.struck, lab.state(task)) == (["move"], State.SUPERSEDED)


async def test_locks_are_extended_while_the_store_is_away() -> None:
    """A lock that ended would have the engine offer the task again, and its handler run a second time."""
    lab = Lab(Work(held=True))
    task, running, claim = await at_work(lab)
    lab.clock.advance(NEEDS_RENEWAL)
    lab.store.fail_next("move")
    with pytest.raises(StoreUnavailable):
        await lab.renew.run_once()
    assert (lab.store.struck, lab.engine.of("extend_lock")) == (["move"], [task.id])
    assert claim.lease_until == NOW + NEEDS_RENEWAL + LOCK - MARGIN
    await lab.renew.run_once()
    assert lab.now(task).lease_until == claim.lease_until
    await ended(lab, running)


async def test_a_store_that_hangs_is_not_waited_for_until_the_claims_expire() -> None:
    lab = Lab(Work(held=True))
    lab.renew = Renew(lab.store, lab.lease, lab.claims, lab.clock, lab.notes, claim=SECOND / 1000)
    task, running, claim = await at_work(lab)
    lab.clock.advance(NEEDS_RENEWAL)
    lab.store.hangs = asyncio.Event()
    async with asyncio.timeout(10):
        with pytest.raises(StoreUnavailable, match="did not take renewals within"):
            await lab.renew.run_once()
    assert (lab.engine.of("extend_lock"), claim.lost) == ([task.id], None)
    lab.store.hangs = None
    await ended(lab, running)


async def test_a_claim_that_expired_cancels_the_handler_before_anybody_else_claims() -> None:
    lab = Lab(Work(held=True))
    task, running, claim = await at_work(lab)
    await lab.store.move([Move(task.id, Event.LOSE_CLAIM, 1, claim.claim_id, {"next_at": NOW})])
    await lab.renew.run_once()
    lab.work.go.set()
    await running
    assert (lab.work.cancelled, lab.state(task), lab.now(task).next_at) == (1, State.RECEIVED, NOW)


async def test_a_claim_that_expired_gives_nothing_back_at_the_end() -> None:
    lab = Lab(Work(held=True))
    task, running, claim = await at_work(lab)
    await lab.store.move([Move(task.id, Event.LOSE_CLAIM, 1, claim.claim_id)])
    running.cancel()
    await asyncio.wait({running})
    assert (lab.state(task), lab.engine.of("unlock")) == (State.RECEIVED, [])
