"""A row of the engine's lists that can't be read as an external task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UnreadableRow:
    """`id` is the row's own, where it has a text for one; `reason` says what can't be read, without a variable's value.

    `is_locked`: the engine holds it for this gateway, which can't work it.
    """

    id: str | None
    reason: str
    is_locked: bool = False


OnUnreadableRow = Callable[[str, UnreadableRow], None]
"""Called for each such row, with the call that returned it."""
