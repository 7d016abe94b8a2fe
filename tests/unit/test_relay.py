"""What is RECEIVED gets onto the broker, however often a publish fails, and nothing leaves the outbox unconfirmed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from bridge.adapters.memory_broker import MemoryBroker
from bridge.errors import BrokerUnavailable, BrokerUnroutable, StoreError, StoreUnavailable
from bridge.flow.relay import Relay
from bridge.lifecycle import Event, Move
from bridge.ports import Claim, Level
from bridge.task import State, Task, TaskKey
from tests.unit.fakes import LOCK, NOW, SECOND, HandClock, Notes, UnreliableStore, a_task

AGAIN = 5 * SECOND
LOOK = 20 * SECOND


class Flow:
    def __init__(self) -> None:
        self.store = UnreliableStore()
        self.broker = MemoryBroker(["orders", "mail"])
        self.clock = HandClock()
        self.notes = Notes()
        self.relay = Relay(self.store, self.broker, self.clock, self.notes, again_after=AGAIN, look_after=LOOK)

    async def received(self, *tasks: Task) -> Sequence[Task]:
        await self.store.accept(tasks)
        return tasks

    def states(self) -> dict[str, State]:
        return {task.id: task.state for task in self.store.tasks.values()}


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
    (due,) = await flow.store.due(NOW + AGAIN, 10)
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
    claims = [Claim(TaskKey("t1", 1), f"c{number}", "r", NOW, NOW + SECOND) for number in range(2)]
    assert [found is not None for found in await flow.store.claim(claims)] == [True, False]


async def test_a_task_that_ran_before_its_confirm_was_written_keeps_running() -> None:
    flow = Flow()

    class Eager(MemoryBroker):
        async def publish(self, topic: str, keys: Sequence[TaskKey]) -> Sequence[BaseException | None]:
            answers = await super().publish(topic, keys)
            (claimed,) = await flow.store.claim([Claim(keys[0], "c1", "r", NOW, NOW + LOCK)])
            assert claimed is not None
            return answers

    relay = Relay(flow.store, Eager(["orders"]), flow.clock, flow.notes, again_after=AGAIN, look_after=LOOK)
    assert await relay.publish(await flow.received(a_task())) == 1
    kept = flow.store.tasks["t1"]
    assert (kept.state, kept.claim_id, kept.next_at) == (State.RUNNING, "c1", NOW + LOCK)


async def test_a_failed_publish_does_not_disturb_who_claimed_meanwhile() -> None:
    flow = Flow()
    (task,) = await flow.received(a_task())
    await flow.store.claim([Claim(TaskKey("t1", 1), "c1", "r", NOW, NOW + LOCK)])
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
    assert [due.id for due in await flow.store.due(NOW + LOCK, 10)] == ["t1"]
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
    assert [due.id for due in await flow.store.due(NOW + LOCK, 10)] == ["t1"]


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


async def test_what_is_on_its_way_is_counted_by_topic() -> None:
    flow = Flow()
    seen: list[dict[str, int]] = []
    arrived, release = asyncio.Event(), asyncio.Event()

    class Slow(MemoryBroker):
        async def publish(self, topic: str, keys: Sequence[TaskKey]) -> Sequence[BaseException | None]:
            seen.append(dict(relay.unconfirmed))
            arrived.set()
            await release.wait()
            return await super().publish(topic, keys)

    relay = Relay(flow.store, Slow(["orders"]), flow.clock, flow.notes, again_after=AGAIN, look_after=LOOK)
    publishing = asyncio.create_task(relay.publish(await flow.received(a_task("a"), a_task("b"))))
    await arrived.wait()
    assert seen == [{"orders": 2}]
    release.set()
    assert await publishing == 2
    assert relay.unconfirmed["orders"] == 0


async def test_a_topic_does_not_wait_for_the_messages_of_another() -> None:
    flow = Flow()
    release, through = asyncio.Event(), asyncio.Event()

    class Held(MemoryBroker):
        async def publish(self, topic: str, keys: Sequence[TaskKey]) -> Sequence[BaseException | None]:
            if topic == "orders":
                await release.wait()
            ends = await super().publish(topic, keys)
            through.set()
            return ends

    broker = Held(["orders", "mail"])
    relay = Relay(flow.store, broker, flow.clock, flow.notes, again_after=AGAIN, look_after=LOOK)
    publishing = asyncio.create_task(relay.publish(await flow.received(a_task("a"), a_task("b", "mail"))))
    async with asyncio.timeout(5):
        await through.wait()
    assert [key.id for _, key in broker.published] == ["b"]
    release.set()
    assert await publishing == 2


async def test_callers_at_once_share_a_batch_and_each_learns_of_its_own() -> None:
    flow = Flow()
    tasks = await flow.received(a_task("a"), a_task("b"), a_task("c"))
    flow.broker.fail_next("publish", BrokerUnavailable("cut"))
    first, second = await asyncio.gather(flow.relay.publish(tasks[:2]), flow.relay.publish(tasks[2:]))
    assert (first, second) == (1, 1)


def hold_delays(monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """Have each delay last until the second event is set; the first one says that there is one."""
    asked, over = asyncio.Event(), asyncio.Event()

    async def wait(seconds: float) -> None:
        if seconds > 0:
            asked.set()
            await over.wait()

    monkeypatch.setattr(asyncio, "sleep", wait)
    return asked, over


async def test_a_confirm_is_written_later_and_leaves_what_is_claimed_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    flow, (asked, over) = Flow(), hold_delays(monkeypatch)
    relay = Relay(
        flow.store, flow.broker, flow.clock, flow.notes, again_after=AGAIN, look_after=LOOK, delay=timedelta(hours=1)
    )
    publishing = asyncio.create_task(relay.publish(await flow.received(a_task("a"), a_task("b"))))
    await asked.wait()
    assert [key.id for _, key in flow.broker.published] == ["a", "b"]
    assert flow.states() == {"a": State.RECEIVED, "b": State.RECEIVED}
    assert relay.unconfirmed["orders"] == 0
    await flow.store.claim([Claim(TaskKey("a", 1), "c1", "r1", NOW, NOW + LOCK)])
    over.set()
    assert await publishing == 2
    assert flow.states() == {"a": State.RUNNING, "b": State.QUEUED}


@pytest.mark.parametrize("begun", [["a"], ["a", "b"]])
async def test_nothing_is_written_of_what_was_claimed_here(monkeypatch: pytest.MonkeyPatch, begun: list[str]) -> None:
    flow, (asked, over) = Flow(), hold_delays(monkeypatch)
    written: list[list[str]] = []

    async def confirm(keys: Sequence[TaskKey], now: datetime, next_at: datetime) -> None:
        written.append([key.id for key in keys])

    monkeypatch.setattr(flow.store, "confirm", confirm)
    relay = Relay(
        flow.store, flow.broker, flow.clock, flow.notes, again_after=AGAIN, look_after=LOOK, delay=timedelta(hours=1)
    )
    tasks = await flow.received(a_task("a"), a_task("b"))
    publishing = asyncio.create_task(relay.publish(tasks))
    await asked.wait()
    for task in tasks:
        if task.id in begun:
            relay.begun(task)
    over.set()
    assert await publishing == 2
    assert written == ([["b"]] if begun == ["a"] else [])
    # A message that goes out again is confirmed again: its task was given back meanwhile.
    assert await relay.publish(tasks) == 2
    assert written[-1] == ["a", "b"]


async def test_a_task_confirmed_twice_is_confirmed_once() -> None:
    flow = Flow()
    (task,) = await flow.received(a_task())
    await flow.relay.publish([task])
    await flow.store.move([Move("t1", Event.GONE, 1)])
    await flow.relay.publish([task])
    assert flow.states() == {"t1": State.CANCELLED}


async def test_what_is_put_is_published_beside_and_can_be_waited_for() -> None:
    flow = Flow()
    for task in await flow.received(a_task("a"), a_task("b", "mail")):
        flow.relay.put(task)
    assert flow.broker.published == []
    await flow.relay.drain()
    assert flow.states() == {"a": State.QUEUED, "b": State.QUEUED}


async def test_what_is_put_and_can_not_be_recorded_is_told_and_stays_due() -> None:
    flow = Flow()
    (task,) = await flow.received(a_task())
    flow.store.away = {"confirm"}
    flow.relay.put(task)
    await flow.relay.drain()
    assert flow.store.refused == ["confirm"]
    assert [line.task for line in flow.notes.of("publish_unrecorded")] == [task]
    assert [due.id for due in await flow.store.due(NOW + LOCK, 10)] == ["t1"]


class Stuck(MemoryBroker):
    """A broker that takes nothing of `orders` and says nothing, until `release` is set: then it refuses."""

    def __init__(self) -> None:
        super().__init__(["orders", "mail"])
        self.release = asyncio.Event()
        self.batches: list[int] = []

    async def publish(self, topic: str, keys: Sequence[TaskKey]) -> Sequence[BaseException | None]:
        if topic == "orders":
            self.batches.append(len(keys))
            await self.release.wait()
            return [BrokerUnavailable("queue gateway.orders: no confirm in time") for _ in keys]
        return await super().publish(topic, keys)


async def test_a_queue_that_takes_nothing_keeps_only_its_own_topic_waiting() -> None:
    flow, broker = Flow(), Stuck()
    relay = Relay(flow.store, broker, flow.clock, flow.notes, again_after=AGAIN, look_after=LOOK)
    sick = await flow.received(*(a_task(f"o{number}") for number in range(10)))
    stuck = [asyncio.create_task(relay.publish([task])) for task in sick]
    async with asyncio.timeout(5):
        for number in range(10):
            assert await relay.publish(await flow.received(a_task(f"m{number}", "mail"))) == 1
    assert {state for name, state in flow.states().items() if name.startswith("m")} == {State.QUEUED}
    assert broker.batches
    assert not any(task.done() for task in stuck)
    broker.release.set()
    assert set(await asyncio.gather(*stuck)) == {0}
    assert relay.is_failing("orders")
    assert not relay.is_failing("mail")


async def test_a_topic_fails_until_one_of_its_publishes_is_confirmed_or_it_is_time_to_try() -> None:
    flow = Flow()
    flow.broker.unbind("orders")
    tasks = await flow.received(a_task("a"))
    await flow.relay.publish(tasks)
    assert flow.relay.is_failing("orders")
    flow.clock.advance(2 * AGAIN)
    assert not flow.relay.is_failing("orders")
    await flow.relay.publish(tasks)
    assert flow.relay.is_failing("orders")
    flow.broker.bind("orders")
    await flow.relay.publish(tasks)
    assert not flow.relay.is_failing("orders")


async def test_a_flood_while_the_broker_is_silent_is_held_in_the_outbox_alone() -> None:
    flow, broker = Flow(), Stuck()
    relay = Relay(flow.store, broker, flow.clock, flow.notes, again_after=AGAIN, look_after=LOOK, put_limit=100)
    before = len(asyncio.all_tasks())
    most = 0
    for start in range(0, 20_000, 1_000):
        for task in await flow.received(*(a_task(f"o{number}") for number in range(start, start + 1_000))):
            relay.put(task)
        await asyncio.sleep(0)
        most = max(most, len(asyncio.all_tasks()) - before)
    assert most <= 100 + 2, "a hundred that wait, and the topic's two batches under way"
    assert sum(broker.batches) <= 100
    assert flow.states().keys() == {f"o{number}" for number in range(20_000)}
    assert set(flow.states().values()) == {State.RECEIVED}
    (line,) = flow.notes.of("publishes_postponed")
    assert line.values == {"topic": "orders", "waiting": 100}
    relay.put((await flow.received(a_task("m", "mail")))[0])
    broker.release.set()
    await relay.drain()
    assert flow.states()["m"] is State.QUEUED
    assert len(await flow.store.due(NOW + LOCK, 30_000)) == 20_001, "whatever was not sent is found when it is due"
    relay.put(flow.store.tasks["o19999"])
    await relay.drain()
    assert len(broker.batches) > 1, "there is room again"
