"""A task that alone makes the engine's answer too large to be read becomes an incident, and holds up no other."""

from __future__ import annotations

from datetime import timedelta

from bridge.domain.errors import AnswerTooLarge
from bridge.ports.engine import Engine
from bridge.ports.journal import Journal, Level


async def refuse_oversized(engine: Engine, journal: Journal, worker_id: str, error: AnswerTooLarge) -> int:
    """Raise an incident for the task that a fetch of one task locked; return how many. Raises `EngineError`.

    Without the incident the task would be fetched again and again, as the first of its topic.
    """
    found = await engine.locked_by(worker_id)
    for task in found:
        await engine.fail(
            task.id,
            worker_id,
            message=str(error),
            details=type(error).__name__,
            retries=0,
            retry_timeout=timedelta(0),
        )
        journal.write("task_refused", level=Level.ERROR, task_id=task.id, topic=task.topic, error=str(error))
    return len(found)
