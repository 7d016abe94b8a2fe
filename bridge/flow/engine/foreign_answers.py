"""Answers that something else gives in the engine's place: a login page, a proxy, another service. Logged once."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from bridge.domain.errors import ForeignAnswer, PayloadRefused
from bridge.domain.messages import Message
from bridge.ports.journal import Journal, Level

Count = Callable[[str, int], None]


class ForeignAnswers:
    """Counts and logs foreign answers. `count` gets the operation and the HTTP status of each answer; a status is
    logged when it first comes, and again after it has not come for `quiet`."""

    def __init__(
        self,
        journal: Journal,
        count: Count,
        *,
        quiet: timedelta = timedelta(minutes=1),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._count = count
        self._quiet = quiet.total_seconds()
        self._monotonic = monotonic
        self._seen: dict[int, float] = {}
        self._latest: tuple[float, Message] | None = None

    @property
    def latest(self) -> Message | None:
        """The message of the latest foreign answer; None where that is longer ago than `quiet`.

        A payload that a proxy refuses is left out: it concerns one task, whose page shows it.
        """
        if self._latest is None or self._monotonic() - self._latest[0] > self._quiet:
            return None
        return self._latest[1]

    def observe(self, operation: str, error: ForeignAnswer) -> None:
        """Count a foreign answer, and log it if it is new."""
        now = self._monotonic()
        self._count(operation, error.status)
        if not isinstance(error, PayloadRefused):
            self._latest = (now, error.message)
        last = self._seen.get(error.status)
        self._seen[error.status] = now
        if last is None or now - last > self._quiet:
            self._journal.write(
                "foreign_answer", level=Level.WARNING, operation=operation, status=error.status, error=str(error)
            )
