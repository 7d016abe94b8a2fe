"""What is asked for at intervals: queues, counts, the oldest that waits, and the loop's own lag."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bridge.adapters.memory.dashboard import MemoryDashboardStore
from bridge.adapters.memory.store import MemoryStore
from bridge.domain.errors import BrokerUnavailable, StoreUnavailable
from bridge.domain.messages import Message
from bridge.domain.records import Pause
from bridge.domain.task import State, TaskKey
from bridge.operations.queue_depths import COUNTED, Measure
from bridge.ports.broker import Depth
from bridge.runtime.lag import Lag
from tests.unit.fakes import HandClock


@dataclass
class Broker:
    away: bool = False

    async def publish(self, topic: str, keys: Sequence[TaskKey]) -> Sequence[BaseException | None]:
        raise AssertionError("a measure publishes nothing")

    async def depth(self, topic: str) -> Depth:
        raise AssertionError("all at once")

    async def depths(self, topics: Sequence[str]) -> Mapping[str, Depth]:
        if self.away:
            raise BrokerUnavailable("away")
        return {topic: Depth(3, 1) for topic in topics}

    def faults(self) -> Mapping[str, Message]:
        raise AssertionError("depths alone")


@dataclass
class Counts:
    counts: dict[State, int] = field(default_factory=dict)
    oldest_of: dict[State, datetime] = field(default_factory=dict)
    incidents_of: dict[str, int] = field(default_factory=dict)
    away: bool = False

    async def count_of(self, state: State) -> int:
        if self.away:
            raise StoreUnavailable("away")
        return self.counts.get(state, 0)

    async def oldest(self, state: State) -> datetime | None:
        return self.oldest_of.get(state)

    async def incidents(self, topics: Sequence[str]) -> Mapping[str, int]:
        return {topic: count for topic, count in self.incidents_of.items() if topic in topics}


def pauses() -> MemoryDashboardStore:
    return MemoryDashboardStore(MemoryStore())


async def test_all_that_is_asked_for_is_found() -> None:
    clock, counts = HandClock(), Counts()
    counts.counts = {State.QUEUED: 2, State.RECEIVED: 1, State.FAILED: 7}
    counts.oldest_of = {State.QUEUED: clock.now(), State.RECEIVED: clock.now() + timedelta(seconds=20)}
    measure = Measure(Broker(), counts, pauses(), ["orders"], clock=clock)
    clock.advance(timedelta(seconds=30))
    await measure.run_once()
    assert measure.sample.depths == {"orders": Depth(3, 1)}
    assert measure.sample.counts == {**dict.fromkeys(COUNTED, 0), **counts.counts}
    assert measure.sample.oldest_waiting == 30


async def test_nothing_waits() -> None:
    measure = Measure(Broker(), Counts(), pauses(), ["orders"], clock=HandClock())
    await measure.run_once()
    assert measure.sample.oldest_waiting == 0


async def test_incidents_stand_by_topic_until_they_are_gone() -> None:
    clock, counts = HandClock(), Counts({State.FAILED: 3}, incidents_of={"mail": 2, "another": 1})
    measure = Measure(Broker(), counts, pauses(), ["orders", "mail"], clock=clock)
    await measure.run_once()
    assert measure.sample.incidents == {"orders": 0, "mail": 2}
    counts.counts = {}
    await measure.run_once()
    assert measure.sample.incidents == {"orders": 0, "mail": 0}


async def test_a_pause_is_told_of_by_how_long_it_lasts() -> None:
    clock, paused = HandClock(), pauses()
    measure = Measure(Broker(), Counts(), paused, ["orders"], clock=clock)
    await paused.pause(Pause("orders", "ana", "maintenance", clock.now()))
    clock.advance(timedelta(hours=30))
    await measure.run_once()
    assert measure.sample.paused == {"orders": 108_000.0}
    await paused.resume("orders")
    await measure.run_once()
    assert measure.sample.paused == {}


async def test_who_is_away_leaves_a_gap_and_fails_nothing() -> None:
    clock = HandClock()
    broker, counts = Broker(away=True), Counts()
    measure = Measure(broker, counts, pauses(), ["orders"], clock=clock)
    await measure.run_once()
    assert (measure.sample.depths, measure.sample.oldest_waiting) == (None, 0)
    broker.away, counts.away = False, True
    await measure.run_once()
    assert measure.sample.depths == {"orders": Depth(3, 1)}
    assert (measure.sample.counts, measure.sample.oldest_waiting) == (None, None)
    assert (measure.sample.incidents, measure.sample.paused) == (None, None)


async def test_the_loop_measures_by_how_much_it_is_late() -> None:
    seen: list[tuple[float, float]] = []
    lag = Lag(lambda late, most: seen.append((late, most)))
    assert lag.recent == 0
    loop = asyncio.get_running_loop()

    def hold_up() -> None:
        """Hold up the loop past the moment at which the measure is due."""
        began = loop.time()
        while loop.time() - began < 0.3:
            pass

    measuring = asyncio.create_task(lag.run_once())
    loop.call_soon(hold_up)  # its turn is after that in which the measure begins
    await measuring
    assert seen == [(lag.recent, lag.recent)]
    assert lag.recent > 0
