"""Further things that a person does to a task: later, with other variables, with more retries, without its lock."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import BaseModel

from bridge.domain.errors import EngineRejected, TaskConflict, UnacceptableTask, UnknownTask
from bridge.domain.task import State, Task, TypedValue
from bridge.domain.variables import encode
from bridge.flow.poll.credit import Bounds, Credit
from bridge.operations.actions import Action, ShownVersion, reasons
from bridge.operations.retry import MOST_RETRIES, Operate
from bridge.ports.engine import TopicPoll
from bridge.topic import topic
from tests.unit.fakes import LOCK, NOW, SECOND, a_task
from tests.unit.flow.poll.poll_rig import NONE
from tests.unit.operations.test_operate import OperateRig

HOUR = timedelta(hours=1)


class Order(BaseModel):
    """What the topic `sums` takes."""

    amount: int


@topic("sums")
async def sums(order: Order) -> None:
    """Do nothing."""


class Rig(OperateRig):
    """A rig whose tasks know their process instances, and with a topic that checks its input."""

    def __init__(self) -> None:
        super().__init__()
        self.operate = Operate(
            engine=self.engine, store=self.store, lease=self.lease, offer=self.offer,
            topics={**self.topics, "sums": sums}, nudge=self._nudge, clock=self.clock, journal=self.notes,
            retry_limit=3,
        )  # fmt: skip

    async def failed_task(self, name: str = "orders", *, left_locked: timedelta = NONE, **fields: object) -> Task:
        task_id = await self.failed(name, left_locked=left_locked)
        instance = (await self.engine.get(task_id)).process_instance_id
        task = self.store.tasks[task_id].changed(process_instance_id=instance, **fields)
        self.store.tasks[task_id] = task
        return task

    async def in_state(self, state: State) -> Task:
        task_id = self.engine.add("orders")
        instance = (await self.engine.get(task_id)).process_instance_id
        task = a_task(task_id, state=state, worker_id="w1", process_instance_id=instance)
        await self.engine.lock(task.id, "w1", HOUR)
        await self.store.accept([task])
        return task


# what was seen


@pytest.mark.parametrize(
    ("seen", "change"),
    [
        (ShownVersion(State.RETRYING, 1), "it was retrying and is failed now"),
        (ShownVersion(State.FAILED, 2), "it was fetched again, and is failed once more"),
        (ShownVersion(State.FAILED, 1, NOW - SECOND), "it changed at 2026-01-01T00:00:00"),
    ],
)
async def test_nothing_is_done_to_a_task_that_has_changed_since_it_was_seen(seen: ShownVersion, change: str) -> None:
    rig = Rig()
    task = await rig.failed_task()
    for call in (
        rig.operate.retry(task.id, seen),
        rig.operate.set_retries(task.id, 2, seen),
        rig.operate.release(task.id, seen),
    ):
        with pytest.raises(TaskConflict, match=f"is not as it was shown: {change}"):
            await call
    assert rig.store.tasks[task.id] == task
    assert (await rig.engine.get(task.id)).retries == 0


async def test_a_task_that_is_as_it_was_seen_is_tried_again() -> None:
    rig = Rig()
    task = await rig.failed_task()
    revived = await rig.operate.retry(task.id, ShownVersion.of(task), retries=7, operation="op-1")
    assert (revived.state, revived.retries, revived.operation) == (State.RETRYING, 7, "op-1")


def test_every_action_has_its_reason_or_none() -> None:
    for state in State:
        possible = {
            action for action, reason in reasons(a_task(state=state, process_instance_id="p")).items() if not reason
        }
        assert possible == {
            State.FAILED: {Action.RETRY, Action.RETRY_AT, Action.EDIT, Action.SET_RETRIES},
            State.RETRYING: {Action.SET_RETRIES, Action.RELEASE},
            State.SUPERSEDED: {Action.RELEASE},
        }.get(state, set())
    assert "no process instance" in (reasons(a_task(state=State.FAILED))[Action.EDIT] or "")


# later


@pytest.mark.parametrize("left_locked", [NONE, HOUR])
async def test_a_retry_may_be_put_off(left_locked: timedelta) -> None:
    rig = Rig()
    task = await rig.failed_task(left_locked=left_locked)
    later = NOW + 2 * HOUR
    revived = await rig.operate.retry(task.id, ShownVersion.of(task), at=later)
    assert (revived.state, revived.next_at, rig.nudged) == (State.RETRYING, later, [])
    assert rig.engine.incidents() == []
    poll = TopicPoll("orders", LOCK)
    rig.clock.advance(2 * HOUR - SECOND)
    assert await rig.engine.fetch_and_lock("other", 1, [poll], NONE) == []
    rig.clock.advance(SECOND)
    assert [one.id for one in await rig.engine.fetch_and_lock("other", 1, [poll], NONE)] == [task.id]


async def test_a_moment_that_has_passed_is_now() -> None:
    rig = Rig()
    task = await rig.failed_task()
    revived = await rig.operate.retry(task.id, at=NOW - SECOND)
    assert (revived.next_at, rig.nudged) == (NOW, [{"orders"}])


async def test_a_retry_is_not_put_off_under_anothers_lock() -> None:
    rig = Rig()
    task = await rig.failed_task()
    await rig.engine.set_retries(task.id, 1)
    await rig.engine.lock(task.id, "other", HOUR)
    with pytest.raises(TaskConflict, match="another worker holds it"):
        await rig.operate.retry(task.id, at=NOW + HOUR)
    assert rig.store.tasks[task.id] == task


# with other variables


async def test_variables_are_set_in_the_engine_before_the_task_is_tried_again() -> None:
    rig = Rig()
    task = await rig.failed_task("sums", variables=encode({"amount": "x", "kept": 1}), given=encode({"amount": "y"}))
    edited = {"amount": TypedValue("Integer", 5), "new": TypedValue("String", "a")}
    revived = await rig.operate.retry(task.id, ShownVersion.of(task), variables=edited)
    assert revived.state is State.RETRYING
    assert revived.inputs == {"amount": edited["amount"], "kept": TypedValue("Integer", 1), "new": edited["new"]}
    assert rig.engine.variables[task.process_instance_id or ""] == edited
    assert rig.engine.incidents() == []


@pytest.mark.parametrize("value", [TypedValue("String", "x"), TypedValue("Integer", "x")])
async def test_variables_that_the_handler_would_refuse_are_not_set(value: TypedValue) -> None:
    rig = Rig()
    task = await rig.failed_task("sums")
    with pytest.raises(UnacceptableTask, match=r"topic sums doesn't take these variables: .*amount"):
        await rig.operate.retry(task.id, variables={"amount": value})
    assert rig.store.tasks[task.id] == task
    assert [one.id for one in rig.engine.incidents()] == [task.id]


async def test_variables_that_the_engine_refuses_are_told_and_nothing_is_done() -> None:
    rig = Rig()
    task = await rig.failed_task("sums")
    rig.engine.fail_next("set_variables", EngineRejected("too long", status=500))
    with pytest.raises(UnacceptableTask, match="too long"):
        await rig.operate.retry(task.id, variables=encode({"amount": 1}))
    assert [one.id for one in rig.engine.incidents()] == [task.id]


async def test_without_a_process_instance_there_is_nothing_to_edit() -> None:
    rig = Rig()
    task_id = await rig.failed()
    with pytest.raises(TaskConflict, match="can't be tried again with other variables: the engine named no process"):
        await rig.operate.retry(task_id, variables=encode({"a": 1}))


@pytest.mark.parametrize("edit", [False, True])
async def test_a_task_that_is_gone_is_cancelled(edit: bool) -> None:
    rig = Rig()
    task = await rig.failed_task("sums")
    rig.engine.cancel(task.id)
    with pytest.raises(TaskConflict, match="it is gone from the engine"):
        await rig.operate.retry(task.id, variables=encode({"amount": 1}) if edit else None)
    assert rig.store.tasks[task.id].state is State.CANCELLED


# retries


async def test_a_waiting_task_is_given_more_retries() -> None:
    rig = Rig()
    task = await rig.in_state(State.RETRYING)
    changed = await rig.operate.set_retries(task.id, 9, ShownVersion.of(task))
    assert (changed.retries, changed.state, changed.next_at, changed.reports) == (9, State.RETRYING, task.next_at, 0)
    assert (await rig.engine.get(task.id)).retries == 9


async def test_a_failed_task_is_tried_again_with_so_many_retries() -> None:
    rig = Rig()
    task = await rig.failed_task()
    assert (await rig.operate.set_retries(task.id, 2, ShownVersion.of(task))).state is State.RETRYING
    assert (await rig.engine.get(task.id)).retries == 2


@pytest.mark.parametrize("number", [-1, 0, MOST_RETRIES + 1])
async def test_a_number_of_retries_is_bounded(number: int) -> None:
    rig = Rig()
    task = await rig.failed_task()
    for call in (rig.operate.set_retries(task.id, number), rig.operate.retry(task.id, retries=number)):
        with pytest.raises(UnacceptableTask):
            await call


# the lock


async def test_a_lock_is_released_so_that_the_next_run_is_now() -> None:
    rig = Rig()
    task = await rig.in_state(State.RETRYING)
    rig.clock.advance(SECOND)
    changed = await rig.operate.release(task.id, ShownVersion.of(task))
    assert (changed.next_at, changed.reports) == (NOW + SECOND, 0)
    assert (await rig.engine.get(task.id)).worker_id is None
    assert rig.nudged == [{"orders"}]


async def test_anothers_lock_is_released_and_the_task_fetched_again() -> None:
    rig = Rig()
    task = await rig.in_state(State.SUPERSEDED)
    assert (await rig.operate.release(task.id)).state is State.SUPERSEDED
    await rig.round()
    assert rig.store.tasks[task.id].state is State.QUEUED


@pytest.mark.parametrize("state", [State.RECEIVED, State.RUNNING, State.REPORTING])
async def test_our_own_lock_is_not_released(state: State) -> None:
    rig = Rig()
    task = await rig.in_state(state)
    with pytest.raises(TaskConflict, match="can't have its lock released: the gateway itself works under its lock"):
        await rig.operate.release(task.id)
    with pytest.raises(UnknownTask):
        await rig.operate.release("t9")
    assert (await rig.engine.get(task.id)).worker_id == "w1"


@pytest.mark.parametrize("state", [State.RETRYING, State.SUPERSEDED])
async def test_a_task_that_turns_out_to_be_gone_is_cancelled(state: State) -> None:
    rig = Rig()
    task = await rig.in_state(state)
    rig.engine.cancel(task.id)
    with pytest.raises(TaskConflict, match="it is gone from the engine"):
        await rig.operate.release(task.id)
    assert rig.store.tasks[task.id].state is State.CANCELLED


# paused topics


async def test_a_paused_topic_has_no_room_until_it_is_resumed() -> None:
    rig = Rig()
    paused: set[str] = {"orders"}

    async def ask() -> frozenset[str]:
        return frozenset(paused)

    credit = Credit(
        publisher=rig.broker, replicas=rig.store, store=rig.store, lease=rig.lease, topics=rig.topics,
        clock=rig.clock, bounds=Bounds(100, 100), paused=ask,
    )  # fmt: skip
    await rig.round()
    capacities = await credit.capacities()
    assert capacities["orders"] == 0
    assert capacities["mail"] > 0
    paused.clear()
    rig.clock.advance(2 * SECOND)
    assert (await credit.capacities())["orders"] > 0
