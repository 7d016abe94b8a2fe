"""Checks at intervals that the engine's user has the rights that the gateway needs: without them all looks idle."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from bridge.domain.errors import EngineUnavailable
from bridge.domain.rights import GRANTS, MissingRight
from bridge.ports.clock import Clock
from bridge.ports.engine import Engine
from bridge.ports.journal import Journal, Level

_AGAIN_AFTER: Final = timedelta(minutes=1)


class RightsCheck:
    """Keeps the rights that are missing as `missing`, and logs each change.

    `definitions` are the keys of the process definitions to ask for; empty where topics take tasks of all definitions.
    """

    def __init__(self, engine: Engine, clock: Clock, journal: Journal, definitions: Collection[str]) -> None:
        self._engine = engine
        self._clock = clock
        self._journal = journal
        self._definitions = frozenset(definitions)
        self._asked_at: datetime | None = None
        self.missing: Sequence[MissingRight] = ()

    async def run_once(self) -> None:
        """Ask, unless no right was missing less than a minute ago; while the engine is away `missing` stays."""
        now = self._clock.now()
        if not self.missing and self._asked_at is not None and now - self._asked_at < _AGAIN_AFTER:
            return
        try:
            found = await self._engine.missing_rights(self._definitions)
        except EngineUnavailable:
            return  # every other loop logs that
        for missing in found:
            if missing not in self.missing:
                self._journal.write(
                    "engine_right_missing",
                    level=Level.WARNING,
                    right=missing.right.value,
                    definition=missing.definition,
                    grant=" or ".join(f"{grant.permission} on {grant.resource}" for grant in GRANTS[missing.right]),
                    hint=str(missing),
                )
        if self.missing and not found:
            self._journal.write("engine_rights_complete")
        self.missing, self._asked_at = tuple(found), now
