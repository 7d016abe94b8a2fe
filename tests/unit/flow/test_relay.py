"""What is RECEIVED gets onto the broker, however often a publish fails, and nothing leaves the outbox unconfirmed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

import pytest

from bridge.adapters.memory.broker import MemoryBroker
from bridge.domain.errors import BrokerUnavailable, BrokerUnroutable, StoreError, StoreUnavailable
from bridge.domain.task import State, TaskKey
from bridge.flow.relay import Relay
from bridge.ports.journal import Level
from bridge.ports.store import ClaimRequest
from tests.unit.fakes import LOCK, NOW, SECOND, UnreliableStore, a_task
from tests.unit.flow.relay_rig import AGAIN, LOOK, Flow


async def test_a_confirmed_task_is_queued_and_looked_at_again() -> None:
    flow = Flow()
    tasks = await flow.received(a_task("a", trace="00-ab"), a_task("b", "mail", epoch=3))
    assert await flow.relay.publish(tasks) == 2
    assert flow.broker.published == [("orders", TaskKey("a", 1, "00-ab")), ("mail", TaskKey("b", 3))]
    assert flow.states() == {"a": State.QUEUED, "b": State.QUEUED}
    assert {task.next_at for task in flow.store.tasks.values()} == {NOW + LOOK}


class _Picky(UnreliableStore):
    """Takes no confirms of more than one task, nor of the task `odd`."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    async def confirm(self, keys: Sequence[TaskKey], now: datetime, next_at: datetime) -> None:
        self.sizes.append(len(keys))
        if len(keys) > 1 or keys[0].id == "odd":
            raise StoreError("refused")
        await super().confirm(keys, now, next_at)


async def test_a_confirm_that_can_not_be_written_holds_up_no_other() -> None:
    flow = Flow()
    flow.store = _Picky()
    flow.relay = Relay(flow.store, flow.broker, flow.clock, flow.notes, again_after=AGAIN, look_after=LOOK)
    tasks = await flow.received(a_task("a"), a_task("odd"), a_task("b"))
    ends = await asyncio.gather(*(flow.relay.publish([task]) for task in tasks), return_exceptions=True)
    assert [str(end) for end in ends] == ["1", "refused", "1"]
    assert flow.store.sizes == [3, 1, 1, 1]
    assert flow.states() == {"a": State.QUEUED, "odd": State.RECEIVED, "b": State.QUEUED}


async def test_nothing_is_published_for_nothing() -> None:
    flow = Flow()
    assert await flow.relay.publish([]) == 0
    assert flow.broker.published == []


async def test_a_publish_that_fails_for_one_leaves_the_others_confirmed() -> None:
    flow = Flow()
    tasks = await flow.received(a_task("a"), a_task("b"), a_task("c"))
    flow.broker.fail_next("publish", BrokerUnavailable("no confirm in time"))
    assert await flow.relay.publish(tasks) == 2
    assert [key.id for _, key in flow.broker.published] == ["b", "c"]
    assert flow.states() == {"a": State.RECEIVED, "b": State.QUEUED, "c": State.QUEUED}
    assert flow.store.tasks["a"].next_at == NOW + AGAIN
    (line,) = flow.notes.of("publish_failed")
    assert (line.level, line.values) == (
        Level.WARNING,
        {"topic": "orders", "tasks": 1, "error": "no confirm in time"},
    )


async def test_an_error_without_words_is_told_by_its_name() -> None:
    flow = Flow()
    flow.broker.fail_next("publish", TimeoutError())
    await flow.relay.publish(await flow.received(a_task()))
    assert flow.notes.of("publish_failed")[0].values["error"] == "TimeoutError()"


async def test_an_unroutable_task_stays_received_until_its_queue_is_bound() -> None:
    flow = Flow()
    flow.broker.unbind("orders")
    tasks = await flow.received(a_task("a"), a_task("b", "mail"))
    assert await flow.relay.publish(tasks) == 1
    assert flow.states() == {"a": State.RECEIVED, "b": State.QUEUED}
    assert "no queue is bound" in str(flow.notes.of("publish_failed")[0].values["error"])
    flow.broker.bind("orders")
    (due,) = (await flow.store.due(State.RECEIVED, NOW + AGAIN, 10)).tasks
    assert await flow.relay.publish([due]) == 1
    assert flow.states()["a"] is State.QUEUED


async def test_a_topic_without_a_queue_is_an_error_of_its_tasks_alone() -> None:
    flow = Flow()
    tasks = await flow.received(a_task("a", "unknown"), a_task("b"))
    assert await flow.relay.publish(tasks) == 1
    assert flow.states() == {"a": State.RECEIVED, "b": State.QUEUED}


async def test_a_lost_confirm_publishes_again_and_the_second_claim_finds_nothing() -> None:
    flow = Flow()
    (task,) = await flow.received(a_task())
    flow.broker.fail_next("publish", BrokerUnavailable("the confirm is lost"), after=True)
    assert await flow.relay.publish([task]) == 0
    assert (await flow.broker.depth("orders")).ready == 1, "the broker has it all the same"
    assert await flow.relay.publish([flow.store.tasks["t1"]]) == 1
    assert (await flow.broker.depth("orders")).ready == 2
    claims = [ClaimRequest("orders", TaskKey("t1", 1), f"c{number}", "r", NOW, NOW + SECOND) for number in range(2)]
    assert [found is not None for found in await flow.store.claim(claims)] == [True, False]


async def test_a_task_that_ran_before_its_confirm_was_written_keeps_running() -> None:
    flow = Flow()

    class Eager(MemoryBroker):
        async def publish(self, topic: str, keys: Sequence[TaskKey]) -> Sequence[BaseException | None]:
            answers = await super().publish(topic, keys)
            (claimed,) = await flow.store.claim([ClaimRequest("orders", keys[0], "c1", "r", NOW, NOW + LOCK)])
            assert claimed is not None
            return answers

    relay = Relay(flow.store, Eager(["orders"]), flow.clock, flow.notes, again_after=AGAIN, look_after=LOOK)
    assert await relay.publish(await flow.received(a_task())) == 1
    kept = flow.store.tasks["t1"]
    assert (kept.state, kept.claim_id, kept.next_at) == (State.RUNNING, "c1", NOW + LOCK)


async def test_a_failed_publish_does_not_disturb_who_claimed_meanwhile() -> None:
    flow = Flow()
    (task,) = await flow.received(a_task())
    await flow.store.claim([ClaimRequest("orders", TaskKey("t1", 1), "c1", "r", NOW, NOW + LOCK)])
    flow.broker.fail_next("publish", BrokerUnavailable("cut"))
    assert await flow.relay.publish([task]) == 0
    assert flow.store.tasks["t1"].next_at == NOW + LOCK


async def test_a_new_lease_is_not_confirmed_by_the_message_of_the_old() -> None:
    flow = Flow()
    (task,) = await flow.received(a_task())
    await flow.store.accept([a_task(worker_id="w2")])
    assert await flow.relay.publish([task]) == 1
    kept = flow.store.tasks["t1"]
    assert (kept.state, kept.epoch) == (State.RECEIVED, 2)


async def test_a_store_that_is_away_after_the_publish_leaves_the_task_due() -> None:
    flow = Flow()
    (task,) = await flow.received(a_task())
    flow.store.away = {"confirm"}
    with pytest.raises(StoreUnavailable):
        await flow.relay.publish([task])
    assert flow.store.refused == ["confirm"]
    assert [key.id for _, key in flow.broker.published] == ["t1"]
    assert [due.id for due in (await flow.store.due(State.RECEIVED, NOW + LOCK, 10)).tasks] == ["t1"]
    assert flow.relay.unconfirmed["orders"] == 0
    flow.store.away = set()
    assert await flow.relay.publish([task]) == 1


async def test_a_store_that_is_away_after_a_failed_publish_leaves_the_task_due() -> None:
    flow = Flow()
    (task,) = await flow.received(a_task())
    flow.store.away = {"move"}
    flow.broker.fail_next("publish", BrokerUnroutable("returned"))
    with pytest.raises(StoreUnavailable):
        await flow.relay.publish([task])
    assert flow.store.refused == ["move"]
    assert flow.states() == {"t1": State.RECEIVED}
    assert [due.id for due in (await flow.store.due(State.RECEIVED, NOW + LOCK, 10)).tasks] == ["t1"]


async def test_a_queued_task_is_looked_at_before_its_lease_ends() -> None:
    flow = Flow()
    tasks = await flow.received(a_task("a", lease_until=NOW + 30 * SECOND), a_task("b"))
    await flow.relay.publish(tasks)
    assert {task.next_at for task in flow.store.tasks.values()} == {NOW + 10 * SECOND}


async def test_a_queued_task_whose_lease_has_ended_is_looked_at_at_once() -> None:
    flow = Flow()
    tasks = await flow.received(a_task(lease_until=NOW - SECOND))
    await flow.relay.publish(tasks)
    assert flow.store.tasks["t1"].next_at == NOW
