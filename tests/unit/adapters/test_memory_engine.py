"""The engine in memory: what it offers to tests beyond the port."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bridge.adapters.memory.engine import MemoryEngine, Report
from bridge.domain.errors import EngineUnavailable, TaskGone
from bridge.domain.task import Completion
from bridge.domain.variables import encode
from bridge.ports.engine import TopicPoll

MINUTE = timedelta(minutes=1)
POLL = [TopicPoll("a", MINUTE)]


class FixedClock:
    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine(FixedClock())


async def test_a_fault_strikes_once_and_before_the_effect(engine: MemoryEngine) -> None:
    task_id = engine.add("a")
    await engine.lock(task_id, "w1", MINUTE)
    engine.fail_next("complete", EngineUnavailable("down"))
    with pytest.raises(EngineUnavailable, match="down"):
        await engine.complete(task_id, "w1", {})
    assert engine.reports == []
    await engine.complete(task_id, "w1", encode({"x": 1}))
    assert engine.reports == [Report(task_id, "w1", Completion(encode({"x": 1})))]


async def test_a_fault_after_the_effect_is_a_lost_answer(engine: MemoryEngine) -> None:
    task_id = engine.add("a")
    engine.fail_next("fetch", EngineUnavailable("cut"), after=True)
    with pytest.raises(EngineUnavailable):
        await engine.fetch_and_lock("w1", 1, POLL, timedelta(0))
    assert (await engine.get(task_id)).worker_id == "w1"
    engine.fail_next("complete", EngineUnavailable("cut"), after=True)
    with pytest.raises(EngineUnavailable):
        await engine.complete(task_id, "w1", {})
    assert len(engine.reports) == 1
    with pytest.raises(TaskGone):
        await engine.complete(task_id, "w1", {})


async def test_incidents_are_the_tasks_without_retries(engine: MemoryEngine) -> None:
    task_id = engine.add("a")
    assert engine.incidents() == []
    await engine.lock(task_id, "w1", MINUTE)
    await engine.fail(task_id, "w1", message="no", details="", retries=0, retry_timeout=timedelta(0))
    assert [task.id for task in engine.incidents()] == [task_id]
    await engine.set_retries(task_id, 1)
    assert engine.incidents() == []
