"""An answer that is too large to be read: fewer are asked for, what it locked is released, and all is worked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import MethodType
from typing import Any

import pytest

from bridge.domain.errors import AnswerTooLarge, EngineUnavailable
from bridge.flow.poll.poll import PollConfig
from bridge.ports.engine import EngineTask, TopicPoll
from tests.unit.fakes import SECOND
from tests.unit.flow.poll.poll_rig import LOOK, NONE, PollRig, RecordingEngine

LIMIT = 100


def large_rig(slots: Mapping[str, int]) -> PollRig:
    """Return a poll of an engine of whose answers so many bytes are read; a task is as large as its priority."""
    rig = PollRig(slots, config=PollConfig(NONE, 100, min_interval=NONE))
    fetch = RecordingEngine.fetch_and_lock

    async def bounded(
        self: RecordingEngine, worker_id: str, most: int, topics: Sequence[TopicPoll], wait: timedelta
    ) -> Sequence[EngineTask]:
        found = await fetch(self, worker_id, most, topics, wait)
        if sum(task.priority for task in found) > LIMIT:
            raise AnswerTooLarge(f"more than {LIMIT} bytes")
        return found

    engine: Any = rig.engine
    engine.fetch_and_lock = MethodType(bounded, rig.engine)
    return rig


async def until_raised(rig: PollRig) -> None:
    """Take turns until a failure is raised."""
    for _ in range(5):
        await rig.round()


async def work(rig: PollRig, rounds: int = 60) -> None:
    for _ in range(rounds):
        await rig.round()
        for topic in rig.topics:
            await rig.consume(topic)
        rig.clock.advance(LOOK)


async def test_a_topic_s_fetches_get_smaller_until_they_can_be_read_and_all_is_worked() -> None:
    rig = large_rig({"large": 40})
    tasks = rig.add("large", 40, priority=30)
    await work(rig)
    assert {task.id for task in rig.kept("large")} == set(tasks)
    told: list[Any] = [line.values["tasks"] for line in rig.notes.of("answer_too_large")]
    assert told[:2] == sorted(told[:2], reverse=True)
    assert len(told) <= 6, "the size that can be read is kept for a while"
    assert rig.notes.of("orphaned_locks_released")
    assert rig.notes.of("loop_failed") == rig.notes.of("task_refused") == []


async def test_other_topics_are_worked_meanwhile_in_calls_of_their_own() -> None:
    rig = large_rig({"large": 20, "honest": 20})
    tasks = {"large": rig.add("large", 20, priority=30), "honest": rig.add("honest", 20, priority=1)}
    (call, *_) = await rig.round()
    assert sorted(call.topics) == ["honest", "large"]
    (line,) = rig.notes.of("answer_too_large")
    assert line.values["topics"] == 2
    assert [call.topics for call in await rig.round()] == [["honest"], ["large"]]
    await work(rig)
    for topic, ids in tasks.items():
        assert {task.id for task in rig.kept(topic)} == set(ids)


async def test_one_task_that_is_too_large_alone_is_an_incident_and_holds_up_no_other() -> None:
    rig = large_rig({"large": 20})
    (bad,) = rig.add("large", priority=LIMIT + 1)
    good = rig.add("large", 5, priority=1)
    await work(rig)
    assert [task.id for task in rig.engine.incidents()] == [bad]
    (line,) = rig.notes.of("task_refused")
    assert line.values["task_id"] == bad
    assert {task.id for task in rig.kept("large")} == set(good)


async def test_where_the_engine_locked_nothing_the_loop_backs_off() -> None:
    """What stands before the engine sends without end: there is nothing less to ask for."""
    rig = PollRig({"a": 4}, config=PollConfig(NONE, 1, min_interval=NONE))
    rig.engine.fail_next("fetch", AnswerTooLarge("larger than 1 byte"))
    with pytest.raises(AnswerTooLarge):
        await until_raised(rig)
    assert rig.engine.incidents() == []


async def test_what_can_not_be_refused_now_is_released() -> None:
    rig = large_rig({"large": 1})
    (bad,) = rig.add("large", priority=LIMIT + 1)
    rig.engine.fail_next("locked_by", EngineUnavailable("away"))
    with pytest.raises(EngineUnavailable, match="away"):
        await until_raised(rig)
    assert rig.engine.locked("large") == {bad}
    rig.clock.advance(SECOND)
    await rig.round()
    await rig.settle()
    assert rig.notes.of("orphaned_locks_released")
