"""Keeps claims and locks alive while handlers run, and cancels a handler whose claim or lock is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bridge.domain.errors import EngineError, LeaseStolen, StoreError, StoreUnavailable, TaskGone
from bridge.domain.lifecycle import Event, Move
from bridge.domain.messages import message
from bridge.flow.handle.claims import Claim, Claims
from bridge.flow.lease import Lease
from bridge.ports.clock import Clock
from bridge.ports.journal import Journal, Level
from bridge.ports.store import TaskStore

# Shares of the time until a claim expires. A renewal that waited for the engine, a pause, one that fails as both hang,
# and the time until that is repeated are less than all of it together.
PAUSE: Final = 1 / 3
"""Between two renewals."""
REPEAT_AFTER: Final = 1 / 6
"""Until a renewal that failed is repeated, at most."""
STORE_WITHIN: Final = 1 / 5
"""For how long a renewal waits for the store."""
ENGINE_WITHIN: Final = 1 / 10
"""For how long a renewal waits for the engine."""


@dataclass(frozen=True, slots=True)
class _Lost:
    claim: Claim
    move: Move


class Renew:
    """Renews claims and locks. `at_once` bounds the calls to the engine, so that outcomes can be delivered meanwhile.

    An engine or a store that hangs is waited for only a part of `claim`: a claim that is not renewed before it expires
    counts as that of a dead process. Calls to the engine go on beside that. Locks are extended while the store is
    away, too: else the engine would offer the tasks again, and their handlers would run twice.
    """

    def __init__(
        self,
        store: TaskStore,
        lease: Lease,
        claims: Claims,
        clock: Clock,
        journal: Journal,
        *,
        claim: timedelta,
        at_once: int = 8,
    ) -> None:
        self._store = store
        self._lease = lease
        self._claims = claims
        self._clock = clock
        self._journal = journal
        self._claim = claim
        self._store_within = claim.total_seconds() * STORE_WITHIN
        self._engine_within = claim.total_seconds() * ENGINE_WITHIN
        self._slots = asyncio.Semaphore(at_once)
        self._extending: dict[tuple[str, str], asyncio.Task[_Lost | None]] = {}
        self._ends: list[Move] = []

    async def run_once(self) -> None:
        """Renew every claim of this process, and the locks that are older than a third of their time.

        Raises `StoreError`, after the locks were extended, where the claims were not renewed.
        """
        claims = [claim for claim in self._claims if claim.lost is None]
        away: StoreError | None = None
        if claims:
            # Claims first: they cost one write, and the engine may be slow.
            try:
                await self._renew_claims(claims)
            except StoreError as error:
                away = error
        for claim in claims:
            if claim.lost is None and self._lease.needs_renewal(claim.task, claim.lease_until):
                self._start(claim)
        if self._extending:
            await asyncio.wait(self._extending.values(), timeout=self._engine_within)
        self._ends += [end.move for end in self._ended() if end is not None]
        if away is not None:
            raise away
        if self._ends:
            await self._move(self._ends)
            self._ends = []

    async def settle(self) -> None:
        """Wait for the calls under way."""
        if self._extending:
            await asyncio.gather(*self._extending.values(), return_exceptions=True)

    def _start(self, claim: Claim) -> None:
        if claim.key not in self._extending:
            self._extending[claim.key] = asyncio.create_task(self._extend(claim))

    def _ended(self) -> Sequence[_Lost | None]:
        ended = [key for key, extending in self._extending.items() if extending.done()]
        return [self._extending.pop(key).result() for key in ended]

    async def _renew_claims(self, claims: Sequence[Claim]) -> None:
        now = self._clock.now()
        kept = await self._move([self._renewal(claim, now) for claim in claims])
        for claim, yes in zip(claims, kept, strict=True):
            # A task whose handler has just ended is no longer RUNNING, and must not be cancelled.
            if not yes and self._works(claim):
                self._lose(claim, "the claim was taken over")

    async def _move(self, moves: Sequence[Move]) -> Sequence[bool]:
        try:
            async with asyncio.timeout(self._store_within):
                return await self._store.move(moves)
        except TimeoutError as error:
            raise StoreUnavailable(message("store.renewals", seconds=f"{self._store_within:g}")) from error

    def _renewal(self, claim: Claim, now: datetime) -> Move:
        changes = {"next_at": now + self._claim, "lease_until": claim.lease_until}
        return Move(claim.task.id, Event.RENEW, claim.task.epoch, claim.claim_id, changes)

    async def _extend(self, claim: Claim) -> _Lost | None:
        async with self._slots:
            if claim not in self._claims:
                return None
            try:
                claim.lease_until = await self._lease.extend(claim.task)
            except (LeaseStolen, TaskGone) as error:
                if not self._works(claim):
                    # Its own outcome may have ended the task: the delivery decides that by the engine's history.
                    return None
                self._lose(claim, str(error))
                return _Lost(claim, self._lease.lost(claim.task, error))
            except EngineError as error:
                self._journal.write("lock_not_renewed", task=claim.task, level=Level.WARNING, error=str(error))
        return None

    def _works(self, claim: Claim) -> bool:
        return claim in self._claims and not claim.decided

    def _lose(self, claim: Claim, why: str) -> None:
        self._journal.write("claim_lost", task=claim.task, level=Level.WARNING, why=why)
        claim.lose(why)
