"""What the broker gave up on, and where it is kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from bridge.domain.dead_letter import DeadLetter, DeadMessage

Examination = Callable[[DeadMessage], Awaitable[None]]


class DeadLetters(Protocol):
    """What the broker gave up on."""

    async def take(self, limit: int, examine: Examination) -> int:
        """Have up to `limit` messages examined, each acknowledged after that; return how many there were.

        A message whose examination raises stays where it is, as do those behind it.
        """
        ...


class DeadLetterStore(Protocol):
    """Where messages that led to no task are kept for people to see."""

    async def keep_dead_letter(self, letter: DeadLetter) -> None: ...

    async def dead_letters(self, limit: int) -> Sequence[DeadLetter]:
        """Return the latest."""
        ...
