"""A process tells the others what it can do, and forgets itself when it leaves in good order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from bridge.adapters.memory.store import MemoryStore
from bridge.domain.errors import StoreUnavailable
from bridge.domain.replica import Load, Replica
from bridge.flow.handle.claims import Claim, Claims
from bridge.operations.heartbeat import Heartbeat
from tests.unit.fakes import NOW, SECOND, HandClock, a_task

GAP = 5 * SECOND


class AwayStore(MemoryStore):
    """A store that takes no heartbeat while it is `away`."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.refused = 0
        self.slow: Callable[[], None] = lambda: None

    async def heartbeat(self, replica: Replica) -> None:
        self.slow()
        if self.away:
            self.refused += 1
            raise StoreUnavailable("heartbeat: the store is away")
        await super().heartbeat(replica)


class Rig:
    def __init__(self) -> None:
        self.clock = HandClock()
        self.store = AwayStore()
        self.claims = Claims({"orders": 4, "mail": 2})
        self.reporting = 0
        stand = Replica("r1", "1.0", ("intake", "work"), NOW, NOW)
        self.heartbeat = Heartbeat(self.store, self.clock, self.claims, stand, lambda: self.reporting, gap=GAP)

    def last(self) -> datetime | None:
        return self.heartbeat.at


async def test_a_beat_tells_what_can_be_done_and_is_being_done() -> None:
    rig = Rig()
    rig.claims.add(Claim(a_task(), "c1", NOW))
    rig.claims.measure("orders", 2.0)
    rig.reporting = 3
    rig.clock.advance(SECOND)
    await rig.heartbeat.run_once()
    (told,) = await rig.store.replicas(NOW)
    assert told == Replica(
        "r1", "1.0", ("intake", "work"), NOW, NOW + SECOND, {"orders": Load(4, 1, 2.0), "mail": Load(2)}, 3
    )


async def test_a_beat_replaces_the_last_one() -> None:
    rig = Rig()
    for _ in range(3):
        rig.clock.advance(SECOND)
        await rig.heartbeat.run_once()
    assert [told.seen_at for told in await rig.store.replicas(NOW)] == [NOW + 3 * SECOND]


async def test_only_a_beat_that_was_taken_proves_that_the_store_takes_writes() -> None:
    rig = Rig()
    assert rig.last() is None
    rig.store.away = True
    with pytest.raises(StoreUnavailable):
        await rig.heartbeat.run_once()
    assert (rig.last(), rig.store.refused) == (None, 1)
    rig.store.away = False
    await rig.heartbeat.run_once()
    rig.store.away = True
    rig.clock.advance(timedelta(minutes=1))
    with pytest.raises(StoreUnavailable):
        await rig.heartbeat.run_once()
    assert (rig.last(), rig.store.refused) == (NOW, 2)


async def test_who_leaves_is_counted_no_more() -> None:
    rig = Rig()
    await rig.heartbeat.run_once()
    await rig.heartbeat.leave()
    assert await rig.store.replicas(NOW) == []
    await rig.heartbeat.leave()


async def heartbeats(rig: Rig, times: int) -> None:
    for _ in range(times):
        rig.clock.advance(2 * SECOND)
        await rig.heartbeat.run_once()


async def test_the_store_is_in_reach_since_the_first_beat_that_it_took() -> None:
    rig = Rig()
    assert rig.heartbeat.in_reach_for() == timedelta(0)
    await heartbeats(rig, 11)
    assert rig.heartbeat.in_reach_for() == 20 * SECOND
    rig.clock.advance(GAP)
    assert rig.heartbeat.in_reach_for() == 20 * SECOND
    rig.clock.advance(SECOND)
    assert rig.heartbeat.in_reach_for() == timedelta(0), "nothing is known of it since"


async def test_after_an_outage_the_store_is_in_reach_anew() -> None:
    rig = Rig()
    await heartbeats(rig, 11)
    rig.store.away = True
    with pytest.raises(StoreUnavailable):
        await rig.heartbeat.run_once()
    assert (rig.store.refused, rig.heartbeat.in_reach_for()) == (1, timedelta(0))
    rig.store.away = False
    await heartbeats(rig, 2)
    assert rig.heartbeat.in_reach_for() == 2 * SECOND


async def test_a_beat_that_the_store_took_late_is_a_break_too() -> None:
    """A store that froze answers once it goes on, with no error: others could not renew meanwhile."""
    rig = Rig()
    await heartbeats(rig, 11)
    rig.store.slow = lambda: rig.clock.advance(GAP)
    await heartbeats(rig, 1)
    rig.store.slow = lambda: None
    assert rig.heartbeat.in_reach_for() == timedelta(0)
    await heartbeats(rig, 1)
    assert rig.heartbeat.in_reach_for() == 2 * SECOND
