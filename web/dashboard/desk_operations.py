"""What the pages of topics, workers, bulk operations and the audit need from the rest of the gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bridge.domain.dead_letter import DeadLetter
from bridge.operations.bulk import Bulk
from bridge.operations.health import Health
from bridge.ports.broker import Depth
from bridge.ports.clock import Clock
from bridge.ports.dashboard import Desk
from bridge.ports.store import Replicas
from bridge.topic import Topic


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for a topic that doesn't say otherwise."""

    timeout: timedelta
    lock: timedelta
    retries: int


@dataclass(frozen=True, slots=True)
class OperationsDesk:
    """The ways from these pages into the gateway.

    `depths` raises `BrokerError`; `health` never raises. `circuit` tells how this process's calls to the engine go:
    `closed`, `open` or `half_open`. `trace_url` is where a trace's page is, with `{trace}` for its id.
    `life` is for how long a replica may give no sign before it counts as stale, `memory` for how long it is shown.
    """

    desk: Desk
    bulk: Bulk
    replicas: Replicas
    depths: Callable[[Sequence[str]], Awaitable[Mapping[str, Depth]]]
    dead_letters: Callable[[int], Awaitable[Sequence[DeadLetter]]]
    health: Callable[[], Awaitable[Health]]
    circuit: Callable[[], str]
    topics: Mapping[str, Topic[Any, Any]]
    terms: Terms
    clock: Clock
    trace_url: str | None = None
    life: timedelta = timedelta(seconds=15)
    memory: timedelta = timedelta(hours=1)
