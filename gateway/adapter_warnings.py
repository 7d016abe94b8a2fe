"""Warnings of adapters that go on with their work: each is a line of the log."""

from __future__ import annotations

from datetime import timedelta

from bridge.domain.errors import GatewayError
from bridge.domain.messages import Message
from bridge.ports.journal import Journal, Level


class AdapterWarnings:
    """Writes warnings to the journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def queue_failed(self, topic: str, error: GatewayError) -> None:
        """Tell that a topic's queue, or the dead letters', can't be used."""
        self._journal.write("queue_failed", level=Level.WARNING, topic=topic, error=str(error))

    def token_not_renewed(self, why: Message) -> None:
        """Tell that the token for the engine could not be renewed, while the one before is still good."""
        self._journal.write("engine_token_not_renewed", level=Level.WARNING, error=why)

    def string_limit_lowered(self, limit: int) -> None:
        """Tell that the engine's column for texts holds fewer characters than was set."""
        self._journal.write("string_limit_lowered", level=Level.WARNING, limit=limit, hint="set ENGINE_STRING_LIMIT")

    def clock_differs(self, difference: timedelta) -> None:
        """Tell that this machine's clock and the store's are apart."""
        self._journal.write(
            "clock_differs",
            level=Level.WARNING,
            seconds=difference.total_seconds(),
            hint="the store's clock is followed; set this machine's by NTP",
        )
