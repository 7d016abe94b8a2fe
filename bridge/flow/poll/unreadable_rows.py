"""Rows of the engine's lists that can't be read: each is logged once, and its lock is released."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from bridge.domain.errors import EngineError
from bridge.domain.redaction import mask_text
from bridge.domain.unreadable_row import UnreadableRow
from bridge.flow.lease import unlock
from bridge.ports.engine import Engine
from bridge.ports.journal import Journal, Level

T = TypeVar("T")

_MOST: Final = 1_000
"""How many rows are remembered: after so many others a row is logged, and unlocked, again."""


class UnreadableRows:
    """Logs unreadable rows, and unlocks their tasks. `count` gets the operation of each.

    A lock is released once. The engine then offers the task again, to any worker; if the task comes here again its
    lock is left to lapse, so that the task isn't fetched again and again without a pause.
    """

    def __init__(self, journal: Journal, count: Callable[[str], None]) -> None:
        self._journal = journal
        self._count = count
        self._reported: dict[tuple[str | None, str], None] = {}
        self._released: dict[str, None] = {}
        self._locked: dict[str, None] = {}

    def observe(self, operation: str, row: UnreadableRow) -> None:
        """Record a row."""
        self._count(operation)
        if _is_new(self._reported, (row.id, row.reason)):
            self._journal.write(
                "row_unreadable",
                level=Level.ERROR,
                operation=operation,
                task_id=row.id,
                reason=mask_text(row.reason),
                locked=row.is_locked,
            )
        if row.is_locked and row.id is not None and len(self._locked) < _MOST and _is_new(self._released, row.id):
            self._locked[row.id] = None

    async def release(self, engine: Engine) -> None:
        """Unlock the tasks of unreadable rows; a lock that can't be released lapses by itself."""
        while self._locked:
            task_id = next(iter(self._locked))
            del self._locked[task_id]
            try:
                await unlock(engine, task_id)
            except EngineError as error:
                self._journal.write("row_left_locked", level=Level.WARNING, task_id=task_id, error=str(error))


def _is_new(known: dict[T, None], one: T) -> bool:
    if one in known:
        return False
    known[one] = None
    if len(known) > _MOST:
        del known[next(iter(known))]
    return True
