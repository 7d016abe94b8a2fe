"""Checks after an edit that the engine's next lease brings the saved variables; else the audit log says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from ulid import ULID

from bridge.domain.edits import missed_edits
from bridge.domain.records import AuditEntry
from bridge.domain.task import Task
from bridge.ports.clock import Clock
from bridge.ports.journal import Journal, Level

AUDITED_AS: Final = "task.edit_missed"
GATEWAY: Final = "gateway"


class EditCheck:
    """Compares the first lease after an edit with the edit; the task's page compares every later lease."""

    def __init__(
        self, *, audit: Callable[[AuditEntry], Awaitable[None]], clock: Clock, journal: Journal, replica: str
    ) -> None:
        self._audit = audit
        self._clock = clock
        self._journal = journal
        self._replica = replica

    async def check(self, tasks: Sequence[Task]) -> None:
        """Write an audit entry for each task that came back without its edit. Raises `StoreUnavailable`."""
        for task in tasks:
            if task.edit is None or task.epoch != task.edit.epoch + 1:
                continue
            missed = missed_edits(task)
            if missed:
                self._journal.write("edit_missed", task=task, level=Level.WARNING, variables=list(missed))
                await self._audit(self._entry(task, missed))

    def _entry(self, task: Task, missed: Sequence[str]) -> AuditEntry:
        return AuditEntry(
            str(ULID()),
            self._clock.now(),
            GATEWAY,
            GATEWAY,
            self._replica,
            AUDITED_AS,
            f"task:{task.id}",
            after={"variables": list(missed)},
            trace=task.trace,
        )
