"""Fetching is fair, never more than has room, and leaves no lock behind, whatever fails."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from bridge.flow.poll.fairness import ALL_AFTER
from bridge.flow.poll.poll import PollConfig
from bridge.ports.engine import TopicPoll
from tests.unit.fakes import LOCK, SECOND
from tests.unit.flow.poll.poll_rig import HOUR, NONE, Call, PollRig, a_topic

TEN = 10 * SECOND
HELD = PollConfig(TEN, 100, min_interval=NONE)


async def _held(rig: PollRig) -> asyncio.Task[None]:
    """Begin a turn and return it once the engine holds its call."""
    turn = asyncio.create_task(rig.poll.run_once())
    await rig.engine.next_call()
    return turn


async def _end(rig: PollRig, turn: asyncio.Task[None]) -> None:
    rig.engine.end_waits()
    await turn
    await rig.settle()


# one call for those that are quiet


async def test_quiet_topics_share_one_waiting_call() -> None:
    rig = PollRig({"a": 16, "b": 4, "c": 8}, config=HELD)
    turn = await _held(rig)
    (call,) = rig.engine.calls
    assert (call.topics, call.wait) == (["a", "b", "c"], TEN)
    assert call.size == 4, "half the room of the one that has the least"
    await _end(rig, turn)


async def test_a_turn_ends_as_soon_as_a_task_came() -> None:
    rig = PollRig({"a": 16, "b": 16}, config=HELD)
    turn = await _held(rig)
    (task_id,) = rig.add("b")
    async with asyncio.timeout(5):
        await turn
    await rig.settle()
    assert [task.id for task in rig.kept("b")] == [task_id]


async def test_the_request_has_each_topics_own_terms() -> None:
    terms: dict[str, Any] = {
        "process_definition_keys": ("p",),
        "tenant_ids": ("acme",),
        "local_variables": True,
        "include_extension_properties": True,
        "business_key": "b",
        "process_variables": {"country": "BR"},
        "process_definition_ids": ("p:1:1",),
        "process_definition_version_tag": "stable",
        "without_tenant_id": True,
    }
    rig = PollRig({"plain": 4, "own": 4}, topics=[a_topic("own", lock=90 * SECOND, variables=("x",), **terms)])
    rig.engine.add("own", tenant_id="other")
    (call,) = await rig.round()
    assert call.polls == (TopicPoll("own", 90 * SECOND, ("x", "traceparent"), **terms), TopicPoll("plain", LOCK))
    assert rig.kept("own") == []


async def test_every_call_has_a_worker_id_of_its_own_which_its_tasks_carry() -> None:
    rig = PollRig({"a": 4})
    for _ in range(5):
        rig.add("a")
        await rig.round()
    names = [call.worker_id for call in rig.engine.calls]
    assert len(set(names)) == 5
    assert all(name.startswith("bridge-r1-") for name in names)
    assert [task.worker_id for task in rig.kept("a")] == names


@pytest.mark.parametrize("lock", [1, 4, 12])
async def test_a_call_is_not_held_for_so_long_that_its_locks_would_be_over(lock: int) -> None:
    """A lock counts from the moment it was asked for: held for ten seconds, one of four would have ended on arrival."""
    rig = PollRig({"short": 4, "long": 4}, topics=[a_topic("short", lock=lock * SECOND)], config=HELD)
    turn = await _held(rig)
    (call,) = rig.engine.calls
    assert call.wait == lock * SECOND / 4
    rig.clock.advance(call.wait)
    (task_id,) = rig.add("short")
    await turn
    await rig.settle()
    assert [task.id for task in rig.kept("short")] == [task_id]
    assert rig.notes.of("leases_expired") == []


async def test_a_topic_without_room_is_not_asked() -> None:
    rig = PollRig({"a": 4, "nobody": 0})
    rig.add("nobody")
    (call,) = await rig.round()
    assert call.topics == ["a"]
    rig.poll.nudge(["nobody", "unheard of"])
    assert [call.topics for call in await rig.round()] == [["a"]]


async def test_a_topic_that_nobody_works_is_never_asked_for() -> None:
    rig = PollRig({"nobody": 0})
    assert await rig.round() == []


async def test_a_suspended_task_stays_until_it_is_activated() -> None:
    rig = PollRig({"a": 4})
    (task_id,) = rig.add("a")
    rig.engine.suspend(task_id)
    await rig.round()
    assert rig.kept("a") == []
    rig.engine.suspend(task_id, suspended=False)
    await rig.round()
    assert [task.id for task in rig.kept("a")] == [task_id]


# one by one when there is more than one call brings


async def test_a_hot_topic_does_not_starve_a_cold_one() -> None:
    rig = PollRig({"hot": 100, "cold": 100}, config=PollConfig(NONE, 20, min_interval=NONE))
    rig.add("hot", 60)
    (cold,) = rig.add("cold")
    (first,) = await rig.round()
    assert (first.topics, len(rig.kept("hot")), len(rig.kept("cold"))) == (["cold", "hot"], 20, 0), "it was starved"
    assert sorted(call.topics for call in await rig.round()) == [["cold"], ["hot"]]
    assert [task.id for task in rig.kept("cold")] == [cold]


async def test_busy_topics_are_asked_in_turn_for_as_long_as_they_fill_a_call() -> None:
    rig = PollRig({"a": 100, "b": 100, "c": 100}, config=PollConfig(NONE, 2, max_concurrent=1, min_interval=NONE))
    for topic, count in (("a", 100), ("b", 100), ("c", 3)):
        rig.add(topic, count)
    await rig.round()
    asked: list[list[str]] = []
    for _ in range(8):
        calls = await rig.round()
        assert all(call.wait == NONE for call in calls)
        asked += [call.topics for call in calls]
    # The third's second call is not full any more, and from then on it shares the waiting one.
    assert asked[:6] == [["a"], ["b"], ["c"], ["a"], ["b"], ["c"]]
    assert len(rig.kept("c")) == 3
    assert asked[6:] == [["a"], ["c"], ["b"], ["c"]]


async def test_a_topic_with_twice_the_weight_is_asked_for_twice_as_much() -> None:
    rig = PollRig(
        {"light": 100, "heavy": 100, "tiny": 100},
        topics=[a_topic("heavy", weight=20), a_topic("light", weight=10)],
        config=PollConfig(NONE, 10, min_interval=NONE),
    )
    for topic in ("light", "heavy", "tiny"):
        rig.add(topic, 60)
    await rig.round()
    sizes = {call.topics[0]: call.size for call in await rig.round()}
    assert sizes == {"heavy": 10, "light": 5, "tiny": 1}, "a share is never nothing"


async def test_no_more_calls_run_side_by_side_than_are_allowed() -> None:
    slots = dict.fromkeys("abcdef", 100)
    rig = PollRig(slots, config=PollConfig(NONE, 1, max_concurrent=2, min_interval=NONE))
    for name in slots:
        rig.add(name, 5)
    await rig.round()
    assert len(await rig.round()) == 2


# turns by tenant in a topic that has more than one call brings


def _whose(calls: list[Call]) -> list[tuple[str, ...] | None]:
    return [call.polls[0].tenant_ids for call in calls]


async def test_the_backlog_of_one_tenant_does_not_starve_another() -> None:
    rig = PollRig({"a": 100}, config=PollConfig(NONE, 10, min_interval=NONE))
    rig.add("a", 1, "small")
    rig.add("a", 1, "big")
    await rig.round()
    rig.add("a", 60, "big")
    ids = rig.add("a", 3, "small")
    fetched = [await rig.round() for _ in range(3)]
    assert _whose([call for calls in fetched for call in calls]) == [None, ("big",), ("small",)]
    assert set(ids) <= {task.id for task in rig.kept("a")}
    assert len(rig.kept("a")) < 62, "the backlog would have been first"


async def test_tenants_with_a_backlog_take_turns_by_calls() -> None:
    rig = PollRig({"a": 100}, config=PollConfig(NONE, 4, min_interval=NONE))
    for _ in range(20):
        for tenant in ("big", "bolt"):
            rig.add("a", 1, tenant)
    rig.add("a", 60, "big")
    calls = [call for _ in range(5) for call in await rig.round()]
    assert _whose(calls) == [None, ("big",), ("bolt",), ("big",), ("bolt",)]
    assert Counter(task.tenant_id for task in rig.kept("a")) == {"big": 10, "bolt": 10}


async def test_within_a_tenant_its_priorities_hold() -> None:
    rig = PollRig({"a": 100}, config=PollConfig(NONE, 4, min_interval=NONE))
    for tenant in ("big", "bolt"):
        rig.add("a", 2, tenant)
    await rig.round()
    rig.add("a", 20, "big")
    rig.add("a", 20, "bolt", priority=1)
    urgent = rig.add("a", 2, "big", priority=9)
    (call,) = await rig.round()
    assert _whose([call]) == [("big",)]
    assert set(urgent) <= {task.id for task in rig.kept("a")}


async def test_a_topic_that_names_its_tenants_knows_them_from_the_start_and_asks_for_no_other() -> None:
    rig = PollRig(
        {"a": 100}, topics=[a_topic("a", tenant_ids=("big", "small"))], config=PollConfig(NONE, 10, min_interval=NONE)
    )
    strange = rig.add("a", 5, "strange") + rig.add("a", 5)
    rig.add("a", 90, "big")
    ids = rig.add("a", 3, "small")
    calls = [call for _ in range(3) for call in await rig.round()]
    assert _whose(calls) == [("big", "small"), ("big",), ("small",)]
    assert set(ids) <= {task.id for task in rig.kept("a")}
    for _ in range(20):
        await rig.round()
    assert len(rig.kept("a")) == 93
    assert not set(strange) & {task.id for task in rig.kept("a")}


async def test_new_tenants_and_tasks_of_none_are_found_beside_the_turns() -> None:
    rig = PollRig({"a": 100}, config=PollConfig(NONE, 2, min_interval=NONE))
    for tenant in ("big", "bolt"):
        rig.add("a", 1, tenant)
    await rig.round()
    plain = rig.add("a", 1) + rig.add("a", 1, "new")
    for _ in range(30):
        rig.add("a", 1, "big")
        rig.add("a", 1, "bolt")
    for _ in range(2 * ALL_AFTER):
        await rig.round()
    assert set(plain) <= {task.id for task in rig.kept("a")}
    assert len(rig.kept("a")) < 64, "found in mid-backlog"


async def test_a_nudge_is_for_all_tenants_as_it_does_not_say_whose_task_is_ready() -> None:
    rig = PollRig({"a": 100}, config=PollConfig(NONE, 2, min_interval=NONE))
    for tenant in ("big", "bolt") * 10:
        rig.add("a", 1, tenant)
    await rig.round()
    rig.poll.nudge(["a"])
    assert _whose(await rig.round()) == [None]
    assert _whose(await rig.round()) == [("big",)]


# what the engine doesn't tell of


@pytest.mark.parametrize("slots", [1, 16])
async def test_a_nudged_topic_is_asked_at_once_though_the_engine_holds_a_call_of_it(slots: int) -> None:
    rig = PollRig({"a": slots, "b": slots}, config=HELD)
    task_id, *_ = rig.add("a")
    await rig.engine.lock(task_id, "gone", SECOND)
    turn = await _held(rig)
    rig.clock.advance(2 * SECOND)  # the lock ends, of which a held call learns nothing
    rig.poll.nudge(["a"])
    await turn
    again = await _held(rig)
    assert [(call.topics, call.wait) for call in rig.engine.calls] == [(["a", "b"], TEN), (["a"], NONE)]
    await _end(rig, again)
    assert [task.id for task in rig.kept("a")] == [task_id]


async def test_what_was_nudged_without_room_is_asked_when_there_is_some() -> None:
    rig = PollRig({"a": 0})
    rig.add("a")
    rig.poll.nudge(["a"])
    assert await rig.round() == []
    rig.store.heartbeats["worker-1"] = PollRig({"a": 4}).store.heartbeats["worker-1"]
    rig.clock.advance(SECOND)
    first, *_ = await rig.round()
    assert (first.topics, first.wait) == (["a"], NONE)


async def test_an_engine_that_holds_no_call_is_not_asked_without_rest() -> None:
    rig = PollRig({"a": 4}, config=PollConfig(NONE, 100, min_interval=HOUR))
    turn = await _held(rig)
    for _ in range(10):
        await asyncio.wait({turn}, timeout=0)
    assert (turn.done(), len(rig.engine.calls)) == (False, 1)
    turn.cancel()


# the end


async def test_the_end_waits_for_a_call_and_gives_back_what_it_brings() -> None:
    rig = PollRig({"a": 4}, config=HELD)
    turn = await _held(rig)
    ending = asyncio.create_task(rig.poll.stop())
    await turn
    assert not ending.done()
    (task_id,) = rig.add("a")
    async with asyncio.timeout(5):
        await ending
    assert rig.engine.cancelled == 0
    assert (rig.store.tasks, rig.engine.locked("a")) == ({}, set())
    assert (await rig.engine.get(task_id)).worker_id is None


async def test_the_end_waits_until_what_came_before_it_is_kept() -> None:
    rig = PollRig({"a": 4})
    (task_id,) = rig.add("a")
    await rig.poll.run_once()
    await rig.poll.stop()
    assert [task.id for task in rig.kept("a")] == [task_id]
    assert rig.engine.locked("a") == {task_id}


class SlowDepth(PollRig):
    """The question for capacities is answered when `answer` is set."""

    def __init__(self) -> None:
        super().__init__({"a": 4}, config=HELD)
        self.answer, self.questioned = asyncio.Event(), asyncio.Event()
        waiting = self.store.waiting

        async def slow() -> int:
            self.questioned.set()
            await self.answer.wait()
            return await waiting()

        self.store.waiting = slow  # type: ignore[method-assign]


async def test_no_call_begins_after_the_end_did() -> None:
    """The turn was asking for room when the end came: a call that it began then would be nobody's to wait for."""
    rig = SlowDepth()
    turn = asyncio.create_task(rig.poll.run_once())
    await rig.questioned.wait()
    await rig.poll.stop()
    rig.answer.set()
    async with asyncio.timeout(5):
        await turn
    assert rig.engine.calls == []
    assert await rig.round() == []
