"""The engine's own backlog by topic, read by one replica for all; also of topics that no worker here has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bridge.domain.errors import EngineError, EngineRejected, ForeignAnswer, StoreError
from bridge.ports.clock import Clock
from bridge.ports.dashboard import Turn, Turns
from bridge.ports.engine import Engine
from bridge.ports.journal import Journal, Level

EVERY: Final = timedelta(seconds=15)
MOST_TOPICS: Final = 100
"""How many topics are read one by one; for all other topics together only the number of tasks is read."""
OTHER: Final = "other"
"""The name under which those others are counted."""
WHERE_REFUSED: Final = timedelta(minutes=15)
"""How long an engine is left alone that refuses the question: an older one, or a proxy, may not know the path."""
_PASSING: Final = frozenset({401, 408, 429})
_SHARE: Final = 20
"""Asking takes at most this part of the time: an engine that needs two seconds for it is asked every 40."""


@dataclass(frozen=True, slots=True)
class TopicBacklog:
    """How many open tasks a worker can get, locked or not, and the age in seconds of the oldest that no worker holds.

    The age is 0 where there is no such task, and None where it is not known.
    """

    tasks: int
    oldest: float | None


class EngineBacklog:
    """Asks the engine, where it is this replica's turn; `topics` has the answer, and None while it has none.

    A replica that ends is followed by another within three times `EVERY`. An idle engine gets one call each time, and
    two more for each topic that has tasks. `worked` are the topics of this gateway, which are told of at zero as well.
    """

    def __init__(
        self, engine: Engine, turns: Turns, worked: Sequence[str], *, clock: Clock, journal: Journal, replica: str
    ) -> None:
        self._engine = engine
        self._turns = turns
        self._worked = tuple(worked)
        self._clock = clock
        self._journal = journal
        self._replica = replica
        self._tells_age = True
        self._is_failing = False
        self._next_at: datetime | None = None
        self.topics: Mapping[str, TopicBacklog] | None = None

    async def run_once(self) -> None:
        """Ask once, where it is due. An engine or a store that is away shows as a gap: nothing else depends on this."""
        now = self._clock.now()
        if self._next_at is not None and now < self._next_at:
            return
        try:
            is_ours = await self._turns.take_turn(Turn.ENGINE_BACKLOG, self._replica, now, now + 2 * EVERY)
            self.topics = await self._ask(now) if is_ours else None
            if self.topics is not None:
                await self._go_on(now)
        except (EngineError, StoreError) as error:
            self.topics = None
            if _is_refused(error):
                self._next_at = now + WHERE_REFUSED
            if not self._is_failing:
                self._journal.write("engine_backlog_unknown", level=Level.WARNING, error=str(error))
            self._is_failing = True
        else:
            self._is_failing = False

    async def _go_on(self, began: datetime) -> None:
        """Keep the turn until after the next time."""
        pause = max(EVERY, _SHARE * (self._clock.now() - began))
        self._next_at = began + pause if pause > EVERY else None
        if self._next_at is not None:
            await self._turns.take_turn(Turn.ENGINE_BACKLOG, self._replica, began, self._next_at + EVERY)

    async def _ask(self, now: datetime) -> Mapping[str, TopicBacklog]:
        found = {topic: TopicBacklog(0, 0.0) for topic in self._worked}
        names = sorted(set(await self._engine.topic_names()), key=lambda name: (name not in found, name))
        for topic in names[:MOST_TOPICS]:
            tasks = await self._engine.count(topic, workable=True)
            found[topic] = TopicBacklog(tasks, await self._age(topic, now) if tasks else 0.0)
        if len(names) > MOST_TOPICS:
            total = await self._engine.count(workable=True)
            found[OTHER] = TopicBacklog(max(0, total - sum(topic.tasks for topic in found.values())), None)
        return found

    async def _age(self, topic: str, now: datetime) -> float | None:
        if not self._tells_age:
            return None
        try:
            oldest = await self._engine.oldest(topic)
        except EngineRejected as error:
            if error.status >= 500:
                raise
            # An engine before 7.21 has no such order.
            self._tells_age = False
            return None
        return 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())


def _is_refused(error: EngineError | StoreError) -> bool:
    """Return whether the same question would get the same answer: a login or an outage passes."""
    return (
        isinstance(error, EngineRejected | ForeignAnswer) and 400 <= error.status < 500 and error.status not in _PASSING
    )
