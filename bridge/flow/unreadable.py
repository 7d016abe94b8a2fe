"""Logs each document that can't be read once, however often it is read."""

from __future__ import annotations

from typing import Final

from bridge.domain.redaction import mask_text
from bridge.domain.task import UnreadableTask
from bridge.ports.journal import Journal, Level

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
