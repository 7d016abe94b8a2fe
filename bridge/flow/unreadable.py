"""Documents that can't be read: each is logged once, however often it is read, and set aside."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from bridge.domain.errors import TaskUnreadable
from bridge.domain.redaction import mask_text
from bridge.domain.task import UNREADABLE_LOOK, Task, UnreadableTask
from bridge.ports.journal import Journal, Level
from bridge.ports.store import TaskStore

_MOST: Final = 10_000
"""How many documents are remembered: after so many others a document is logged again."""


class UnreadableLog:
    """Called with each unreadable document."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._reported: dict[tuple[str, str], None] = {}

    def __call__(self, found: UnreadableTask) -> None:
        key = (found.id, found.reason)
        if key in self._reported:
            return
        self._reported[key] = None
        if len(self._reported) > _MOST:
            del self._reported[next(iter(self._reported))]
        self._journal.write(
            "task_unreadable",
            level=Level.ERROR,
            task_id=found.id,
            topic=found.topic,
            state=found.stored_state,
            reason=mask_text(found.reason),
        )


async def read_or_set_aside(store: TaskStore, task_id: str, now: datetime) -> Task | None:
    """Return the whole task. None where none is kept, and where its payload can't be read: then it is set aside."""
    try:
        return await store.get(task_id)
    except TaskUnreadable as error:
        await store.set_aside([error.found], now + UNREADABLE_LOOK)
        return None
