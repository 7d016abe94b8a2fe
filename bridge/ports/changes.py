"""What the dashboard asks to learn that something has changed, without reading what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Changes(Protocol):
    """Cheap marks of what pages show."""

    async def marks(self) -> Mapping[str, str]:
        """Return for each kind of thing (`tasks`, `topics`, `failures`, `workers`, `operations`, `audit`) a mark.

        A mark that differs from the one before says that pages with such things have news; it says nothing else. It is
        asked twice a second while somebody looks, once for all who look: it must cost an index's end, no count of rows.
        Raises `StoreUnavailable`.
        """
        ...


class Still:
    """Nothing ever changes: for a process that has nobody to ask."""

    async def marks(self) -> Mapping[str, str]:
        """Return no marks."""
        return {}
