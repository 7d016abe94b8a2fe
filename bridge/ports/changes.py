"""What the dashboard asks to learn that something has changed, without reading what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Changes(Protocol):
    """Cheap tokens that change with what pages show."""

    async def change_tokens(self) -> Mapping[str, str]:
        """Return for each kind of thing (`tasks`, `topics`, `failures`, `workers`, `operations`, `audit`) a token.

        A token that differs from the one before says that pages with such things have news; it says nothing else. It is
        asked twice a second while somebody looks, once for all who look: it must cost an index's end, no count of rows.
        Raises `StoreUnavailable`.
        """
        ...


class NoChanges:
    """Nothing ever changes: for tests, and a process without a store."""

    async def change_tokens(self) -> Mapping[str, str]:
        """Return no tokens."""
        return {}
