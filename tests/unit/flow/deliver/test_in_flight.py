"""What deliveries that take long rest on: the queue, what is known of activities, and the places of calls."""

from __future__ import annotations

import asyncio

from bridge.adapters.camunda.call_slots import LONG_CALLS, CallSlots
from bridge.domain.task import Task
from bridge.flow.deliver.activity_times import ActivityTimes
from bridge.flow.deliver.queue import DeliveryQueue, Entry
from tests.unit.fakes import NOW, SECOND, a_task

SLOW = 30 * SECOND


def an_activity(name: str = "charge", task_id: str = "t1") -> Task:
    return a_task(task_id, process_definition_key="order", activity_id=name)


def test_the_longest_delivery_of_an_activity_counts() -> None:
    times = ActivityTimes(SLOW)
    assert not times.learn(an_activity(), SECOND)
    assert times.longest(an_activity()) is None
    assert times.learn(an_activity(), 40 * SECOND), "the first"
    assert not times.learn(an_activity(), 70 * SECOND)
    assert not times.learn(an_activity(), 35 * SECOND)
    assert times.longest(an_activity()) == 70 * SECOND
    assert times.longest(an_activity("ship")) is None


def test_an_activity_whose_model_was_mended_is_quick_again() -> None:
    times = ActivityTimes(SLOW)
    times.learn(an_activity(), 40 * SECOND)
    for _ in range(19):
        times.learn(an_activity(), SECOND)
    assert times.longest(an_activity()) is not None
    times.learn(an_activity(), 40 * SECOND)
    for _ in range(20):
        times.learn(an_activity(), SECOND)
    assert times.longest(an_activity()) is None


def test_what_is_remembered_of_activities_is_bounded() -> None:
    times = ActivityTimes(SLOW)
    for number in range(1500):
        times.learn(an_activity(str(number)), SLOW)
    known = [number for number in range(1500) if times.longest(an_activity(str(number)))]
    assert known == list(range(500, 1500))


class QueueRig:
    def __init__(self, quick: int = 2, slow: int = 2) -> None:
        self.slow: set[str] = set()
        self.queue = DeliveryQueue(quick, slow, lambda task: task.id in self.slow)

    def put(self, *ids: str) -> None:
        for task_id in ids:
            self.queue.put(an_activity(task_id=task_id), NOW)

    def begin(self) -> list[Entry]:
        begun = []
        while (entry := self.queue.next()) is not None:
            begun.append(entry)
        return begun


def names(entries: list[Entry]) -> list[str]:
    return [entry.task.id for entry in entries]


def test_one_that_outlasts_gives_its_place_to_the_next() -> None:
    rig = QueueRig(quick=1)
    rig.put("a", "b", "c")
    (first,) = rig.begin()
    assert rig.queue.quick == 3
    rig.queue.outlast(first)
    assert rig.queue.quick == 2
    (second,) = rig.begin()
    rig.queue.end(first)
    assert rig.begin() == []
    rig.queue.end(second)
    assert names(rig.begin()) == ["c"]


def test_where_too_many_outlast_the_next_keep_their_places() -> None:
    rig = QueueRig(quick=1, slow=1)
    rig.put("a", "b", "c")
    (first,) = rig.begin()
    rig.queue.outlast(first)
    (second,) = rig.begin()
    rig.queue.outlast(second)
    assert rig.begin() == []
    rig.queue.end(second)
    assert names(rig.begin()) == ["c"]
    assert rig.queue.quick == 1


def test_what_turns_out_slow_while_it_waits_takes_no_place_of_the_others() -> None:
    rig = QueueRig(quick=1, slow=1)
    rig.put("a", "b", "c", "d")
    (first,) = rig.begin()
    rig.slow = {"b", "c"}
    rig.queue.end(first)
    assert sorted(names(rig.begin())) == ["b", "d"]
    assert rig.queue.quick == 1


async def test_a_long_call_gives_its_place_away_and_ends_without_it() -> None:
    slots, go = CallSlots(1), asyncio.Event()

    async def long() -> None:
        async with slots.slot(0.0):
            await go.wait()

    calls = [asyncio.create_task(long()) for _ in range(3)]
    await asyncio.wait(calls, timeout=0.1)
    async with asyncio.timeout(5), slots.slot(None):
        go.set()
        await asyncio.gather(*calls)
    async with asyncio.timeout(5), slots.slot(None):
        pass


async def test_so_many_long_calls_and_no_more_go_on_beside_the_others() -> None:
    slots, go, begun = CallSlots(1), asyncio.Event(), list[int]()

    async def long(number: int) -> None:
        async with slots.slot(0.0):
            begun.append(number)
            await go.wait()

    calls = [asyncio.create_task(long(number)) for number in range(LONG_CALLS + 5)]
    await asyncio.wait(calls, timeout=0.2)
    assert len(begun) == LONG_CALLS + 1
    go.set()
    await asyncio.gather(*calls)
    assert len(begun) == LONG_CALLS + 5
