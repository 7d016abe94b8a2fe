"""The activities at which the model may throw a BPMN error in place of the reported outcome."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bridge.domain.errors import EngineError, EngineUnavailable, ForeignAnswer
from bridge.domain.task import Task
from bridge.ports.clock import Clock
from bridge.ports.engine import Engine
from bridge.ports.journal import Journal, Level

MOST_DEFINITIONS: Final = 1_000
MOST_CHARACTERS: Final = 1_000_000
"""How many process definitions, and characters of their activities' ids, are kept; the oldest are dropped."""
READ_AGAIN: Final = timedelta(hours=1)
"""How long until a definition is read again: the user may have got the right, or the engine another database."""
ASK_AGAIN: Final = timedelta(minutes=1)
"""How long until an engine that did not answer is asked again."""
_TIME_LIMIT: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Known:
    activities: frozenset[str]
    until: datetime

    @property
    def size(self) -> int:
        return sum(map(len, self.activities))


class ErrorEventDefinitions:
    """Which activities have a `camunda:errorEventDefinition`.

    Each process definition is read once, when it is first needed; an unreadable definition counts as having none.
    """

    def __init__(self, engine: Engine, clock: Clock, journal: Journal) -> None:
        self._engine = engine
        self._clock = clock
        self._journal = journal
        self._known: dict[str, _Known] = {}
        self._size = 0
        self._reading: dict[str, asyncio.Event] = {}
        self._is_logged = False

    async def may_throw(self, task: Task) -> bool:
        """Return whether the model may throw a BPMN error in place of the task's outcome."""
        definition, activity = task.process_definition_id, task.activity_id
        if definition is None or activity is None:
            return False
        known = self._known.get(definition)
        if known is None or known.until <= self._clock.now():
            await self._read(definition)
            known = self._known.get(definition)
        return known is not None and activity in known.activities

    async def _read(self, definition: str) -> None:
        """Read the definition, or wait for the read under way."""
        if (reading := self._reading.get(definition)) is not None:
            await reading.wait()
            return
        done = self._reading[definition] = asyncio.Event()
        try:
            self._remember(definition, await self._ask(definition))
        finally:
            del self._reading[definition]
            done.set()

    async def _ask(self, definition: str) -> _Known:
        try:
            async with asyncio.timeout(_TIME_LIMIT):
                found = await self._engine.throwing_activities(definition)
        except (EngineError, TimeoutError) as error:
            self._tell(definition, error)
            is_away = isinstance(error, TimeoutError | EngineUnavailable) and not isinstance(error, ForeignAnswer)
            return _Known(frozenset(), self._clock.now() + (ASK_AGAIN if is_away else READ_AGAIN))
        self._is_logged = False
        return _Known(frozenset(found), self._clock.now() + READ_AGAIN)

    def _remember(self, definition: str, known: _Known) -> None:
        self._forget(definition)
        self._known[definition] = known
        self._size += known.size
        while len(self._known) > 1 and (len(self._known) > MOST_DEFINITIONS or self._size > MOST_CHARACTERS):
            self._forget(next(iter(self._known)))

    def _forget(self, definition: str) -> None:
        if (known := self._known.pop(definition, None)) is not None:
            self._size -= known.size

    def _tell(self, definition: str, error: Exception) -> None:
        """Log the first unreadable definition after a readable one: the next ones are likely to fail alike."""
        if not self._is_logged:
            self._is_logged = True
            why = str(error) or f"no answer within {_TIME_LIMIT:g} s"
            self._journal.write("process_model_not_read", level=Level.WARNING, definition=definition, error=why)
