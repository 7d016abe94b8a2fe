"""The shared clock, with every clock in the test's hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from bridge.adapters.mongo.clock import SharedClock
from bridge.domain.errors import StoreUnavailable

START = datetime(2026, 1, 1, tzinfo=UTC)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


@dataclass
class World:
    """A store and this machine: `elapsed` is real; the store is off by `store`, the local wall clock by `local`."""

    elapsed: float = 100.0
    store: timedelta = timedelta(0)
    local: timedelta = timedelta(0)
    trips: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.0)])
    failures: int = 0
    reads: int = 0
    differences: list[timedelta] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.elapsed

    def wall(self) -> datetime:
        return START + seconds(self.elapsed) + self.local

    def store_time(self) -> datetime:
        return START + seconds(self.elapsed) + self.store

    async def read(self) -> datetime:
        there, back = self.trips[self.reads % len(self.trips)]
        self.reads += 1
        if self.reads <= self.failures:
            raise StoreUnavailable("away")
        self.elapsed += there
        moment = self.store_time()
        self.elapsed += back
        return moment

    def clock(self, samples: int = 5) -> SharedClock:
        return SharedClock(
            self.read,
            samples=samples,
            on_difference=self.differences.append,
            monotonic=self.monotonic,
            wall=self.wall,
        )


def test_before_the_first_sync_the_local_clock_counts() -> None:
    world = World(store=seconds(50), local=seconds(1))
    clock = world.clock()
    assert clock.now() == world.wall()
    world.local -= seconds(10)
    assert clock.now() == world.wall() + seconds(10)


@pytest.mark.parametrize("wrong", [-3600.0, -1.5, 0.0, 1.5, 3600.0])
async def test_a_local_clock_that_is_wrong_does_no_harm(wrong: float) -> None:
    world = World(local=seconds(wrong))
    clock = world.clock()
    assert await clock.sync() == seconds(-wrong)
    assert clock.now() == world.store_time()
    world.elapsed += 1000
    world.local += seconds(500)
    assert clock.now() == world.store_time()
    assert world.differences == ([seconds(-wrong)] if abs(wrong) > 2 else [])


async def test_a_difference_is_told_once_until_it_changes() -> None:
    world = World(local=seconds(-60))
    clock = world.clock()
    for local in (-60, -61, -65, -1, -60):
        world.local = seconds(local)
        await clock.sync()
    assert world.differences == [seconds(60), seconds(65), seconds(60)]


async def test_the_sample_with_the_shortest_trip_counts() -> None:
    world = World(store=seconds(7), trips=[(3.0, 0.1), (0.25, 0.25), (0.0, 0.9), (0.0, 4.0), (1.0, 0.0)])
    clock = world.clock()
    await clock.sync()
    assert world.reads == 5
    assert clock.now() == world.store_time()


async def test_what_the_round_trip_can_explain_is_not_corrected() -> None:
    world = World()
    clock = world.clock()
    await clock.sync()
    world.trips = [(0.0, 1.0)]
    await clock.sync()
    assert clock.now() == world.store_time()


async def test_time_never_runs_backwards_and_comes_back_to_the_store() -> None:
    world = World()
    clock = world.clock()
    await clock.sync()
    last = clock.now()
    world.store = seconds(-4)
    await clock.sync()
    for _ in range(8):
        assert clock.now() >= last
        last = clock.now()
        world.elapsed += 1
        assert clock.now() == last + seconds(0.5)
    assert clock.now() == world.store_time()
    world.elapsed += 10
    assert clock.now() == world.store_time()


async def test_time_that_passes_slowly_is_measured_again() -> None:
    world = World()
    clock = world.clock()
    await clock.sync()
    clock.now()
    world.store = seconds(-10)
    await clock.sync()
    world.elapsed += 4
    before = clock.now()
    await clock.sync()
    assert clock.now() == before
    world.store = seconds(0)
    await clock.sync()
    assert clock.now() == world.store_time()


async def test_a_local_clock_a_little_ahead_is_not_set_back() -> None:
    world = World(local=seconds(1.5))
    clock = world.clock()
    early = clock.now()
    await clock.sync()
    assert clock.now() == early
    world.elapsed += 3
    assert clock.now() == world.store_time()


async def test_a_local_clock_far_ahead_is_set_right_by_the_first_sync() -> None:
    world = World(local=seconds(3600))
    clock = world.clock()
    assert clock.now() == world.wall()
    await clock.sync()
    assert clock.now() == world.store_time()
    assert world.differences == [seconds(-3600)]


async def test_a_store_that_is_away_leaves_time_as_it_was() -> None:
    world = World(store=seconds(30))
    clock = world.clock()
    await clock.sync()
    world.failures = 1000
    with pytest.raises(StoreUnavailable):
        await clock.sync()
    world.elapsed += 5
    assert clock.now() == world.store_time()


async def test_samples_before_the_store_went_away_count() -> None:
    world = World(store=seconds(30))
    reads = world.read

    async def twice() -> datetime:
        if world.reads >= 2:
            raise StoreUnavailable("away")
        return await reads()

    clock = SharedClock(twice, monotonic=world.monotonic, wall=world.wall)
    assert await clock.sync() == seconds(30)
    assert clock.now() == world.store_time()


async def test_no_samples_are_no_measure() -> None:
    with pytest.raises(ValueError, match="samples"):
        await World().clock(samples=0).sync()


async def test_time_is_told_in_whole_milliseconds_and_is_never_ahead() -> None:
    world = World(elapsed=100.0004)
    clock = world.clock()
    await clock.sync()
    told = []
    for _ in range(40):
        now = clock.now()
        assert now.microsecond % 1000 == 0
        assert seconds(0) <= world.store_time() - now < seconds(0.001)
        told.append(now)
        world.elapsed += 0.00025
    assert len(set(told)) == 11
