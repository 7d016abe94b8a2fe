"""What is published and confirmed together: batches, and queues that keep only their own topic waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from bridge.adapters.memory.broker import MemoryBroker
from bridge.domain.errors import BrokerUnavailable
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import State, TaskKey
from bridge.flow.relay import Relay
from bridge.ports.store import ClaimRequest
from tests.unit.fakes import LOCK, NOW, a_task
from tests.unit.flow.relay_rig import AGAIN, LOOK, Flow


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
        flow.store, flow.broker, flow.clock, flow.notes, again_after=AGAIN, look_after=LOOK, linger=timedelta(hours=1)
    )
    publishing = asyncio.create_task(relay.publish(await flow.received(a_task("a"), a_task("b"))))
    await asked.wait()
    assert [key.id for _, key in flow.broker.published] == ["a", "b"]
    assert flow.states() == {"a": State.RECEIVED, "b": State.RECEIVED}
    assert relay.unconfirmed["orders"] == 0
    await flow.store.claim([ClaimRequest("orders", TaskKey("a", 1), "c1", "r1", NOW, NOW + LOCK)])
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
        flow.store, flow.broker, flow.clock, flow.notes, again_after=AGAIN, look_after=LOOK, linger=timedelta(hours=1)
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
    assert [line.task for line in flow.notes.of("publish_not_recorded")] == [task]
    assert [due.id for due in (await flow.store.due(State.RECEIVED, NOW + LOCK, 10)).tasks] == ["t1"]


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
    assert list(flow.relay.faults()) == ["orders"]
    assert "orders" in flow.relay.faults()["orders"]
    flow.clock.advance(2 * AGAIN)
    assert not flow.relay.is_failing("orders")
    assert flow.relay.faults() == {}
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
    due = [len((await flow.store.due(state, NOW + LOCK, 30_000)).tasks) for state in (State.RECEIVED, State.QUEUED)]
    assert sum(due) == 20_001, "whatever was not sent is found when it is due"
    relay.put(flow.store.tasks["o19999"])
    await relay.drain()
    assert len(broker.batches) > 1, "there is room again"
