"""This process's sign of life: what it can do and how busy it is, for the others that fetch, and for operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from bridge.flow.claims import Claims
from bridge.ports import Clock, Replicas
from bridge.replica import Replica


class Beat:
    """Writes the replica's state; what it wrote last is `at`."""

    def __init__(
        self,
        replicas: Replicas,
        clock: Clock,
        claims: Claims,
        replica: Replica,
        reporting: Callable[[], int],
        *,
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
        self.at: datetime | None = None

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
        await self._replicas.beat(state)
        self.at = now

    async def leave(self) -> None:
        """Take this process off the list."""
        await self._replicas.leave(self._replica.id)
