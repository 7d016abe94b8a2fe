"""Keeps the numbers of tasks up to date in the background, and corrects those that are wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from bridge.domain.errors import StoreError
from bridge.domain.task import State
from bridge.domain.task_counts import SETTLED
from bridge.ports.clock import Clock
from bridge.ports.dashboard import TaskCounters, Turn
from bridge.ports.journal import Journal, Level

_SHARE: Final = 100
"""The most of the time that counting takes: a store that needs a second for a count is left alone for 100."""
_TURN: Final = timedelta(minutes=1)
_AFTER_FAILURE: Final = timedelta(seconds=30)


class Recount:
    """Counts by one of the replicas that have the loop; where it ends another goes on a minute later.

    `refresh_every` and `recount_every` are the least times between two counts of either kind; after a slow count the
    pause is a hundred times its duration.
    """

    def __init__(
        self,
        counters: TaskCounters,
        clock: Clock,
        journal: Journal,
        replica: str,
        *,
        refresh_every: timedelta = timedelta(seconds=2),
        recount_every: timedelta = timedelta(seconds=5),
    ) -> None:
        self._counters = counters
        self._clock = clock
        self._journal = journal
        self._replica = replica
        self._refresh_every = refresh_every
        self._recount_every = recount_every
        self._refresh_at: datetime | None = None
        self._recount_at: datetime | None = None
        self._round: Iterator[tuple[str, State]] = iter(())

    async def run_once(self) -> None:
        """Make the counts that are due. A store that doesn't answer in time is left alone for a while."""
        now = self._clock.now()
        if self._refresh_at is not None and now < self._refresh_at:
            return
        try:
            await self._count(now)
        except StoreError as error:
            self._refresh_at = self._clock.now() + _AFTER_FAILURE
            self._journal.write("tasks_not_counted", level=Level.WARNING, error=str(error))

    async def _count(self, now: datetime) -> None:
        if not await self._counters.take_turn(Turn.TASK_COUNTS, self._replica, now, now + _TURN):
            return
        await self._counters.refresh_counts(now)
        pause = self._pause(now, self._refresh_every)
        if self._recount_at is None or now >= self._recount_at:
            began = self._clock.now()
            await self._recount_next(began)
            self._recount_at = self._clock.now() + self._pause(began, self._recount_every)
        self._refresh_at = self._clock.now() + pause
        await self._counters.take_turn(Turn.TASK_COUNTS, self._replica, now, self._refresh_at + _TURN)

    async def _recount_next(self, now: datetime) -> None:
        """Recount the next state of the round; a new round begins with the topics of that moment."""
        following = next(self._round, None)
        if following is None:
            kept = await self._counters.task_counts()
            topics = [] if kept is None else sorted(kept.by_topic)
            self._round = iter([(topic, state) for topic in topics for state in sorted(SETTLED)])
            following = next(self._round, None)
        if following is not None:
            await self._counters.recount(*following, now)

    def _pause(self, began: datetime, least: timedelta) -> timedelta:
        return max(least, _SHARE * (self._clock.now() - began))
