"""Asks at intervals which engine answers: its brand and version go to the log, with what it is too old for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from bridge.domain.engine_product import EngineProduct
from bridge.domain.errors import EngineError
from bridge.ports.clock import Clock
from bridge.ports.engine import Engine
from bridge.ports.journal import Journal, Level

_AGAIN_AFTER: Final = timedelta(minutes=10)


class ProductCheck:
    """Keeps what answers as `product`, and logs each change: an engine may be upgraded while the gateway runs."""

    def __init__(self, engine: Engine, clock: Clock, journal: Journal) -> None:
        self._engine = engine
        self._clock = clock
        self._journal = journal
        self._asked_at: datetime | None = None
        self.product: EngineProduct | None = None

    async def run_once(self) -> None:
        """Ask, unless that was less than ten minutes ago; while the engine is away `product` stays."""
        now = self._clock.now()
        if self._asked_at is not None and now - self._asked_at < _AGAIN_AFTER:
            return
        try:
            found = await self._engine.product()
        except EngineError:
            return  # every other loop logs that
        if found != self.product:
            self._journal.write("engine_found", engine=str(found), brand=found.brand, version=found.version)
            for shortcoming in found.shortcomings:
                self._journal.write(
                    "engine_too_old", level=Level.WARNING, lacks=shortcoming.code.rpartition(".")[2], hint=shortcoming
                )
        self.product, self._asked_at = found, now
