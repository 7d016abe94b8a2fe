"""A person retries a failed task: once, at once, and only while that makes sense."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

import pytest

from bridge.domain.errors import EngineUnavailable, StoreUnavailable, TaskConflict, TaskGone, UnknownTask
from bridge.domain.task import Completion, State, TaskKey
from bridge.flow.reconcile.offer import OFFER_WITHIN, Offer
from bridge.operations.actions import RETRY_REASONS
from bridge.operations.retry import Operate
from bridge.ports.engine import TopicPoll
from bridge.ports.store import ClaimRequest
from bridge.topic import Topic
from tests.unit.fakes import LOCK, NOW, SECOND, UnreliableStore, a_task
from tests.unit.flow.poll.poll_rig import LOOK, NONE, PollRig, a_topic

AWAY = EngineUnavailable("the engine is away")


class OperateRig(PollRig):
    """A poll with an operator beside it."""

    def __init__(self, topics: Sequence[Topic[Any, Any]] = (), store: UnreliableStore | None = None) -> None:
        slots = {"orders": 8, "mail": 8, **{topic.name: 8 for topic in topics}}
        super().__init__(slots, topics=[a_topic("mail", retries=1), *topics], store=store)
        self.nudged: list[set[str]] = []
        self.offer = Offer(self.engine, self.store, self.clock, self.notes, self.delivery.end_of)
        self.operate = Operate(
            engine=self.engine, store=self.store, lease=self.lease, offer=self.offer, topics=self.topics,
            nudge=self._nudge, clock=self.clock, journal=self.notes, retry_limit=3,
        )  # fmt: skip

    def _nudge(self, topics: Collection[str]) -> None:
        self.nudged.append(set(topics))
        self.poll.nudge(topics)

    async def failed(self, topic: str = "orders", *, left_locked: timedelta = NONE) -> str:
        """Return a task with an incident, as its last failure left it here and in the engine."""
        task_id = self.engine.add(topic)
        poll = TopicPoll(topic, LOCK)
        await self.engine.fetch_and_lock("w1", 1, [poll], NONE)
        await self.engine.fail(task_id, "w1", message="no", details="", retries=0, retry_timeout=left_locked)
        fields = {"state": State.FAILED, "next_at": None, "finished_at": NOW, "retries": 0, "attempts": 4, "reports": 2}
        await self.store.accept([a_task(task_id, topic, **fields)])
        return task_id

    async def run_all(self) -> list[str]:
        """Claim whatever the broker has a message for; return the ids of the tasks that ran."""
        claims = [ClaimRequest(topic, key, f"c{number}", "r1", self.clock.now(), self.clock.now() + LOCK)
                  for number, (topic, key) in enumerate(self.broker.published)]  # fmt: skip
        return [task.id for task in await self.store.claim(claims) if task is not None]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State.RECEIVED, "it waits to be published"),
        (State.QUEUED, "it waits in its topic's queue"),
        (State.RUNNING, "its handler runs now: wait for its outcome"),
        (State.REPORTING, "its outcome is on its way"),
        (State.RETRYING, "it is going to be tried again without that"),
        (State.COMPLETED, "it is completed"),
        (State.CANCELLED, "it is gone from the engine"),
        (State.SUPERSEDED, "another worker holds it: retry it there"),
    ],
)
async def test_a_task_that_has_not_failed_is_left_alone_with_the_reason(state: State, reason: str) -> None:
    rig = OperateRig()
    task = a_task(rig.engine.add("orders"), state=state)
    await rig.store.accept([task])
    with pytest.raises(TaskConflict, match=f"can't be tried again: {reason}"):
        await rig.operate.retry(task.id)
    assert rig.store.tasks[task.id] == task
    assert (await rig.engine.get(task.id)).retries is None
    assert rig.nudged == []


def test_every_state_but_failed_has_its_reason() -> None:
    assert set(RETRY_REASONS) == set(State) - {State.FAILED}


async def test_a_task_that_is_not_kept_is_unknown() -> None:
    with pytest.raises(UnknownTask, match="no task t9 is kept here; check the id"):
        await OperateRig().operate.retry("t9")


@pytest.mark.parametrize(("topic", "retries"), [("orders", 3), ("mail", 1)])
async def test_the_incident_is_resolved_and_the_task_offered_with_its_topics_retries(topic: str, retries: int) -> None:
    rig = OperateRig()
    task_id = await rig.failed(topic)
    assert [task.id for task in rig.engine.incidents()] == [task_id]
    rig.clock.advance(SECOND)
    task = await rig.operate.retry(task_id)
    assert rig.engine.incidents() == []
    assert (await rig.engine.get(task_id)).retries == retries
    assert (task.state, task.retries, task.reports) == (State.RETRYING, retries, 0)
    assert (task.next_at, task.updated_at, task.finished_at) == (NOW + SECOND, NOW + SECOND, None)
    assert rig.nudged == [{topic}]
    assert [line.values for line in rig.notes.of("task_revived")] == [{"retries": retries, "kept": True}]


async def test_it_is_fetched_at_once_and_run_once_more() -> None:
    rig = OperateRig()
    task_id = await rig.failed()
    await rig.operate.retry(task_id)
    await rig.round()
    assert (rig.store.tasks[task_id].epoch, rig.store.tasks[task_id].state) == (2, State.QUEUED)
    assert await rig.run_all() == [task_id]


async def test_what_the_failure_left_locked_is_unlocked() -> None:
    rig = OperateRig()
    task_id = await rig.failed(left_locked=timedelta(hours=1))
    assert rig.engine.locked("orders") == {task_id}
    await rig.operate.retry(task_id)
    assert rig.engine.locked("orders") == set()


async def test_a_lock_on_a_task_with_retries_is_somebodys_and_stays() -> None:
    rig = OperateRig()
    task_id = await rig.failed()
    await rig.engine.set_retries(task_id, 2)
    await rig.engine.lock(task_id, "other", LOCK)
    await rig.operate.retry(task_id)
    assert (await rig.engine.get(task_id)).worker_id == "other"


async def test_an_outcome_that_the_engine_would_not_take_is_delivered_anew() -> None:
    rig = OperateRig()
    task_id = await rig.failed()
    outcome = Completion()
    rig.store.tasks[task_id] = a_task(task_id, state=State.FAILED, outcome=outcome, next_at=None)
    assert (await rig.operate.retry(task_id)).outcome == outcome
    await rig.round()
    await rig.delivery.drain()
    assert (rig.store.tasks[task_id].state, rig.broker.published) == (State.COMPLETED, [])
    with pytest.raises(TaskGone):  # it was the engine's to end
        await rig.engine.get(task_id)


# what may happen meanwhile


async def test_a_task_that_is_gone_from_the_engine_is_cancelled() -> None:
    rig = OperateRig()
    task_id = await rig.failed()
    rig.engine.cancel(task_id)
    with pytest.raises(TaskConflict, match="it is gone from the engine"):
        await rig.operate.retry(task_id)
    assert rig.store.tasks[task_id].state is State.CANCELLED
    assert rig.nudged == []


@pytest.mark.parametrize("call", ["get", "unlock", "set_retries"])
async def test_while_the_engine_is_away_nothing_changes_here(call: str) -> None:
    rig = OperateRig()
    task_id = await rig.failed(left_locked=timedelta(hours=1))
    before = rig.store.tasks[task_id]
    rig.engine.fail_next(call, AWAY)  # type: ignore[arg-type]  # one of its operations
    with pytest.raises(EngineUnavailable):
        await rig.operate.retry(task_id)
    soon = NOW + OFFER_WITHIN
    assert rig.store.tasks[task_id] == before.changed(next_at=soon), "it is unclear whether the engine offers it"
    assert [task.id for task in rig.engine.incidents()] == [task_id]
    assert (await rig.operate.retry(task_id)).state is State.RETRYING, "and it may be repeated"


async def test_an_answer_that_was_lost_may_be_asked_for_again() -> None:
    rig = OperateRig()
    task_id = await rig.failed()
    rig.engine.fail_next("set_retries", AWAY, after=True)
    with pytest.raises(EngineUnavailable):
        await rig.operate.retry(task_id)
    assert rig.engine.incidents() == [], "the fault struck after its effect"
    assert (await rig.operate.retry(task_id)).state is State.RETRYING
    await rig.round()
    assert await rig.run_all() == [task_id]


async def test_a_store_that_is_away_leaves_the_engine_unasked() -> None:
    rig = OperateRig()
    task_id = await rig.failed()
    rig.store.away.add("move")
    with pytest.raises(StoreUnavailable):
        await rig.operate.retry(task_id)
    assert rig.store.refused == ["move"]
    assert [task.id for task in rig.engine.incidents()] == [task_id]
    rig.store.away.clear()
    await rig.operate.retry(task_id)
    await rig.round()
    assert await rig.run_all() == [task_id], "and it may be repeated"


async def test_a_store_that_is_away_at_the_end_loses_no_retry() -> None:
    rig = OperateRig()
    task_id = await rig.failed()
    set_retries = rig.engine.set_retries

    async def set_and_lose_the_store(task_id: str, retries: int) -> None:
        await set_retries(task_id, retries)
        rig.store.away.add("move")

    rig.engine.set_retries = set_and_lose_the_store  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await rig.operate.retry(task_id)
    assert rig.store.refused == ["move"]
    assert rig.store.tasks[task_id].is_retry_pending
    rig.store.away.clear()
    await rig.round()
    assert await rig.run_all() == [task_id], "the engine had offered it"


async def test_a_retry_starts_the_count_of_lost_claims_anew() -> None:
    rig = OperateRig()
    task_id = await rig.failed()
    rig.store.tasks[task_id] = rig.store.tasks[task_id].changed(lost_claims=3)
    assert (await rig.operate.retry(task_id)).lost_claims == 0


async def test_two_people_at_once_have_it_tried_once() -> None:
    rig = OperateRig()
    task_id = await rig.failed(left_locked=timedelta(hours=1))
    answers = await asyncio.gather(*(rig.operate.retry(task_id) for _ in range(10)), return_exceptions=True)
    assert all(isinstance(answer, TaskConflict) or answer.state is State.RETRYING for answer in answers)  # type: ignore[union-attr]
    await rig.round()
    assert await rig.run_all() == [task_id]


async def test_a_hundred_retries_against_the_automatic_fetch_are_one_further_run_each() -> None:
    """The fetch is under way while a person retries: it may come before the write here, or after it."""
    rig = OperateRig()
    set_retries, fetch_first, overtaken = rig.engine.set_retries, False, 0

    async def set_and_fetch(task_id: str, retries: int) -> None:
        await set_retries(task_id, retries)
        if fetch_first:
            await rig.round()

    rig.engine.set_retries = set_and_fetch  # type: ignore[method-assign]
    for number in range(100):
        fetch_first = number % 2 == 0
        task_id = await rig.failed()
        rig.broker.published.clear()
        _, answer = await asyncio.gather(rig.round(), rig.operate.retry(task_id))
        overtaken += answer.state is not State.RETRYING
        await rig.round()
        task = rig.store.tasks[task_id]
        assert (task.state, task.epoch) == (State.QUEUED, 2)
        assert [key for _, key in rig.broker.published] == [TaskKey(task_id, 2, task.trace)]
        assert await rig.run_all() == [task_id]
        await rig.consume("orders")
        rig.clock.advance(LOOK)
    assert overtaken >= 50, "in half of them the fetch was first"
