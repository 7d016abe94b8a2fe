"""Samples of the queues and of the store: depths, consumers, what waits longest, incidents, and paused topics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from bridge.domain.errors import BrokerError, StoreError
from bridge.domain.task import State
from bridge.ports.broker import Depth, Publisher
from bridge.ports.clock import Clock
from bridge.ports.dashboard import Pauses

COUNTED: Final = (State.RECEIVED, State.QUEUED, State.RUNNING, State.REPORTING, State.RETRYING, State.FAILED)
_WAITING: Final = (State.RECEIVED, State.QUEUED)


class StateCounts(Protocol):
    """Counts in the store, of states that few tasks are in."""

    async def count_of(self, state: State) -> int:
        """Count the tasks in a state, up to 10,000."""
        ...

    async def oldest(self, state: State) -> datetime | None:
        """Return when the oldest task in a state was accepted."""
        ...

    async def incidents(self, topics: Sequence[str]) -> Mapping[str, int]:
        """Count the incidents of these topics, without zeros."""
        ...


@dataclass(frozen=True, slots=True)
class QueueSample:
    """The last answers; None, or empty, where the store or the broker didn't answer.

    `incidents` and `paused`, which is in seconds, are by topic.
    """

    depths: Mapping[str, Depth] | None = None
    counts: Mapping[State, int] | None = None
    oldest_waiting: float | None = None
    incidents: Mapping[str, int] | None = None
    paused: Mapping[str, float] | None = None
    at: datetime | None = field(default=None)


class Measure:
    """Asks the broker and the store, and keeps the answers as `sample`."""

    def __init__(
        self, publisher: Publisher, store: StateCounts, pauses: Pauses, topics: Sequence[str], *, clock: Clock
    ) -> None:
        self._publisher = publisher
        self._store = store
        self._pauses = pauses
        self._topics = tuple(topics)
        self._clock = clock
        self.sample = QueueSample()

    async def run_once(self) -> None:
        """Take a sample. An outage shows in the sample and raises nothing: nothing else depends on it."""
        depths = await self._depths()
        now = self._clock.now()
        try:
            counts = {state: await self._store.count_of(state) for state in COUNTED}
            moments = [await self._store.oldest(state) for state in _WAITING if counts[state]]
            found = await self._store.incidents(self._topics) if counts[State.FAILED] else {}
            pauses = await self._pauses.pauses()
        except StoreError:
            self.sample = QueueSample(depths, at=now)
            return
        ages = [(now - moment).total_seconds() for moment in moments if moment is not None]
        self.sample = QueueSample(
            depths,
            counts,
            max(ages, default=0.0),
            {**dict.fromkeys(self._topics, 0), **found},
            {pause.topic: max(0.0, (now - pause.at).total_seconds()) for pause in pauses},
            now,
        )

    async def _depths(self) -> Mapping[str, Depth] | None:
        try:
            return await self._publisher.depths(self._topics)
        except BrokerError:
            return None
