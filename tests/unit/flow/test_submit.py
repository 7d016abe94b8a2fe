"""A task that is handed in is kept once, under its submitter's lock, or refused with what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from bridge.domain.errors import (
    EngineForbidden,
    EngineRejected,
    GatewayError,
    StoreError,
    StoreUnavailable,
    TaskConflict,
    TaskTooLarge,
    TopicNotWorked,
    UnacceptableTask,
    UnknownTask,
    VariableError,
)
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import Completion, Outcome, Source, State, Task, TypedValue
from bridge.domain.variables import decode, encode
from tests.unit.fakes import LOCK, NOW, SECOND, UnreliableStore, a_task
from tests.unit.flow.poll.poll_rig import a_topic
from tests.unit.flow.submit_rig import AWAY, LIMIT, TEXT, SubmitRig


async def test_a_task_is_locked_kept_with_what_the_engine_says_and_published() -> None:
    rig = SubmitRig()
    task_id = rig.add(business_key="b", priority=7, tenant_id="acme")
    answer = await rig.hand_in(task_id)
    described = await rig.engine.get(task_id)
    assert (described.worker_id, described.lock_until) == ("w1", NOW + LOCK)
    assert (answer.state, answer.source, answer.verified, answer.worker_id) == (
        State.RECEIVED,
        Source.PUSHED,
        True,
        "w1",
    )
    assert (answer.business_key, answer.priority, answer.tenant_id) == ("b", 7, "acme")
    assert (answer.process_instance_id, answer.activity_id) == (described.process_instance_id, "task")
    assert (answer.lease_until, answer.replica) == (NOW + LOCK - SECOND, "r1")
    assert rig.store.tasks[task_id].state is State.QUEUED
    assert rig.published == [task_id]


async def test_a_submitters_own_lock_is_renewed() -> None:
    rig = SubmitRig()
    task_id = rig.add()
    await rig.engine.lock(task_id, "w1", 10 * SECOND)
    await rig.hand_in(task_id)
    assert (await rig.engine.get(task_id)).lock_until == NOW + LOCK


async def test_a_lock_that_is_fresh_costs_the_engine_no_call() -> None:
    rig = SubmitRig()
    task_id = rig.add()
    await rig.engine.lock(task_id, "w1", 5 * LOCK)
    rig.engine.fail_next("lock", AssertionError("it is fresh"))
    kept = await rig.hand_in(task_id)
    # No longer than a lock of the topic: what the engine tells rests on a clock that may be a proxy's.
    assert (kept.lease_until, kept.verified) == (NOW + LOCK - SECOND, True)
    assert rig.published == [task_id]


async def test_submissions_that_come_together_ask_together() -> None:
    rig = SubmitRig()
    ids = [rig.add() for _ in range(20)]
    asked: list[int] = []
    get, read = rig.engine.get_many, rig.store.get_many

    async def counted(call: Any, wanted: Sequence[Any]) -> Any:
        asked.append(len(wanted))
        return await call(wanted)

    rig.engine.get_many = partial(counted, get)  # type: ignore[method-assign]
    rig.store.get_many = partial(counted, read)  # type: ignore[method-assign]
    await asyncio.gather(*(rig.hand_in(task_id) for task_id in ids))
    assert asked == [20, 20]
    assert sorted(rig.published) == sorted(ids)


async def test_variables_that_are_left_out_are_the_engines() -> None:
    rig = SubmitRig()
    assert (await rig.hand_in(rig.add())).inputs == TEXT


async def test_variables_may_be_plain_or_typed() -> None:
    rig = SubmitRig()
    given = {"n": 7, "t": {"type": "Long", "value": 7}, "o": {"value": 1}, "s": None}
    assert (await rig.hand_in(rig.add(), given)).inputs == {
        "n": TypedValue("Integer", 7),
        "t": TypedValue("Long", 7),
        "o": TypedValue("Json", '{"value":1}'),
        "s": TypedValue("Null"),
    }


@pytest.mark.parametrize(
    ("terms", "seen"),
    [
        ({}, {"amount": 2, "country": "BR", "traceparent": "t"}),
        ({"variables": ("amount",)}, {"amount": 2, "traceparent": "t"}),
        ({"local_variables": True}, {"amount": 2}),
    ],
)
async def test_without_variables_a_task_gets_what_a_fetch_would_have_brought(
    terms: dict[str, Any], seen: dict[str, Any]
) -> None:
    rig = SubmitRig(a_topic("sums", **terms))
    of_process = encode({"amount": 1, "country": "BR", "traceparent": "t"})
    task_id = rig.engine.add("sums", of_process, local=encode({"amount": 2}))
    task = await rig.hand_in(task_id, topic="sums")
    assert decode(task.variables) == seen
    assert task.execution_id == (await rig.engine.get(task_id)).execution_id


@pytest.mark.parametrize(("engine_has", "kept"), [(None, 3), (3, 2), (1, 0)])
async def test_a_number_of_retries_counts_this_run(engine_has: int | None, kept: int) -> None:
    rig = SubmitRig()
    assert (await rig.hand_in(rig.add(retries=engine_has))).retries == kept
    assert (await rig.hand_in(rig.engine.add("mail"), topic="mail")).retries == 1


# refusals


async def _suspend(rig: SubmitRig, task_id: str) -> None:
    rig.engine.suspend(task_id)


async def _lock(rig: SubmitRig, task_id: str) -> None:
    await rig.engine.lock(task_id, "other", LOCK)


async def _exhaust(rig: SubmitRig, task_id: str) -> None:
    await rig.engine.set_retries(task_id, 0)


async def _cancel(rig: SubmitRig, task_id: str) -> None:
    rig.engine.cancel(task_id)


async def _turn_away(rig: SubmitRig, task_id: str) -> None:
    rig.engine.fail_next("read_variables", EngineRejected("no such class", status=500))


ENGINE_SAYS = [
    (_cancel, UnknownTask, "the engine has no external task .*completed or cancelled"),
    (_suspend, TaskConflict, "suspended: activate its process instance, then submit it again"),
    (_exhaust, TaskConflict, "no retries left in the engine: set some there, then submit"),
    (_lock, TaskConflict, "locked by worker 'other' until 2026-.*not by 'w1': submit it under the worker id that"),
    (_turn_away, UnacceptableTask, "can't be read: no such class; send them"),
]


@pytest.mark.parametrize(("arrange", "kind", "says"), ENGINE_SAYS)
async def test_what_the_engine_forbids_is_refused_and_not_kept(
    arrange: Any, kind: type[GatewayError], says: str
) -> None:
    rig = SubmitRig()
    task_id = rig.add()
    await arrange(rig, task_id)
    with pytest.raises(kind, match=says):
        await rig.hand_in(task_id)
    assert (rig.store.tasks, rig.published) == ({}, [])


async def test_rights_that_the_engines_user_has_not_are_no_fault_of_the_submission() -> None:
    rig = SubmitRig()
    task_id = rig.add()
    rig.engine.fail_next("read_variables", EngineForbidden("the user has no 'READ'", status=403))
    with pytest.raises(EngineForbidden):
        await rig.hand_in(task_id)
    assert rig.store.tasks == {}


async def test_a_topic_that_is_not_worked_is_refused_with_those_that_are() -> None:
    rig = SubmitRig()
    with pytest.raises(TopicNotWorked, match=r"^topic 'parcels' is not worked here$") as caught:
        await rig.hand_in("t1", topic="parcels")
    assert caught.value.known == ("mail", "orders")


async def test_a_task_of_another_topic_is_as_unknown_as_none() -> None:
    rig = SubmitRig()
    task_id = rig.add()
    with pytest.raises(UnknownTask, match=f"the engine has no external task {task_id} of topic 'mail'"):
        await rig.hand_in(task_id, topic="mail")
    assert (await rig.engine.get(task_id)).worker_id is None, "nor is it locked"


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("source", Source)
async def test_a_task_that_is_kept_of_another_topic_is_as_unknown_as_none(state: State, source: Source) -> None:
    rig = SubmitRig()
    task_id = rig.add()
    kept = a_task(task_id, topic="orders", state=state, source=source, finished_at=NOW, fingerprint="f")
    await rig.store.accept([kept])
    with pytest.raises(UnknownTask) as here:
        await rig.hand_in(task_id, topic="mail")
    rig.engine.fail_next("get_many", AWAY)
    with pytest.raises(UnknownTask) as away:
        await rig.hand_in(task_id, topic="mail")
    with pytest.raises(UnknownTask) as none:
        await rig.hand_in("t0", topic="mail")
    assert str(here.value) == str(away.value) == str(none.value).replace("t0", task_id)
    assert rig.store.tasks == {task_id: kept}


async def test_an_ended_task_that_the_engine_has_no_more_is_the_answer_to_the_same_submission() -> None:
    rig = SubmitRig()
    task_id = rig.add()
    first = await rig.hand_in(task_id, {"n": 1})
    await rig.engine.complete(task_id, "w1", {})
    rig.store.tasks[task_id] = done = first.changed(state=State.COMPLETED, outcome=Completion(), finished_at=NOW)
    assert await rig.hand_in(task_id, {"n": 1}) == done
    rig.engine.fail_next("get_many", AWAY)
    assert await rig.hand_in(task_id, {"n": 1}) == done
    with pytest.raises(TaskConflict, match="another body"):
        await rig.hand_in(task_id, {"n": 2})


@pytest.mark.parametrize(
    ("state", "outcome", "then"),
    [
        (State.COMPLETED, Completion(), State.REPORTING),
        (State.UNKNOWN, Completion(), State.REPORTING),
        (State.CANCELLED, None, State.QUEUED),
    ],
)
async def test_an_ended_task_that_the_engine_has_open_goes_on_when_it_is_submitted_again(
    state: State, outcome: Outcome | None, then: State
) -> None:
    rig = SubmitRig()
    task_id = rig.add()
    first = await rig.hand_in(task_id, {"n": 1})
    rig.store.tasks[task_id] = first.changed(state=state, outcome=outcome, finished_at=NOW, next_at=None)
    rig.clock.advance(SECOND)
    await rig.hand_in(task_id, {"n": 1})
    kept = rig.store.tasks[task_id]
    assert (kept.state, kept.outcome, kept.epoch, kept.finished_at) == (then, outcome, 2, None)
    assert kept.history[-1].ended == "reopened"
    assert kept.next_at is not None


async def test_another_task_under_a_known_id_is_a_new_life_when_it_is_submitted() -> None:
    rig = SubmitRig()
    task_id = rig.add()
    old = a_task(
        task_id, topic="mail", state=State.COMPLETED, outcome=Completion(), finished_at=NOW, attempts=3, epoch=7,
        process_instance_id="another", given=TEXT,
    )  # fmt: skip
    await rig.store.accept([old])
    rig.clock.advance(SECOND)
    await rig.hand_in(task_id, {"n": 1})
    kept = rig.store.tasks[task_id]
    assert (kept.state, kept.topic, kept.epoch, kept.attempts, kept.outcome) == (State.QUEUED, "orders", 8, 0, None)
    assert kept.given == {"n": TypedValue("Integer", 1)}
    assert (await rig.engine.get(task_id)).process_instance_id == kept.process_instance_id


async def test_a_task_that_goes_while_it_is_locked_is_unknown() -> None:
    rig = SubmitRig()
    task_id = rig.add()
    get = rig.engine.get_many

    async def get_and_cancel(asked: Sequence[str]) -> object:
        found = await get(asked)
        rig.engine.cancel(task_id)
        return found

    rig.engine.get_many = get_and_cancel  # type: ignore[assignment, method-assign]
    with pytest.raises(UnknownTask, match="any more"):
        await rig.hand_in(task_id)


async def test_too_large_a_task_is_refused_with_its_size() -> None:
    rig = SubmitRig()
    assert (await rig.hand_in(rig.add(), {"a": "x" * LIMIT})).inputs["a"].value == "x" * LIMIT
    with pytest.raises(TaskTooLarge, match="takes 1001 bytes, 1000 are kept at most: send fewer variables"):
        await rig.hand_in(rig.add(), {"a": "x" * (LIMIT + 1)})
    assert len(rig.store.tasks) == 1


@pytest.mark.parametrize(
    "variables", [{"n": {"type": "Integer", "value": "x"}}, {"n": float("nan")}, {"n": "\ud800"}, {"n": object()}]
)
async def test_variables_that_can_not_be_read_are_refused_by_name(variables: dict[str, Any]) -> None:
    rig = SubmitRig()
    with pytest.raises(VariableError, match="'n'"):
        await rig.hand_in(rig.add(), variables)
    assert rig.store.tasks == {}


class _Partly(UnreliableStore):
    """Keeps a batch, and then fails as if one of its members had been refused."""

    async def accept(self, tasks: Sequence[Task]) -> Sequence[Task | None]:
        kept = await super().accept(tasks)
        if len(tasks) > 1:
            self.refused.append("accept")
            raise StoreError("MongoDB refused a write")
        return kept


async def test_submissions_that_were_kept_before_their_batch_failed_are_answered_and_published() -> None:
    rig = SubmitRig(store=_Partly())
    ids = [rig.add() for _ in range(3)]
    kept = await asyncio.gather(*(rig.hand_in(task_id) for task_id in ids))
    await rig.relay.drain()
    assert rig.store.refused == ["accept"]
    assert [task.id for task in kept] == [key.id for _, key in rig.broker.published] == ids
    assert {task.epoch for task in rig.store.tasks.values()} == {1}


async def test_a_task_that_the_gateway_fetched_is_not_taken_again() -> None:
    rig = SubmitRig()
    await rig.store.accept([a_task()])
    with pytest.raises(TaskConflict, match="fetched by the gateway itself: follow it at /tasks/t1/status"):
        await rig.hand_in("t1")


async def test_a_store_that_keeps_nothing_is_told() -> None:
    rig = SubmitRig()
    task_id = rig.add()
    rig.store.away.add("accept")
    with pytest.raises(StoreUnavailable):
        await rig.hand_in(task_id)
    assert (rig.store.refused, rig.published) == (["accept"], [])
    rig.store.away.clear()
    await rig.hand_in(task_id)
    assert rig.published == [task_id]


# the same again


async def test_the_same_submission_again_gets_the_task_as_it_stands() -> None:
    rig = SubmitRig()
    task_id = rig.add()
    await rig.hand_in(task_id, {"b": 1, "a": 2})
    again = await rig.hand_in(task_id, {"a": 2, "b": 1})
    assert again == rig.store.tasks[task_id]
    assert (again.state, rig.published) == (State.QUEUED, [task_id])


async def test_the_same_submission_gets_its_task_also_when_that_has_ended() -> None:
    rig = SubmitRig()
    task_id = rig.add()
    task = await rig.hand_in(task_id)
    rig.engine.cancel(task_id)
    await rig.store.move([Move(task_id, Event.GONE, task.epoch)])
    assert (await rig.hand_in(task_id)).state is State.CANCELLED


@pytest.mark.parametrize(("variables", "worker"), [({"a": 2}, "w1"), ({"a": 1}, "w2"), ({"a": 1.0}, "w1"), ({}, "w1")])
async def test_another_body_for_a_task_that_was_handed_in_is_a_conflict(variables: dict[str, Any], worker: str) -> None:
    rig = SubmitRig()
    task_id = rig.add()
    await rig.hand_in(task_id, {"a": 1})
    with pytest.raises(TaskConflict, match="submitted before with another body: repeat that"):
        await rig.hand_in(task_id, variables, worker)
    assert rig.store.tasks[task_id].inputs["a"] == TypedValue("Integer", 1)


async def test_fifty_at_once_get_one_task_and_the_same_answer() -> None:
    rig = SubmitRig()
    task_id = rig.add()
    answers = await asyncio.gather(*(rig.hand_in(task_id, {"a": 1}) for _ in range(50)))
    assert {(task.id, task.epoch, task.fingerprint) for task in answers} == {(task_id, 1, answers[0].fingerprint)}
    assert len(rig.store.tasks) == 1
    assert rig.published == [task_id]


async def test_of_different_bodies_at_once_one_is_kept_and_the_others_are_conflicts() -> None:
    rig = SubmitRig()
    task_id = rig.add()
    answers = await asyncio.gather(*(rig.hand_in(task_id, {"a": n}) for n in range(20)), return_exceptions=True)
    kept = [answer for answer in answers if isinstance(answer, Task)]
    assert len(kept) == 1
    assert [type(answer) for answer in answers if answer is not kept[0]] == [TaskConflict] * 19
    assert rig.published == [task_id]
