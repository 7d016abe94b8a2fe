"""The identity of an engine's database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MOST_DEFINITIONS: Final = 20
"""How many process definitions are remembered: normal deployments add some, and clearing up removes a few."""


@dataclass(frozen=True, slots=True)
class EngineIdentity:
    """`installation` is the database's own id, where the engine gives it; `definitions` are ids of process definitions
    whose tasks came, the latest first."""

    installation: str | None = None
    definitions: tuple[str, ...] = ()

    def with_definitions(self, ids: tuple[str, ...]) -> EngineIdentity:
        """Return the identity with these definitions before those that it has."""
        merged = tuple(dict.fromkeys((*ids, *self.definitions)))
        return EngineIdentity(self.installation, merged[:MOST_DEFINITIONS])
