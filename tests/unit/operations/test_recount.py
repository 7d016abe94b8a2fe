"""When tasks are counted, and by whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bridge.domain.errors import StoreUnavailable
from bridge.domain.task import State
from bridge.domain.task_counts import SETTLED, TaskCounts
from bridge.operations.task_counts import Recount
from bridge.ports.dashboard import Turn
from tests.unit.fakes import HandClock, Notes

SECOND = timedelta(seconds=1)


@dataclass
class Counters:
    clock: HandClock
    taking: timedelta = timedelta(0)
    is_ours: bool = True
    is_away: bool = False
    topics: tuple[str, ...] = ("a", "b")
    refreshed: list[datetime] = field(default_factory=list)
    recounted: list[tuple[str, State]] = field(default_factory=list)
    turns: list[datetime] = field(default_factory=list)

    async def task_counts(self) -> TaskCounts | None:
        return TaskCounts({topic: {} for topic in self.topics}, self.clock.now())

    async def take_turn(self, turn: Turn, replica: str, now: datetime, until: datetime) -> bool:
        assert turn is Turn.TASK_COUNTS
        if self.is_away:
            raise StoreUnavailable("away")
        self.turns.append(until)
        return self.is_ours

    async def refresh_counts(self, now: datetime) -> None:
        self.refreshed.append(now)
        self.clock.advance(self.taking)

    async def recount(self, topic: str, state: State, now: datetime) -> int:
        self.recounted.append((topic, state))
        return 0


async def run(recount: Recount, clock: HandClock, seconds: int) -> None:
    for _ in range(seconds):
        await recount.run_once()
        clock.advance(SECOND)


async def test_counts_are_refreshed_often_and_made_good_one_by_one() -> None:
    clock = HandClock()
    counters = Counters(clock)
    await run(Recount(counters, clock, Notes(), "r"), clock, 100)
    assert len(counters.refreshed) == 50
    # A round is each topic's settled states, and a round begins anew with the topics that there are then.
    first = [(topic, state) for topic in ("a", "b") for state in sorted(SETTLED)]
    assert counters.recounted[:8] == first
    assert counters.recounted[8:16] == first
    assert len(counters.recounted) == 17


async def test_a_slow_store_is_left_alone_for_a_hundred_times_as_long() -> None:
    clock = HandClock()
    counters = Counters(clock, taking=SECOND)
    await run(Recount(counters, clock, Notes(), "r"), clock, 301)
    assert len(counters.refreshed) == 4
    gaps = [later - earlier for earlier, later in zip(counters.refreshed, counters.refreshed[1:], strict=False)]
    assert all(gap >= 100 * SECOND for gap in gaps)
    # Its turn lasts until it comes back.
    assert counters.turns[1] >= counters.refreshed[1]


async def test_only_the_one_whose_turn_it_is_counts() -> None:
    clock = HandClock()
    counters = Counters(clock, is_ours=False)
    recount = Recount(counters, clock, Notes(), "r")
    await run(recount, clock, 10)
    assert (counters.refreshed, counters.recounted) == ([], [])
    counters.is_ours = True
    await run(recount, clock, 1)
    assert len(counters.refreshed) == 1


async def test_a_store_that_is_away_is_told_of_and_tried_again_later() -> None:
    clock, notes = HandClock(), Notes()
    counters = Counters(clock, is_away=True)
    recount = Recount(counters, clock, notes, "r")
    await run(recount, clock, 45)
    assert len(notes.of("tasks_not_counted")) == 2
    counters.is_away = False
    await run(recount, clock, 30)
    assert counters.refreshed
