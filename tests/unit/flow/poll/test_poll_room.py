"""Of the room for tasks: never more is locked than fits, and none of it is lost, whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.domain.errors import BrokerUnavailable, GatewayError
from bridge.flow.poll.poll import PollConfig
from tests.unit.fakes import SECOND
from tests.unit.flow.poll.poll_rig import AWAY, NONE, REFUSED, PollRig, is_full_again

TOPICS = ("a", "b", "c")
Fault = Literal["before", "after", "refused", "broken", "accept", "publish", "unlock", "list"]


@dataclass(frozen=True, slots=True)
class Step:
    """A turn: before it tasks of a tenant are created, messages taken, a topic nudged, and faults laid out."""

    added: dict[str, int] = field(default_factory=dict)
    begun: dict[str, int] = field(default_factory=dict)
    nudged: frozenset[str] = frozenset()
    faults: Sequence[Fault] = ()
    tenant: str | None = None


_counts = st.dictionaries(st.sampled_from(TOPICS), st.integers(1, 30), max_size=3)


def _steps(faults: st.SearchStrategy[list[Fault]]) -> st.SearchStrategy[list[Step]]:
    nudged = st.frozensets(st.sampled_from(TOPICS), max_size=2)
    tenants = st.sampled_from((None, "acme", "bolt", "cove"))
    return st.lists(st.builds(Step, _counts, _counts, nudged, faults, tenants), min_size=1, max_size=15)


_slots = st.fixed_dictionaries({topic: st.integers(0, 12) for topic in TOPICS})
_paces = st.builds(
    PollConfig,
    st.just(NONE),
    st.integers(1, 40),
    max_concurrent=st.integers(1, 4),
    waiting=st.integers(1, 3),
    min_interval=st.just(NONE),
)
_FAULTS: tuple[Fault, ...] = ("before", "after", "refused", "broken", "accept", "publish", "unlock", "list")
_any_faults = st.lists(st.sampled_from(_FAULTS), max_size=3)


def _lay_out(rig: PollRig, faults: Sequence[Fault]) -> None:
    rig.store.away = {"accept"} if "accept" in faults else set()
    for fault in faults:
        match fault:
            case "before" | "after":
                rig.engine.fail_next("fetch", AWAY, after=fault == "after")
            case "refused":
                rig.engine.fail_next("fetch", REFUSED)
            case "broken":
                rig.engine.fail_next("fetch", KeyError("surprise"))
            case "publish":
                rig.broker.fail_next("publish", BrokerUnavailable("no confirm"))
            case "unlock":
                rig.engine.fail_next("unlock", AWAY)
            case "list":
                rig.engine.fail_next("locked_by", AWAY)
            case "accept":
                pass


async def _take(rig: PollRig, step: Step) -> set[str]:
    """Take one step; return the tasks whose handlers began."""
    for topic, count in step.added.items():
        rig.add(topic, count, step.tenant)
    begun = {task_id for topic, count in step.begun.items() for task_id in await rig.consume(topic, count)}
    _lay_out(rig, step.faults)
    rig.poll.nudge(step.nudged)
    return begun


async def _turn(rig: PollRig) -> None:
    with suppress(GatewayError):
        await rig.round()
    await rig.settle()
    rig.clock.advance(timedelta(milliseconds=100))


async def _never_more_than_room(slots: dict[str, int], config: PollConfig, steps: list[Step]) -> None:
    rig = PollRig(slots, config=config)
    begun: set[str] = set()
    most = dict.fromkeys(TOPICS, 0)

    def look() -> None:
        for topic in TOPICS:
            most[topic] = max(most[topic], len(rig.engine.locked(topic) - begun))

    rig.engine.after_fetch = look
    for step in steps:
        begun |= await _take(rig, step)
        await _turn(rig)
        look()
        assert all(most[topic] <= 2 * slots[topic] for topic in TOPICS), most


@settings(max_examples=100, deadline=None)
@given(_slots, _paces, _steps(st.just([])))
def test_at_every_moment_no_more_is_locked_and_not_begun_than_there_is_room(
    slots: dict[str, int], config: PollConfig, steps: list[Step]
) -> None:
    asyncio.run(_never_more_than_room(slots, config, steps))


async def _leaks_nothing(slots: dict[str, int], config: PollConfig, steps: list[Step]) -> None:
    rig = PollRig(slots, config=config)
    for step in steps:
        await _take(rig, step)
        await _turn(rig)
    _lay_out(rig, ())
    for _ in range(6):  # what faults are left strike
        rig.clock.advance(2 * SECOND)
        await _turn(rig)
    assert await is_full_again(rig)


@settings(max_examples=100, deadline=None)
@given(_slots, _paces, _steps(_any_faults))
def test_no_room_is_lost_whatever_fails(slots: dict[str, int], config: PollConfig, steps: list[Step]) -> None:
    asyncio.run(_leaks_nothing(slots, config, steps))


async def _all_come_through(slots: dict[str, int], config: PollConfig, steps: list[Step]) -> None:
    rig = PollRig(slots, config=config)
    for step in steps:
        await _take(rig, step)
        await _turn(rig)
    _lay_out(rig, ())
    worked = {topic for topic in TOPICS if slots[topic]}
    wanted = sum(step.added.get(topic, 0) for step in steps for topic in worked)

    async def turns(most: int, until: Callable[[], bool], each: Callable[[], Awaitable[None]]) -> bool:
        for _ in range(most):
            if until():
                return True
            await each()
        return until()

    async def work() -> None:
        for topic in worked:
            await rig.consume(topic)
        rig.clock.advance(SECOND)
        await _turn(rig)

    assert await turns(600, lambda: len(rig.store.tasks) >= wanted, work), "some were never fetched"
    assert {task.topic for task in rig.store.tasks.values()} <= worked


@settings(max_examples=50, deadline=None)
@given(_slots, _paces, _steps(_any_faults))
def test_every_task_of_a_worked_topic_is_kept_in_the_end(
    slots: dict[str, int], config: PollConfig, steps: list[Step]
) -> None:
    asyncio.run(_all_come_through(slots, config, steps))
