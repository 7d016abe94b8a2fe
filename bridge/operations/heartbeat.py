"""This process's heartbeat: its slots and its load, for the replicas that fetch and for operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bridge.domain.errors import StoreError
from bridge.domain.replica import Replica
from bridge.flow.handle.claims import Claims
from bridge.ports.clock import Clock
from bridge.ports.store import Replicas


class Heartbeat:
    """Writes the replica's state; `at` is the moment of the last heartbeat that the store took.

    The store counts as reached without a break while it takes a heartbeat at least every `gap`.
    """

    def __init__(
        self,
        replicas: Replicas,
        clock: Clock,
        claims: Claims,
        replica: Replica,
        reporting: Callable[[], int],
        *,
        gap: timedelta = timedelta(seconds=5),
        lag: Callable[[], float] = lambda: 0.0,
        foreign_answer: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._replicas = replicas
        self._clock = clock
        self._claims = claims
        self._replica = replica
        self._reporting = reporting
        self._lag = lag
        self._foreign_answer = foreign_answer
        self._gap = gap
        self.at: datetime | None = None
        self._since: datetime | None = None
        self._answered = datetime.min.replace(tzinfo=UTC)

    async def run_once(self) -> None:
        """Write once; `StoreUnavailable` says that the store takes no writes."""
        now = self._clock.now()
        state = replace(
            self._replica,
            seen_at=now,
            loads=self._claims.loads(),
            reporting=self._reporting(),
            lag=self._lag(),
            foreign_answer=self._foreign_answer(),
        )
        try:
            await self._replicas.heartbeat(state)
        except StoreError:
            self._since = None
            raise
        self.at, answered = now, self._clock.now()
        # A slow heartbeat, or a clock that was set ahead, is a break too: renewals of others may be late as well.
        if self._since is None or answered - self._answered > self._gap:
            self._since = answered
        self._answered = answered

    def in_reach_for(self) -> timedelta:
        """Return how long the store has been reached without a break; zero while it is not."""
        if self._since is None or self._clock.now() - self._answered > self._gap:
            return timedelta(0)
        return self._answered - self._since

    async def leave(self) -> None:
        """Remove this process from the list of replicas."""
        await self._replicas.leave(self._replica.id)
