"""Change tokens: the dashboard learns by them that something has changed, without reading the change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Changes(Protocol):
    """Cheap tokens that change with the content of pages."""

    async def change_tokens(self) -> Mapping[str, str]:
        """Return for each kind of thing (`tasks`, `topics`, `failures`, `workers`, `operations`, `audit`) a token.

        A token that differs from the one before says that pages of that kind have changed, and nothing else. It is read
        twice a second while a page is open, once for all readers: it must cost the end of an index, no count of rows.
        Raises `StoreUnavailable`.
        """
        ...


class NoChanges:
    """Nothing ever changes: for tests, and a process without a store."""

    async def change_tokens(self) -> Mapping[str, str]:
        """Return no tokens."""
        return {}
