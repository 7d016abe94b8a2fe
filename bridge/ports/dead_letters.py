"""Dead letters: messages that the broker gave up, and the store of those without a task."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from bridge.domain.dead_letter import DeadLetter, DeadMessage

Examination = Callable[[DeadMessage], Awaitable[None]]


class DeadLetters(Protocol):
    """The broker's dead letters."""

    async def take(self, limit: int, examine: Examination) -> int:
        """Handle up to `limit` messages, each of which is acknowledged after that; return how many there were.

        A message whose handling raises stays where it is, as do those behind it.
        """
        ...


class DeadLetterStore(Protocol):
    """The store of messages without a task, for people to see."""

    async def keep_dead_letter(self, letter: DeadLetter) -> None: ...

    async def dead_letters(self, limit: int) -> Sequence[DeadLetter]:
        """Return the latest."""
        ...
