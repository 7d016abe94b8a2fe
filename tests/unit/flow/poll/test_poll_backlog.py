"""A topic with a backlog is asked rarely and for much, and what that brings is kept in parts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bridge.domain.task import Task
from bridge.flow.poll.credit import Bounds
from bridge.flow.poll.fetch_size import FIRST, SLOW
from bridge.flow.poll.poll import PollConfig
from tests.unit.flow.poll.poll_rig import HOUR, LOOK, NONE, PollRig


async def test_a_topic_with_a_backlog_is_asked_again_when_half_of_its_limit_is_free() -> None:
    rig = PollRig({"a": 10}, config=PollConfig(NONE, 100, min_interval=NONE))
    rig.add("a", 100)
    assert [call.size for _ in range(2) for call in await rig.round()] == [10, 10], "all of its limit"
    for _ in range(9):
        await rig.consume("a", 1)
        rig.clock.advance(LOOK)
        assert await rig.round() == []
    await rig.consume("a", 1)
    rig.clock.advance(LOOK)
    (call,) = await rig.round()
    assert (call.topics, call.size) == (["a"], 10)


async def test_with_a_nudge_any_room_will_do() -> None:
    rig = PollRig({"a": 10}, config=PollConfig(NONE, 100, min_interval=NONE))
    rig.add("a", 100)
    for _ in range(2):
        await rig.round()
    await rig.consume("a", 1)
    rig.clock.advance(LOOK)
    rig.poll.nudge(["a"])
    (call,) = await rig.round()
    assert call.size == 1


def _slow_rig() -> PollRig:
    """Return a poll of a topic with a long backlog, whose engine takes long for each call, whatever it brings."""
    rig = PollRig(
        {"hot": 1000}, config=PollConfig(NONE, 400, min_interval=NONE), bounds=Bounds(2000, 5000, replica_life=HOUR)
    )
    rig.engine.takes = lambda size: rig.clock.advance(6 * SLOW)
    rig.add("hot", 1200)
    return rig


async def test_an_engine_that_takes_long_for_each_call_is_asked_for_more_at_a_time() -> None:
    rig = _slow_rig()
    sizes = [call.size for _ in range(5) for call in await rig.round()]
    assert sizes == [FIRST, FIRST, 2 * FIRST, 400, 400]


async def test_what_a_large_call_brings_is_kept_in_parts_and_each_takes_its_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = _slow_rig()
    for _ in range(3):
        await rig.round()
    stored: list[int] = []
    accept = rig.store.accept

    async def once(tasks: Sequence[Task]) -> Sequence[Task | None]:
        stored.append(len(tasks))
        rig.store.away = {"accept"} if len(stored) == 2 else set()
        return await accept(tasks)

    monkeypatch.setattr(rig.store, "accept", once)
    before = rig.credit.snapshot()["hot"][1]
    (call,) = await rig.round()
    assert (call.size, stored) == (400, [FIRST, FIRST]), "what comes after a part that the store refused is not kept"
    assert rig.credit.snapshot()["hot"][1] == before + FIRST, "the others' room is given back"
