"""Calls to an engine as its tests make them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from bridge.domain.variables import encode
from bridge.ports.engine import Engine, EngineTask, TopicPoll
from tests.contract.engines import EngineLab

MINUTE = timedelta(minutes=1)
NOW = timedelta(0)


async def fetch(
    lab: EngineLab, topic: str, worker: str = "w1", most: int = 10, wait: timedelta = NOW, **poll: Any
) -> list[EngineTask]:
    return list(await lab.engine.fetch_and_lock(worker, most, [TopicPoll(topic, MINUTE, **poll)], wait))


async def fail(engine: Engine, task_id: str, worker: str, retries: int, after: timedelta = NOW) -> None:
    await engine.fail(task_id, worker, message="no", details="line 1", retries=retries, retry_timeout=after)


async def throw(engine: Engine, task_id: str, worker: str, code: str = "refused") -> None:
    await engine.raise_bpmn_error(task_id, worker, code=code, message="no", variables=encode({"reason": "stock"}))
