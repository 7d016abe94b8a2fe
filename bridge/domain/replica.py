"""A process of the gateway as the others see it: what it can do, and how busy it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from ulid import ULID

KEPT: Final = timedelta(days=1)
"""For how long a process that was killed is still known."""
ALIVE_FOR: Final = timedelta(seconds=15)
"""For how long after its last heartbeat a process counts."""
_WORKER: Final = "bridge-"
_ULID_LENGTH: Final = 26


def new_worker_id(replica: str) -> str:
    """Return the worker id of one fetch of a process: no two fetches hold locks under the same."""
    return f"{_WORKER}{replica}-{ULID()}"


def replica_of(worker_id: str) -> str | None:
    """Return the process that a worker id names; None where it is none that a gateway gave."""
    if not worker_id.startswith(_WORKER) or worker_id[-_ULID_LENGTH - 1 : -_ULID_LENGTH] != "-":
        return None
    return worker_id[len(_WORKER) : -_ULID_LENGTH - 1]


@dataclass(frozen=True, slots=True)
class Load:
    """What one replica does for one topic.

    `slots` is how many handlers may run at once, `running` how many do now. `stuck` counts the threads that run on
    though their run was given up; `slots` is without them. `seconds` is the time that a run takes, and
    `occupied` the time for which a task takes its slot: with the proof of its lock, and the storing of its outcome.
    Both are moving means; None before the first one ended.
    """

    slots: int
    running: int = 0
    seconds: float | None = None
    occupied: float | None = None
    stuck: int = 0

    @property
    def takes(self) -> float | None:
        """Seconds after which a slot is free again; the run's alone where no more is told."""
        return self.seconds if self.occupied is None else self.occupied


@dataclass(frozen=True, slots=True)
class Replica:
    """One process, as of `seen_at`. `loads` has the topics that it works, by name; `reporting` counts outcomes on
    their way to the engine, `lag` is the event loop's delay in seconds. `foreign_answer` says what answered in the
    engine's place within the last minute. `exchange` is the one that it publishes to, with its virtual host; None for a
    version before that was told."""

    id: str
    version: str
    roles: tuple[str, ...]
    started_at: datetime
    seen_at: datetime
    loads: Mapping[str, Load] = field(default_factory=dict)
    reporting: int = 0
    lag: float = 0.0
    foreign_answer: str | None = None
    exchange: str | None = None


def capacity(replicas: tuple[Replica, ...], topic: str) -> tuple[int, float | None]:
    """Return the topic's slots over all replicas, and the tasks a second that they can work (None: not measured)."""
    loads = [load for replica in replicas if (load := replica.loads.get(topic)) is not None]
    slots = sum(load.slots for load in loads)
    measured = [(load.slots, takes) for load in loads if (takes := load.takes) is not None]
    if not measured:
        return slots, None
    rate = sum(some / max(takes, 0.001) for some, takes in measured)
    known = sum(some for some, _ in measured)
    return slots, rate * slots / known if known else None


def alive(replicas: tuple[Replica, ...], now: datetime, within: timedelta) -> tuple[Replica, ...]:
    """Return those that gave a heartbeat within the time."""
    return tuple(replica for replica in replicas if now - replica.seen_at <= within)
