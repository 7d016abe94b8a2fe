"""There is room for what the consumers can work before the locks end, less what is locked; and for nothing in doubt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest

from bridge.adapters.memory.broker import MemoryBroker, MemoryConsumer
from bridge.adapters.memory.engine import MemoryEngine
from bridge.adapters.memory.store import MemoryStore
from bridge.domain.errors import BrokerUnavailable, StoreUnavailable
from bridge.domain.replica import Load, Replica
from bridge.domain.task import State, TaskKey
from bridge.flow.lease import Lease
from bridge.flow.poll.credit import Bounds, Credit
from bridge.ports.broker import Acknowledger, Depth
from bridge.registry import Registry
from tests.unit.fakes import LOCK, NOW, SECOND, HandClock, a_task
from tests.unit.flow.poll.poll_rig import a_topic, workers

BREATH = timedelta(milliseconds=100)


class RecordingBroker(MemoryBroker):
    """Remembers for which topics' depths it was asked; `meanwhile` happens before it answers."""

    def __init__(self, topics: Sequence[str]) -> None:
        super().__init__(topics)
        self.asked: list[list[str]] = []

    async def depths(self, topics: Sequence[str]) -> Mapping[str, Depth]:
        self.asked.append(list(topics))
        found = await super().depths(topics)
        self.meanwhile()
        return found

    def meanwhile(self) -> None:
        return None


class Rig:
    def __init__(self, *names: str, bounds: Bounds | None = None, lock: timedelta = LOCK) -> None:
        self.topics = Registry({name: a_topic(name) for name in names or ("a",)})
        self.clock = HandClock()
        self.store = MemoryStore()
        self.broker = RecordingBroker(self.topics.names)
        self.writes = True
        self.failing: set[str] = set()
        self.credit = Credit(
            publisher=self.broker,
            replicas=self.store,
            store=self.store,
            lease=Lease(MemoryEngine(self.clock), self.clock, self.topics, lock),
            topics=self.topics,
            clock=self.clock,
            bounds=bounds or Bounds(backlog=500, received=100),
            takes_writes=lambda: self.writes,
            failing=lambda topic: topic in self.failing,
        )

    def works(self, slots: int, seconds: float | None = None, name: str = "worker-1") -> None:
        """Let a replica be seen now that works all topics."""
        loads = {topic: Load(slots, seconds=seconds) for topic in self.topics}
        self.store.heartbeats[name] = Replica(name, "1.0", ("work",), NOW, self.clock.now(), loads)

    async def capacity(self, after: timedelta = timedelta(0)) -> int:
        self.clock.advance(after)
        return (await self.credit.capacities())["a"]

    async def publish(self, count: int) -> None:
        await self.broker.publish("a", [TaskKey(f"t{number}", 1) for number in range(count)])


# how much


async def test_a_topic_that_nobody_works_has_no_room() -> None:
    rig = Rig("a", "b")
    rig.store.heartbeats["worker-1"] = workers({"b": 2})
    assert await rig.credit.capacities() == {"a": 0, "b": 4}
    assert rig.broker.asked == [["b"]], "nor is its queue asked for"


@pytest.mark.parametrize(
    ("slots", "seconds", "capacity"),
    [
        (8, None, 16),  # nothing measured: two rounds
        (8, 2.0, 80),  # 4 a second for a third of a minute
        (8, 60.0, 16),  # slow: two rounds all the same, as the locks are renewed
        (8, 0.01, 500),  # fast: no more than the backlog's bound
        (400, None, 500),
    ],
)
async def test_there_is_room_for_what_can_be_worked_in_a_third_of_a_lock(
    slots: int, seconds: float | None, capacity: int
) -> None:
    rig = Rig()
    rig.works(slots, seconds)
    assert await rig.capacity() == capacity


async def test_a_longer_lock_leaves_more_time_to_work() -> None:
    rig = Rig(lock=2 * LOCK)
    rig.works(8, 2.0)
    assert await rig.capacity() == 160


async def test_what_is_locked_or_asked_for_is_taken_off() -> None:
    rig = Rig()
    rig.works(8)
    rig.credit.take("a", 10)
    assert await rig.capacity() == 6
    rig.credit.settle("a", 4, queued=0)
    assert await rig.capacity() == 10
    rig.credit.take("a", 100)
    assert await rig.capacity() == 0, "never less than nothing"


async def test_what_is_in_the_queue_is_taken_off() -> None:
    rig = Rig()
    rig.works(8)
    await rig.publish(5)
    assert await rig.capacity() == 11


async def test_what_handlers_have_begun_is_not() -> None:
    rig = Rig()
    rig.works(8)

    async def handle(_: str, _key: TaskKey, acknowledger: Acknowledger) -> None:
        await acknowledger.ack()

    consumer = MemoryConsumer(rig.broker, [a_topic("a", concurrency=3)])
    await consumer.start(handle)
    await rig.publish(5)
    assert await rig.capacity() == 14
    await consumer.close()


async def test_what_was_published_since_the_last_look_is_counted() -> None:
    rig = Rig()
    rig.works(8)
    assert await rig.capacity() == 16
    rig.credit.take("a", 5)
    await rig.publish(5)
    rig.credit.settle("a", 5, queued=5)
    assert await rig.capacity() == 11
    assert len(rig.broker.asked) == 1, "without a look"
    assert await rig.capacity(after=5 * SECOND) == 11, "and not twice after one"


async def test_what_is_published_while_a_look_is_on_its_way_is_counted_rather_twice() -> None:
    rig = Rig()
    rig.works(8)

    def publish() -> None:
        rig.credit.take("a", 3)
        rig.credit.settle("a", 3, queued=3)

    rig.broker.meanwhile = publish  # type: ignore[method-assign]
    assert await rig.capacity() == 13
    rig.broker.meanwhile = lambda: None  # type: ignore[method-assign]
    assert await rig.capacity(after=5 * SECOND) == 16


# when it is looked


async def test_where_there_is_plenty_a_look_holds_for_long_and_where_there_is_little_not() -> None:
    rig = Rig()
    rig.works(8)
    for after, looks in ((timedelta(0), 1), (SECOND, 1), (3 * SECOND, 1), (SECOND, 2)):
        await rig.capacity(after=after)
        assert len(rig.broker.asked) == looks
    rig.credit.take("a", 9)
    for after, looks in ((timedelta(0), 2), (BREATH / 2, 2), (BREATH / 2, 3), (BREATH, 4)):
        await rig.capacity(after=after)
        assert len(rig.broker.asked) == looks


async def test_only_the_topics_of_which_too_little_is_known_are_asked_for() -> None:
    rig = Rig("a", "b")
    rig.works(8)
    await rig.credit.capacities()
    rig.credit.take("b", 12)
    await rig.capacity(after=SECOND)
    assert rig.broker.asked == [["a", "b"], ["b"]]


async def test_a_topic_without_a_queue_is_fetched_for_no_further_than_its_room() -> None:
    rig = Rig()
    rig.works(8)
    rig.broker._queues.clear()
    for _ in range(4):
        capacity = min(5, await rig.capacity(after=6 * SECOND))
        rig.works(8)
        rig.credit.take("a", capacity)
        rig.credit.settle("a", capacity, queued=capacity)
    assert await rig.capacity() == 0


# when there is none


async def test_past_the_bound_of_what_waits_for_the_broker_nothing_is_fetched() -> None:
    rig = Rig("a", "b", bounds=Bounds(backlog=500, received=4))
    rig.works(8)
    await rig.store.accept([a_task(f"{topic}{number}", topic) for number in range(2) for topic in ("a", "b")])
    assert await rig.credit.capacities() == {"a": 0, "b": 0}
    await rig.store.confirm([TaskKey("a0", 1)], NOW, NOW)
    assert rig.store.tasks["a0"].state is State.QUEUED
    assert await rig.capacity() == 0, "they are counted once a second"
    assert await rig.capacity(after=SECOND) == 16


async def test_what_waits_for_the_broker_by_one_queues_fault_holds_up_no_other_topic() -> None:
    rig = Rig("a", "b", "c", bounds=Bounds(backlog=500, received=10))
    rig.works(8)
    await rig.store.accept([a_task(f"a{number}", "a") for number in range(9)])
    await rig.store.accept([a_task("b0", "b")])
    assert await rig.credit.capacities() == {"a": 0, "b": 16, "c": 16}


async def test_a_topic_of_which_the_broker_takes_nothing_is_not_fetched() -> None:
    rig = Rig("a", "b")
    rig.works(8)
    rig.failing = {"a"}
    assert await rig.credit.capacities() == {"a": 0, "b": 16}
    assert rig.broker.asked == [["b"]]
    rig.failing = set()
    assert await rig.credit.capacities() == {"a": 16, "b": 16}


async def test_while_the_store_takes_no_writes_nothing_is_fetched() -> None:
    rig = Rig("a", "b")
    rig.works(8)
    rig.writes = False
    assert await rig.credit.capacities() == {"a": 0, "b": 0}
    rig.writes = True
    assert await rig.capacity() == 16


async def test_a_replica_that_gives_no_sign_of_life_does_not_count() -> None:
    rig = Rig()
    rig.works(8)
    rig.works(4, name="worker-2")
    assert await rig.capacity() == 24
    rig.clock.advance(15 * SECOND)
    rig.works(8)
    assert await rig.capacity(after=SECOND) == 16
    assert await rig.capacity(after=16 * SECOND) == 0


async def test_a_replica_that_comes_is_seen_within_a_second() -> None:
    rig = Rig()
    assert await rig.capacity() == 0
    rig.works(2)
    assert await rig.capacity(after=SECOND) == 4


# when it can't be told


async def test_a_broker_that_does_not_answer_is_told_and_asked_again() -> None:
    rig = Rig()
    rig.works(8)
    rig.broker.fail_next("depth", BrokerUnavailable("away"))
    with pytest.raises(BrokerUnavailable):
        await rig.capacity()
    assert await rig.capacity() == 16


async def test_a_count_of_waiting_tasks_that_fails_is_repeated() -> None:
    rig = Rig()
    rig.works(8)
    waiting, errors = rig.store.waiting, [StoreUnavailable("away")]

    async def fails_once() -> int:
        if errors:
            raise errors.pop()
        return await waiting()

    rig.store.waiting = fails_once  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await rig.capacity()
    assert await rig.capacity() == 16
