"""The engine's own backlog: by topic, asked by one replica, and a gap where it is not known."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bridge.adapters.memory.dashboard import MemoryDashboardStore
from bridge.adapters.memory.engine import MemoryEngine
from bridge.adapters.memory.store import MemoryStore
from bridge.domain.errors import EngineRejected, EngineUnavailable, ForeignAnswer, StoreUnavailable
from bridge.operations.engine_backlog import (
    EVERY,
    MOST_TOPICS,
    OTHER,
    WHERE_REFUSED,
    EngineBacklog,
    TopicBacklog,
)
from bridge.ports.dashboard import Turn
from tests.unit.fakes import HandClock, Notes

SECOND = timedelta(seconds=1)


class SlowEngine(MemoryEngine):
    """An engine whose count takes its time."""

    def __init__(self, clock: HandClock, taking: timedelta) -> None:
        super().__init__(clock)
        self._hand = clock
        self._taking = taking

    async def count(self, topic: str | None = None, *, workable: bool = False) -> int:
        self._hand.advance(self._taking)
        return await super().count(topic, workable=workable)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def engine(clock: HandClock) -> MemoryEngine:
    return MemoryEngine(clock)


@pytest.fixture
def turns() -> MemoryDashboardStore:
    return MemoryDashboardStore(MemoryStore())


def of(engine: MemoryEngine, turns: MemoryDashboardStore, clock: HandClock, replica: str = "one") -> EngineBacklog:
    return EngineBacklog(engine, turns, ["orders", "mail"], clock=clock, journal=Notes(), replica=replica)


async def test_topics_that_nobody_here_works_are_told_of_too(
    engine: MemoryEngine, turns: MemoryDashboardStore, clock: HandClock
) -> None:
    engine.add("orders")
    clock.advance(20 * SECOND)
    engine.add("orders")
    engine.add("invoices")
    clock.advance(10 * SECOND)
    backlog = of(engine, turns, clock)
    assert backlog.topics is None
    await backlog.run_once()
    assert backlog.topics == {
        "orders": TopicBacklog(2, 30.0), "mail": TopicBacklog(0, 0.0), "invoices": TopicBacklog(1, 10.0)
    }  # fmt: skip


async def test_incidents_and_suspended_tasks_are_no_backlog(
    engine: MemoryEngine, turns: MemoryDashboardStore, clock: HandClock
) -> None:
    engine.add("orders", retries=0)
    engine.suspend(engine.add("mail"))
    backlog = of(engine, turns, clock)
    await backlog.run_once()
    assert backlog.topics == {"orders": TopicBacklog(0, 0.0), "mail": TopicBacklog(0, 0.0)}


async def test_one_replica_asks_until_it_is_gone(
    engine: MemoryEngine, turns: MemoryDashboardStore, clock: HandClock
) -> None:
    one, other = of(engine, turns, clock), of(engine, turns, clock, "other")
    for _ in range(3):
        await one.run_once()
        await other.run_once()
        assert (one.topics is None, other.topics is None) == (False, True)
        clock.advance(EVERY)
    await other.run_once()
    assert other.topics is None, "the turn of the replica that is gone is not over"
    clock.advance(EVERY)
    await other.run_once()
    await one.run_once()
    assert (one.topics is None, other.topics is None) == (True, False), "what the first knew is told of no more"


async def test_an_engine_that_is_away_leaves_a_gap_and_is_logged_once(
    engine: MemoryEngine, turns: MemoryDashboardStore, clock: HandClock
) -> None:
    notes = Notes()
    backlog = EngineBacklog(engine, turns, ["orders"], clock=clock, journal=notes, replica="one")
    await backlog.run_once()
    for _ in range(2):
        engine.fail_next("topic_names", EngineUnavailable("away"))
        clock.advance(EVERY)
        await backlog.run_once()
        assert backlog.topics is None
    assert [line.event for line in notes.lines] == ["engine_backlog_unknown"]
    clock.advance(EVERY)
    await backlog.run_once()
    assert backlog.topics == {"orders": TopicBacklog(0, 0.0)}


async def test_a_store_that_is_away_leaves_a_gap(
    engine: MemoryEngine, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = MemoryDashboardStore(MemoryStore())
    backlog = of(engine, turns, clock)
    await backlog.run_once()
    asked = []

    async def away(turn: Turn, *_: object) -> bool:
        asked.append(turn)
        raise StoreUnavailable("away")

    monkeypatch.setattr(turns, "take_turn", away)
    await backlog.run_once()
    assert (asked, backlog.topics) == ([Turn.ENGINE_BACKLOG], None)


async def test_an_engine_that_knows_no_order_by_creation_is_asked_for_it_once(
    engine: MemoryEngine, turns: MemoryDashboardStore, clock: HandClock
) -> None:
    engine.add("orders")
    engine.fail_next("oldest", EngineRejected("sortBy", status=400, code=None, kind="InvalidRequestException"))
    backlog = of(engine, turns, clock)
    for _ in range(2):
        await backlog.run_once()
        assert backlog.topics is not None
        assert backlog.topics["orders"] == TopicBacklog(1, None)


async def test_a_failure_of_the_engine_is_no_word_on_what_it_knows(
    engine: MemoryEngine, turns: MemoryDashboardStore, clock: HandClock
) -> None:
    engine.add("orders")
    engine.fail_next("oldest", EngineRejected("no", status=500, code=None, kind="ProcessEngineException"))
    backlog = of(engine, turns, clock)
    await backlog.run_once()
    assert backlog.topics is None
    await backlog.run_once()
    assert backlog.topics == {"orders": TopicBacklog(1, 0.0), "mail": TopicBacklog(0, 0.0)}


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (ForeignAnswer("a proxy lets no such path pass", status=403), WHERE_REFUSED),
        (EngineRejected("no such path", status=404, code=None, kind="NotFoundException"), WHERE_REFUSED),
        (ForeignAnswer("busy", status=429), EVERY),
        (ForeignAnswer("away", status=503), EVERY),
    ],
)
async def test_who_refuses_the_question_is_not_asked_again_and_again(
    engine: MemoryEngine, turns: MemoryDashboardStore, clock: HandClock, error: Exception, pause: timedelta
) -> None:
    engine.fail_next("topic_names", error)
    backlog = of(engine, turns, clock)
    await backlog.run_once()
    clock.advance(pause - SECOND)
    if pause > EVERY:
        await backlog.run_once()
        assert backlog.topics is None
    clock.advance(SECOND)
    await backlog.run_once()
    assert backlog.topics is not None


async def test_of_more_topics_than_can_be_asked_for_the_rest_is_one_number(
    engine: MemoryEngine, turns: MemoryDashboardStore, clock: HandClock
) -> None:
    for number in range(MOST_TOPICS + 5):
        engine.add(f"a{number:03}")
    engine.add("orders")
    backlog = of(engine, turns, clock)
    await backlog.run_once()
    assert backlog.topics is not None
    assert len(backlog.topics) == MOST_TOPICS + 2, "100 that have tasks, mail, and the others"
    assert backlog.topics["orders"].tasks == 1, "the gateway's own topics come first"
    assert backlog.topics[OTHER] == TopicBacklog(6, None)


async def test_a_slow_engine_is_asked_more_seldom(turns: MemoryDashboardStore, clock: HandClock) -> None:
    engine = SlowEngine(clock, taking=2 * SECOND)
    engine.add("orders")
    backlog, other = of(engine, turns, clock), of(engine, turns, clock, "other")
    await backlog.run_once()  # two seconds, so 40 from its beginning
    engine.add("orders")
    clock.advance(37 * SECOND)
    await backlog.run_once()
    await other.run_once()
    assert (backlog.topics is not None and backlog.topics["orders"].tasks, other.topics) == (1, None)
    clock.advance(SECOND)
    await backlog.run_once()
    assert backlog.topics is not None
    assert backlog.topics["orders"].tasks == 2
