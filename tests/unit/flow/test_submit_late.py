"""A submission that meets an engine that is away, or a task that another worker had taken."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.domain.errors import EngineForbidden, EngineRejected, GatewayError, TaskConflict
from bridge.domain.lifecycle import Event, Move
from bridge.domain.messages import Message
from bridge.domain.task import Completion, Source, State, Task, TypedValue
from bridge.ports.journal import Level
from tests.unit.fakes import LOCK, NOW, SECOND, a_task
from tests.unit.flow.submit_rig import AWAY, BUSY, LIMIT, TEXT, SubmitRig
from web.i18n.messages import translate
from web.i18n.texts import PORTUGUESE

# the engine is away


@pytest.mark.parametrize("call", ["get_many", "lock"])
async def test_a_race_of_transactions_in_the_engine_is_asked_about_again(call: Any) -> None:
    rig = SubmitRig()
    task_id = rig.add()
    rig.engine.fail_next(call, BUSY)
    assert (await rig.hand_in(task_id)).verified
    assert rig.notes.of("submission_unchecked") == []


@pytest.mark.parametrize(
    ("call", "error", "times"),
    [("get_many", AWAY, 1), ("lock", AWAY, 1), ("read_variables", AWAY, 1), ("lock", BUSY, 5)],
)
async def test_while_the_engine_is_away_a_submission_is_kept_and_not_published(
    call: Any, error: GatewayError, times: int
) -> None:
    rig = SubmitRig()
    task_id = rig.add()
    for _ in range(times):
        rig.engine.fail_next(call, error)
    answer = await rig.hand_in(task_id)
    assert (answer.verified, answer.next_at) == (False, NOW + 10 * SECOND)
    assert (rig.store.tasks[task_id].state, rig.published) == (State.RECEIVED, [])
    (line,) = rig.notes.of("submission_unchecked")
    assert (line.level, line.values["error"]) == (Level.WARNING, str(error))


async def test_an_engine_that_refuses_for_good_is_told_to_the_submitter() -> None:
    rig = SubmitRig()
    task_id = rig.add()
    rig.engine.fail_next("get_many", EngineRejected("who are you?", status=401))
    with pytest.raises(EngineRejected, match="who are you"):
        await rig.hand_in(task_id)
    assert rig.store.tasks == {}


async def test_the_same_submission_again_while_it_is_unchecked_gets_the_task() -> None:
    rig = SubmitRig()
    task = await rig.hand_in_unasked(rig.add())
    assert await rig.hand_in(task.id) == task


async def test_a_submission_is_checked_later_and_then_may_be_published() -> None:
    rig = SubmitRig()
    task = await rig.hand_in_unasked(rig.add(business_key="b"))
    rig.clock.advance(10 * SECOND)
    checked = await rig.submit.check_late(task)
    assert checked is not None
    kept = rig.store.tasks[task.id]
    assert (kept.state, kept.verified, kept.business_key, kept.inputs) == (State.RECEIVED, True, "b", TEXT)
    assert kept.lease_until == NOW + 10 * SECOND + LOCK - SECOND
    assert (await rig.engine.get(task.id)).worker_id == "w1"
    await rig.relay.publish([checked])
    assert rig.store.tasks[task.id].state is State.QUEUED


async def test_what_was_sent_is_kept_by_the_check() -> None:
    rig = SubmitRig()
    task = await rig.hand_in_unasked(rig.add(), {"mine": 1})
    checked = await rig.submit.check_late(task)
    assert checked is not None
    assert checked.inputs == rig.store.tasks[task.id].inputs == {"mine": TypedValue("Integer", 1)}


async def test_while_the_engine_stays_away_the_check_is_put_off() -> None:
    rig = SubmitRig()
    task = await rig.hand_in_unasked(rig.add())
    rig.clock.advance(10 * SECOND)
    rig.engine.fail_next("get_many", AWAY)
    assert await rig.submit.check_late(task) is None
    kept = rig.store.tasks[task.id]
    assert (kept.state, kept.verified, kept.next_at) == (State.RECEIVED, False, NOW + 20 * SECOND)
    assert len(rig.notes.of("submission_unchecked")) == 2


async def _gone(rig: SubmitRig, task_id: str) -> None:
    rig.engine.cancel(task_id)


async def _taken(rig: SubmitRig, task_id: str) -> None:
    await rig.engine.lock(task_id, "other", LOCK)


async def _suspended(rig: SubmitRig, task_id: str) -> None:
    rig.engine.suspend(task_id)


async def _large(rig: SubmitRig, task_id: str) -> None:
    instance = (await rig.engine.get(task_id)).process_instance_id or ""
    rig.engine.variables[instance] = {"a": TypedValue("String", "x" * (LIMIT + 1))}


async def _odd(rig: SubmitRig, task_id: str) -> None:
    instance = (await rig.engine.get(task_id)).process_instance_id or ""
    rig.engine.variables[instance] = {"odd": TypedValue("String", "x")}


async def test_rights_that_the_engines_user_has_not_are_waited_for() -> None:
    rig = SubmitRig()
    task = await rig.hand_in_unasked(rig.add())
    rig.engine.fail_next("read_variables", EngineForbidden("the user has no 'READ'", status=403))
    assert await rig.submit.check_late(task) is None
    assert rig.store.tasks[task.id].state is State.RECEIVED


async def _of_another_topic(rig: SubmitRig, task_id: str) -> None:
    rig.engine._tasks.change(task_id, topic="mail")


@pytest.mark.parametrize(
    ("arrange", "state", "says"),
    [
        (_gone, State.CANCELLED, "has no external task"),
        (_of_another_topic, State.CANCELLED, "has no external task"),
        (_taken, State.SUPERSEDED, "locked by worker 'other'"),
        (_suspended, State.SUPERSEDED, "is suspended"),
        (_large, State.SUPERSEDED, "takes 1001 bytes"),
        (_odd, State.SUPERSEDED, "no form of it can be stored"),
    ],
)
async def test_what_would_have_been_refused_is_refused_later(arrange: Any, state: State, says: str) -> None:
    """Also one that the store would not take: raised, it would stop the sweep that it is found by, each time anew."""
    rig = SubmitRig()
    task = await rig.hand_in_unasked(rig.add())
    await arrange(rig, task.id)
    assert await rig.submit.check_late(task) is None
    kept = rig.store.tasks[task.id]
    assert (kept.state, kept.next_at, rig.published) == (state, None, [])
    assert says in (kept.error or "")
    # The last is a text of the test's own, which no code stands for.
    assert isinstance(kept.error, Message) is (arrange is not _odd)
    assert (translate(PORTUGUESE, kept.error or "") != kept.error) is (arrange is not _odd)
    assert [line.task for line in rig.notes.of("submission_refused")] == [task]


async def test_a_task_that_moved_on_during_its_check_is_not_published_by_it() -> None:
    rig = SubmitRig()
    task = await rig.hand_in_unasked(rig.add())
    await rig.store.move([Move(task.id, Event.GONE, task.epoch)])
    assert await rig.submit.check_late(task) is None


# another worker had taken it


async def _superseded(rig: SubmitRig, **fields: Any) -> Task:
    """Return a task of an earlier submission, or fetch, that another worker took and let go again."""
    task_id = rig.add()
    fields = {"source": Source.PUSHED, "fingerprint": "of another body", "epoch": 4, **fields}
    task = a_task(task_id, state=State.SUPERSEDED, finished_at=NOW, **{"next_at": None, **fields})
    await rig.store.accept([task])
    return task


@pytest.mark.parametrize("source", [Source.PUSHED, Source.POLLED])
async def test_a_superseded_task_is_taken_up_by_who_hands_it_in(source: Source) -> None:
    rig = SubmitRig()
    task = await _superseded(rig, source=source, given={"old": TypedValue("Integer", 0)})
    answer = await rig.hand_in(task.id, {"new": 1}, worker="w2")
    assert (answer.state, answer.epoch, answer.worker_id) == (State.RECEIVED, 5, "w2")
    assert answer.inputs["new"] == TypedValue("Integer", 1)
    assert "old" not in answer.inputs
    assert (answer.finished_at, rig.published) == (None, [task.id])


@pytest.mark.parametrize("source", [Source.PUSHED, Source.POLLED])
async def test_from_then_on_it_is_that_submissions_task(source: Source) -> None:
    rig = SubmitRig()
    task = await _superseded(rig, source=source)
    first = await rig.hand_in(task.id, {"new": 1}, worker="w2")
    again = await rig.hand_in(task.id, {"new": 1}, worker="w2")
    assert (again.epoch, again.state) == (first.epoch, State.QUEUED)
    with pytest.raises(TaskConflict, match="another body"):
        await rig.hand_in(task.id, {"new": 2}, worker="w2")


async def test_fifty_at_once_take_it_up_once() -> None:
    rig = SubmitRig()
    task = await _superseded(rig)
    answers = await asyncio.gather(*(rig.hand_in(task.id, {"new": 1}, worker="w2") for _ in range(50)))
    assert {answer.epoch for answer in answers} == {5}
    assert rig.published == [task.id]


async def test_taken_up_while_the_engine_is_away_it_is_checked_before_it_is_published() -> None:
    rig = SubmitRig()
    task = await _superseded(rig)
    rig.engine.fail_next("get_many", AWAY)
    answer = await rig.hand_in(task.id, worker="w2")
    assert (answer.state, answer.verified, rig.published) == (State.RECEIVED, False, [])
    checked = await rig.submit.check_late(answer)
    assert checked is not None
    assert rig.store.tasks[task.id].inputs == TEXT, "which only the engine could tell"


async def test_a_task_that_another_worker_still_holds_stays_superseded() -> None:
    rig = SubmitRig()
    task = await _superseded(rig)
    await rig.engine.lock(task.id, "other", LOCK)
    with pytest.raises(TaskConflict, match="locked by worker 'other'"):
        await rig.hand_in(task.id, worker="w2")
    assert rig.store.tasks[task.id] == task


async def test_an_outcome_that_was_kept_is_not_worked_for_again() -> None:
    rig = SubmitRig()
    task = await _superseded(rig, outcome=Completion(TEXT))
    answer = await rig.hand_in(task.id, worker="w2")
    assert (answer.state, answer.outcome, rig.published) == (State.REPORTING, task.outcome, [])
    assert answer.next_at == NOW + 10 * SECOND, "when it is delivered under the new lease"
