"""How many tasks may be locked now: no more than the handlers can work before the locks end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bridge.domain.replica import ALIVE_FOR, Replica, capacity
from bridge.domain.topic import Topic
from bridge.flow.lease import Lease
from bridge.ports.broker import Publisher
from bridge.ports.clock import Clock
from bridge.ports.store import Replicas, TaskStore


@dataclass(frozen=True, slots=True)
class Bounds:
    """`backlog` bounds the tasks in a topic's queue, `received` the tasks in the store that wait for the broker.

    `scarce_age`: how old a queue's depth may be where little capacity is left, `ample_age` where there is plenty.
    `refresh_every`: how often replicas, pauses and the outbox are read.
    `replica_life`: how long the consumers of a replica count after its last heartbeat.
    """

    backlog: int
    received: int
    scarce_age: timedelta = timedelta(milliseconds=100)
    ample_age: timedelta = timedelta(seconds=5)
    refresh_every: timedelta = timedelta(seconds=1)
    replica_life: timedelta = ALIVE_FOR


@dataclass(frozen=True, slots=True)
class _DepthSample:
    ready: int
    at: datetime


class Credit:
    """Computes each topic's capacity: the tasks that its consumers can work in a third of a lock, less those locked.

    No topic has capacity while `takes_writes` returns False, and all have less by the engine's `error_rate` (0 to 1).
    A topic that is `paused` has none: tasks that are fetched already are worked. A topic that is `failing` has none
    either, as the broker takes no message of it.
    """

    def __init__(
        self,
        *,
        publisher: Publisher,
        replicas: Replicas,
        store: TaskStore,
        lease: Lease,
        topics: Mapping[str, Topic[Any, Any]],
        clock: Clock,
        bounds: Bounds,
        takes_writes: Callable[[], bool] = lambda: True,
        error_rate: Callable[[], float] = lambda: 0.0,
        failing: Callable[[str], bool] = lambda _topic: False,
        paused: Callable[[], Awaitable[frozenset[str]]] | None = None,
    ) -> None:
        self._publisher = publisher
        self._replicas = replicas
        self._store = store
        self._lease = lease
        self._topics = topics
        self._clock = clock
        self._bounds = bounds
        self._takes_writes = takes_writes
        self._error_rate = error_rate
        self._failing = failing
        self._ask_paused = paused
        self._paused: frozenset[str] = frozenset()
        self._held: Counter[str] = Counter()
        self._since: Counter[str] = Counter()
        self._samples: dict[str, _DepthSample] = {}
        self._workers: tuple[Replica, ...] = ()
        self._waiting: Mapping[str, int] = {}
        self._shares = 1
        self._refreshed_at: datetime | None = None

    def take(self, topic: str, tasks: int) -> None:
        """Count tasks as locked, or requested by a fetch, until `settle`."""
        self._held[topic] += tasks

    def settle(self, topic: str, tasks: int, *, queued: int) -> None:
        """Count tasks as locked no more; so many of them are in the queue now."""
        self._held[topic] -= tasks
        self._since[topic] += queued

    async def capacities(self) -> Mapping[str, int]:
        """Return how many tasks of each topic may be locked now. Raises `BrokerError` or `StoreError`."""
        now = self._clock.now()
        await self._refresh(now)
        if not self._takes_writes():
            return dict.fromkeys(self._topics, 0)
        limits = {topic: 0 if self._is_held_up(topic) else self.limit(topic) for topic in self._topics}
        await self._sample_depths(limits, now)
        # Each replica that fetches sees the same capacity, and the locks of the others only at its next sample.
        self._shares = max(1, sum("intake" in replica.roles for replica in self._workers))
        capacities = {topic: max(0, limit - self._locked(topic)) for topic, limit in limits.items()}
        return {topic: -(-free // self._shares) for topic, free in capacities.items()}

    def _is_held_up(self, topic: str) -> bool:
        """Return whether the topic has its even share, or more, of too many tasks that wait for the broker.

        Where all topics wait alike all are held up; where one queue is at fault the other topics go on.
        """
        waiting = sum(self._waiting.values())
        return waiting > 0 and self._waiting.get(topic, 0) * len(self._waiting) >= waiting

    def limit(self, topic: str) -> int:
        """Return how many tasks of the topic may be locked and not yet running; 0 while it has no consumer."""
        slots, rate = capacity(self._workers, topic)
        if slots == 0 or topic in self._paused or self._failing(topic):
            return 0
        # Two rounds of all slots keep the handlers busy whatever is known about their times.
        floor = 2 * slots
        if rate is None:
            return min(floor, self._bounds.backlog)
        workable = int(rate * self._lease.duration(topic).total_seconds() / 3)
        # An engine in trouble is asked for less: what is locked could not be reported.
        healthy = int(max(floor, workable) * (1 - self._error_rate()))
        return max(1, min(self._bounds.backlog, healthy))

    def minimum_fetch(self, topic: str) -> int:
        """Return how many tasks to fetch by one call where a topic has a backlog: our share of half of its limit.

        The other half keeps the handlers busy meanwhile.
        """
        return max(1, self.limit(topic) // (2 * self._shares))

    def snapshot(self) -> Mapping[str, tuple[int, int]]:
        """Return each topic's limit, and how many of its tasks are locked as far as is known."""
        return {topic: (self.limit(topic), self._locked(topic)) for topic in self._topics}

    def _locked(self, topic: str) -> int:
        sample = self._samples.get(topic)
        return self._held[topic] + self._since[topic] + (0 if sample is None else sample.ready)

    async def _refresh(self, now: datetime) -> None:
        if self._refreshed_at is not None and now - self._refreshed_at < self._bounds.refresh_every:
            return
        self._workers = tuple(await self._replicas.replicas(now - self._bounds.replica_life))
        too_many = await self._store.waiting() >= self._bounds.received
        self._waiting = await self._store.waiting_by_topic() if too_many else {}
        self._paused = frozenset() if self._ask_paused is None else await self._ask_paused()
        self._refreshed_at = now

    async def _sample_depths(self, limits: Mapping[str, int], now: datetime) -> None:
        """Ask for the depths of queues whose last sample is too old."""
        wanted = [topic for topic, limit in limits.items() if limit and self._is_old(topic, limit, now)]
        if not wanted:
            return
        before = {topic: self._since[topic] for topic in wanted}
        depths = await self._publisher.depths(wanted)
        for topic, depth in depths.items():
            # A message published while the answer was on its way may or may not be in it: better counted twice.
            self._since[topic] -= before[topic]
            self._samples[topic] = _DepthSample(depth.ready, now)

    def _is_old(self, topic: str, limit: int, now: datetime) -> bool:
        sample = self._samples.get(topic)
        if sample is None:
            return True
        age = now - sample.at
        scarce = self._locked(topic) * 2 > limit
        return age >= (self._bounds.scarce_age if scarce else self._bounds.ample_age)
