"""Fetching when the engine, the store or the intake fails: told once, backed off, made good, and no room is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from bridge.domain.errors import BrokerUnavailable, EngineRejected, EngineUnavailable, GatewayError, StoreUnavailable
from bridge.domain.task import State
from bridge.flow.poll.poll import PollConfig
from bridge.ports.engine import EngineTask
from bridge.ports.journal import Level
from bridge.runtime.loop import Loop
from tests.unit.fakes import SECOND
from tests.unit.flow.poll.poll_rig import AWAY, NONE, REFUSED, PollRig, is_full_again

TEN = 10 * SECOND


def _loop(rig: PollRig) -> Loop:
    return Loop("poll", rig.poll.run_once, rig.notes)


async def _until_raised(rig: PollRig) -> None:
    """Take turns until a failure is raised."""
    for _ in range(3):
        await rig.round()
    raise AssertionError("nothing was raised")


# failures of a fetch


@pytest.mark.parametrize("error", [AWAY, REFUSED])
async def test_a_fetch_that_fails_is_told_once_and_then_made_good(error: GatewayError) -> None:
    rig = PollRig({"a": 4})
    (task_id,) = rig.add("a")
    rig.engine.fail_next("fetch", error)
    with pytest.raises(type(error), match=str(error)):
        await _until_raised(rig)
    assert rig.store.tasks == {}, "the fault struck"
    await rig.round()
    assert [task.id for task in rig.kept("a")] == [task_id]
    assert await is_full_again(rig)


@pytest.mark.parametrize("error", [AWAY, REFUSED])
async def test_failures_in_a_row_are_counted_so_that_the_loop_backs_off(error: GatewayError) -> None:
    """Each turn that begins a call sees it fail; one that went well in between would begin the delays anew."""
    rig = PollRig({"a": 4})
    loop = _loop(rig)
    for _ in range(5):
        rig.engine.fail_next("fetch", error)
        if isinstance(error, EngineUnavailable):
            rig.engine.fail_next("locked_by", error)
    for failures in range(1, 6):
        assert not await loop.run_once()
        assert loop.failures == failures
        await rig.settle()
    told = rig.notes.of("loop_failed")
    assert [line.values["error"] for line in told] == [str(error)] * 5
    for _ in range(20):
        if await loop.run_once():
            break
        await rig.settle()
    assert loop.failures == 0


async def test_a_fetch_that_breaks_in_an_unknown_way_is_told_with_its_stack_and_backed_off() -> None:
    rig = PollRig({"a": 4})
    error = KeyError("surprise")
    rig.engine.fail_next("fetch", error)
    with pytest.raises(EngineUnavailable, match="surprise"):
        await _until_raised(rig)
    (line,) = rig.notes.of("fetch_error")
    assert (line.level, line.values["stack"]) == (Level.ERROR, error)
    assert await is_full_again(rig)


# locks of calls whose answer was lost


async def test_what_was_locked_for_an_answer_that_was_lost_is_unlocked_and_fetched_again() -> None:
    rig = PollRig({"a": 4})
    ids = rig.add("a", 3)
    rig.engine.fail_next("fetch", AWAY, after=True)
    with pytest.raises(EngineUnavailable):
        await _until_raised(rig)
    (cut,) = rig.engine.calls
    assert rig.engine.locked("a") == set(ids), "the fault struck"
    assert rig.store.tasks == {}
    for _ in range(2):  # the fetch that is beside the release may come too early
        await rig.round()
    assert sorted(task.id for task in rig.kept("a")) == sorted(ids)
    assert cut.worker_id not in {task.worker_id for task in rig.kept("a")}
    assert await rig.engine.locked_by(cut.worker_id) == []


async def test_locks_of_a_call_that_may_still_be_held_are_looked_for_when_its_time_is_up() -> None:
    rig = PollRig({"a": 4}, config=PollConfig(TEN, 100, min_interval=NONE))
    (task_id,) = rig.add("a")
    rig.engine.fail_next("fetch", AWAY, after=True)
    with pytest.raises(EngineUnavailable):
        await rig.poll.run_once()
    await rig.engine.next_call()
    for past, expected in ((9 * SECOND, []), (SECOND, [task_id])):
        rig.clock.advance(past)
        turn = asyncio.create_task(rig.poll.run_once())
        call = await rig.engine.next_call()
        rig.engine.end_waits()
        await turn
        await rig.settle()
        assert [task.id for task in rig.kept("a")] == expected
    assert call.worker_id in {task.worker_id for task in rig.kept("a")}


@pytest.mark.parametrize(("left", "freed"), [(4 * SECOND, True), (3 * SECOND, False)])
async def test_an_orphaned_lock_that_is_about_to_lapse_is_left_to_it(left: timedelta, freed: bool) -> None:
    """The engine asks nobody's name for an unlock: one that is late would free the lock of the next worker."""
    rig = PollRig({"a": 4})
    (task_id,) = rig.add("a")
    rig.engine.fail_next("fetch", AWAY, after=True)
    with pytest.raises(EngineUnavailable):
        await rig.poll.run_once()
    (worker_id,) = {call.worker_id for call in rig.engine.calls}
    await rig.engine.extend_lock(task_id, worker_id, left)
    await rig.poll.stop()
    assert (await rig.engine.get(task_id)).worker_id == (None if freed else worker_id)


@pytest.mark.parametrize("error", [AWAY, EngineRejected("An unbound number of results is forbidden!", status=400)])
async def test_fetching_goes_on_while_orphaned_locks_can_not_be_listed_which_is_told_once(error: GatewayError) -> None:
    rig = PollRig({"a": 4})
    (task_id,) = rig.add("a")
    rig.engine.fail_next("fetch", AWAY, after=True)
    for _ in range(3):
        rig.engine.fail_next("locked_by", error)
    with pytest.raises(EngineUnavailable):
        await _until_raised(rig)
    for calls in (2, 3, 4):
        await rig.round()
        assert len(rig.engine.calls) == calls, "the list is asked for beside the fetches"
        rig.clock.advance(8 * SECOND)
    assert rig.engine.locked("a") == {task_id}, "the faults struck"
    assert [line.values["error"] for line in rig.notes.of("orphaned_locks_not_listed")] == [str(error)]
    for _ in range(2):
        await rig.round()
    assert [task.id for task in rig.kept("a")] == [task_id]


async def test_a_list_that_never_ends_holds_up_no_fetch() -> None:
    rig = PollRig({"a": 4})
    rig.add("a")
    listing = asyncio.Event()

    async def hangs(_: str) -> Sequence[EngineTask]:
        listing.set()
        await asyncio.Event().wait()
        return ()

    rig.engine.locked_by = hangs  # type: ignore[method-assign, assignment]
    rig.engine.fail_next("fetch", AWAY, after=True)
    with pytest.raises(EngineUnavailable):
        await _until_raised(rig)
    more = rig.add("a", 2)
    await rig.poll.run_once()
    while len(rig.kept("a")) < 2:
        await rig.poll.run_once()
    assert listing.is_set()
    assert {task.id for task in rig.kept("a")} == set(more)


async def test_locks_that_have_lapsed_are_not_looked_for() -> None:
    rig = PollRig({"a": 4})
    (task_id,) = rig.add("a")
    rig.engine.fail_next("fetch", AWAY, after=True)
    with pytest.raises(EngineUnavailable):
        await _until_raised(rig)
    rig.clock.advance(61 * SECOND)
    rig.engine.fail_next("locked_by", AWAY)
    for _ in range(3):
        await rig.round()
    assert [task.id for task in rig.kept("a")] == [task_id]
    assert rig.notes.of("orphaned_locks_not_listed") == []


async def test_a_lock_that_can_not_be_given_back_is_told_and_ends_by_itself() -> None:
    rig = PollRig({"a": 4})
    first, second = rig.add("a", 2)
    rig.engine.fail_next("fetch", AWAY, after=True)
    rig.engine.fail_next("unlock", AWAY)
    with pytest.raises(EngineUnavailable):
        await _until_raised(rig)
    await rig.round()
    assert [line.values["task_id"] for line in rig.notes.of("orphaned_lock_left")] == [first]
    assert [task.id for task in rig.kept("a")] == [second]
    rig.clock.advance(60 * SECOND)
    await rig.round()
    assert {task.id for task in rig.kept("a")} == {first, second}


async def test_the_end_is_not_held_up_by_an_engine_that_is_away() -> None:
    rig = PollRig({"a": 4})
    rig.engine.fail_next("fetch", AWAY, after=True)
    with pytest.raises(EngineUnavailable):
        await _until_raised(rig)
    rig.engine.fail_next("locked_by", AWAY)
    await rig.poll.stop()
    (line,) = rig.notes.of("orphaned_locks_left")
    assert (line.level, line.values["calls"]) == (Level.WARNING, 1)


async def test_the_end_unlocks_what_lost_answers_left() -> None:
    rig = PollRig({"a": 4}, config=PollConfig(TEN, 100, min_interval=NONE))
    (task_id,) = rig.add("a")
    rig.engine.fail_next("fetch", AWAY, after=True)
    with pytest.raises(EngineUnavailable):
        await rig.poll.run_once()
    assert rig.engine.locked("a") == {task_id}
    await rig.poll.stop()
    assert rig.engine.locked("a") == set()


async def test_a_call_that_fails_while_the_process_ends_is_told_too() -> None:
    rig = PollRig({"a": 4}, config=PollConfig(TEN, 100, min_interval=NONE))
    turn = asyncio.create_task(rig.poll.run_once())
    await rig.engine.next_call()
    ending = asyncio.create_task(rig.poll.stop())
    await turn
    rig.engine.fail_next("fetch", REFUSED)
    rig.engine.end_waits()
    await ending
    assert [line.values["error"] for line in rig.notes.of("last_fetch_failed")] == [str(REFUSED)]


# failures of what follows


async def test_a_store_that_keeps_nothing_is_told_and_gives_the_room_back() -> None:
    rig = PollRig({"a": 4})
    (task_id,) = rig.add("a")
    rig.store.away.add("accept")
    with pytest.raises(StoreUnavailable):
        await _until_raised(rig)
    assert rig.store.refused == ["accept"]
    assert (await rig.credit.capacities())["a"] == rig.credit.limit("a")
    rig.store.away.clear()
    rig.clock.advance(60 * SECOND)
    await rig.round()
    assert [task.id for task in rig.kept("a")] == [task_id], "its lock ended, and it was fetched again"


async def test_an_intake_that_breaks_is_told_with_its_stack_and_backed_off() -> None:
    rig = PollRig({"a": 4})
    error = KeyError("surprise")

    async def accept(*_: object) -> None:
        raise error

    rig.intake.accept = accept  # type: ignore[method-assign, assignment]
    rig.add("a")
    with pytest.raises(GatewayError, match="surprise"):
        await _until_raised(rig)
    (line,) = rig.notes.of("intake_error")
    assert (line.level, line.values["stack"]) == (Level.ERROR, error)
    assert await is_full_again(rig)


async def test_a_broker_that_does_not_tell_its_depths_stops_the_fetching() -> None:
    rig = PollRig({"a": 4})
    rig.add("a")
    rig.broker.drop()
    with pytest.raises(BrokerUnavailable):
        await _until_raised(rig)
    assert rig.engine.calls == []
    rig.broker.restore()
    await rig.round()
    assert len(rig.kept("a")) == 1


async def test_what_the_broker_did_not_confirm_takes_no_room_for_good() -> None:
    rig = PollRig({"a": 4})
    rig.add("a")
    rig.broker.fail_next("publish", BrokerUnavailable("no confirm"))
    await rig.round()
    assert [task.state for task in rig.kept("a")] == [State.RECEIVED], "the fault struck"
    assert await is_full_again(rig)


# whatever happens in whatever order
