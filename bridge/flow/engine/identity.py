"""Checks that the engine that answers is the engine whose tasks are kept: an address may lead elsewhere for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

from bridge.domain.engine_identity import EngineIdentity
from bridge.domain.errors import EngineChanged, EngineRejected, EngineUnavailable, StoreError, TaskGone
from bridge.domain.messages import Message, message
from bridge.ports.clock import Clock
from bridge.ports.journal import Journal, Level
from bridge.ports.store import EngineIdentityStore

T = TypeVar("T")

_AGAIN_AFTER: Final = timedelta(minutes=1)


class IdentityProbe(Protocol):
    """The calls that identify the engine; the guard that they serve does not apply to them."""

    async def installation(self) -> str | None:
        """Return the id of the engine's database; None where the user may not read it."""
        ...

    async def existing_definitions(self, ids: Collection[str]) -> Collection[str]:
        """Return which of the process definitions the engine has and its user sees."""
        ...


class IdentityCheck:
    """Guards calls to the engine: a 404 counts only if a check that began after it finds the right engine.

    So a bulk deletion in the engine, with a wave of 404s, ends its tasks, and the 404s of another engine end none.
    """

    def __init__(self, probe: IdentityProbe, store: EngineIdentityStore, clock: Clock, journal: Journal) -> None:
        self._probe = probe
        self._store = store
        self._clock = clock
        self._journal = journal
        self._turn = asyncio.Lock()
        self._begun = 0
        self._checked_at: datetime | None = None
        self._known: set[str] = set()
        self.trouble: Message | None = None

    async def guard(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make the call; raises `EngineChanged` where another engine answers.

        After a 404 the call is repeated once: another engine may have answered the call, and the right one the check.
        """
        if self.trouble is not None:
            await self.confirm()
        try:
            return await call()
        except TaskGone:
            await self.confirm()
        return await call()

    async def confirm(self) -> None:
        """Check the engine, by a check that begins after this call; callers that wait meanwhile share it.

        Raises `EngineChanged`, and `EngineUnavailable` where the engine is not known.
        """
        before = self._begun
        async with self._turn:
            if self._begun == before:
                self._begun += 1
                await self._check()
        if self.trouble is not None:
            raise EngineChanged(self.trouble)

    async def admit(self, definitions: Collection[str]) -> None:
        """Check before tasks of unknown process definitions are kept; raises as `confirm` does."""
        new = set(definitions) - self._known
        if not new:
            return
        await self.confirm()
        try:
            seen = await self._probe.existing_definitions(new)
            kept = await self._store.engine_identity() or EngineIdentity()
            if not set(seen) <= set(kept.definitions):
                await self._store.keep_engine_identity(kept.with_definitions(tuple(sorted(seen))))
        except (EngineRejected, StoreError) as error:
            self._journal.write("engine_identity_unknown", level=Level.WARNING, error=str(error))
            return
        self._known |= new

    async def run_once(self) -> None:
        """Check at intervals, shorter while another engine answers; an engine that is away changes nothing."""
        now = self._clock.now()
        if self.trouble is None and self._checked_at is not None and now - self._checked_at < _AGAIN_AFTER:
            return
        try:
            await self.confirm()
        except EngineUnavailable:
            return  # EngineChanged is written to the log once, by the check; every other loop logs an outage

    async def accept(self) -> EngineIdentity:
        """Take the engine that answers now for the right one. Raises `EngineUnavailable` and `StoreError`."""
        identity = EngineIdentity(await self._probe.installation())
        await self._store.keep_engine_identity(identity)
        return identity

    async def _check(self) -> None:
        try:
            kept = await self._store.engine_identity()
            found = await self._probe.installation()
            why = None if kept is None else await self._difference(kept, found)
            if why is None and found is not None and (kept is None or kept.installation is None):
                definitions = () if kept is None else kept.definitions
                await self._store.keep_engine_identity(EngineIdentity(found, definitions))
        except (EngineRejected, StoreError) as error:
            raise EngineUnavailable(message("engine.identity_unknown", error=error.message)) from error
        self._checked_at = self._clock.now()
        self._tell(why)

    async def _difference(self, kept: EngineIdentity, found: str | None) -> Message | None:
        if kept.installation is not None and found is not None:
            if kept.installation == found:
                return None
            return message("engine.other_database", found=found, kept=kept.installation)
        if kept.definitions and not await self._probe.existing_definitions(kept.definitions):
            return message("engine.other_definitions", definition=kept.definitions[0])
        return None

    def _tell(self, why: Message | None) -> None:
        if why is not None and self.trouble is None:
            self._journal.write("engine_changed", level=Level.ERROR, why=why)
        elif why is None and self.trouble is not None:
            self._journal.write("engine_restored", level=Level.WARNING)
        self.trouble = why
