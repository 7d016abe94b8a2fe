"""What needs a person now; the overview shows it first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from bridge.domain.errors import BrokerError
from bridge.domain.records import Pause
from bridge.domain.replica import ALIVE_FOR, Replica
from bridge.domain.task import State
from bridge.ports.broker import Depth, Publisher
from bridge.ports.clock import Clock
from bridge.ports.dashboard import Pauses, TaskSearch
from bridge.ports.store import Replicas
from bridge.search.query import EVERYTHING


@dataclass(frozen=True, slots=True)
class Needs:
    """`incidents` is None where counting took too long, and one above `COUNT_CAP` where there are more than that.

    `unattended` are topics that are not paused and have messages but no consumer; `depths` is None while the broker
    doesn't answer. `stale` are replicas that gave no heartbeat lately, and did not say that they end.
    `foreign_answers` has the foreign answers that live replicas get in the engine's place; `unreadable` counts, as
    `incidents` does, the tasks that were set aside because this version can't read them.
    """

    by_state: Mapping[State, int | None]
    unattended: tuple[str, ...]
    stale: tuple[Replica, ...]
    alive: tuple[Replica, ...]
    pauses: tuple[Pause, ...]
    depths: Mapping[str, Depth] | None
    foreign_answers: tuple[str, ...] = ()
    unreadable: int | None = 0

    @property
    def incidents(self) -> int | None:
        return self.by_state[State.FAILED]


class Attention:
    """Asks the store and the broker."""

    def __init__(
        self,
        *,
        search: TaskSearch,
        replicas: Replicas,
        pauses: Pauses,
        publisher: Publisher,
        topics: Collection[str],
        clock: Clock,
        life: timedelta = ALIVE_FOR,
        memory: timedelta = timedelta(hours=1),
    ) -> None:
        self._search = search
        self._replicas = replicas
        self._pauses = pauses
        self._publisher = publisher
        self._topics = sorted(topics)
        self._clock = clock
        self._life = life
        self._memory = memory

    async def needs(self) -> Needs:
        """Return what needs a person. Raises `StoreError`; a broker that is away is part of the answer."""
        now = self._clock.now()
        counts = await self._search.counts(EVERYTHING, now=now)
        known = await self._replicas.replicas(now - self._memory)
        pauses = tuple(await self._pauses.pauses())
        depths = await self._depths()
        paused = {pause.topic for pause in pauses}
        living = _of(known, lambda replica: now - replica.seen_at <= self._life)
        waiting = [topic for topic, depth in (depths or {}).items() if depth.ready and not depth.consumers]
        return Needs(
            by_state=counts.by_state,
            unreadable=counts.unreadable,
            unattended=tuple(topic for topic in waiting if topic not in paused),
            stale=_of(known, lambda replica: now - replica.seen_at > self._life),
            alive=living,
            pauses=pauses,
            depths=depths,
            foreign_answers=tuple(sorted({text for replica in living if (text := replica.foreign_answer)})),
        )

    async def _depths(self) -> Mapping[str, Depth] | None:
        try:
            return await self._publisher.depths(self._topics)
        except BrokerError:
            return None


def _of(replicas: Sequence[Replica], wanted: Callable[[Replica], bool]) -> tuple[Replica, ...]:
    return tuple(replica for replica in replicas if wanted(replica))
