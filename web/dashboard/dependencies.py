"""The parts of the gateway that the dashboard's pages depend on, passed in by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bridge.domain.replica import ALIVE_FOR
from bridge.operations.attention import Needs
from bridge.operations.bulk import Bulk
from bridge.operations.health import Health
from bridge.operations.retry import Operate
from bridge.ports.broker import Depth
from bridge.ports.clock import Clock
from bridge.ports.dashboard import DashboardStore
from bridge.ports.dead_letters import DeadLetterStore
from bridge.ports.engine import Engine
from bridge.ports.reader import TaskReader
from bridge.ports.store import Replicas
from bridge.topic import Topic
from web.offload import Offload


@dataclass(frozen=True, slots=True)
class TopicDefaults:
    """The options of a topic that doesn't set its own."""

    timeout: timedelta
    lock: timedelta
    retries: int


@dataclass(frozen=True, slots=True)
class DashboardDependencies:
    """All that the pages of tasks, failures, topics, workers, bulk operations and the audit depend on.

    The pages only read the engine: changes go by `operate`. `depth` and `depths` raise `BrokerError`; `health` never
    raises. `circuit` is the state of this process's circuit breaker: `closed`, `open` or `half_open`.
    `jaeger_url` is where a trace's page is, with `{trace}` for its id; it and `cockpit_url` are None where there are no
    such pages. A replica without a heartbeat for `stale_after` is stale, and is listed for `shown_for`.
    """

    store: DashboardStore
    reader: TaskReader
    replicas: Replicas
    dead_letter_store: DeadLetterStore
    engine: Engine
    operate: Operate
    bulk: Bulk
    depth: Callable[[str], Awaitable[Depth]]
    depths: Callable[[Sequence[str]], Awaitable[Mapping[str, Depth]]]
    needs: Callable[[], Awaitable[Needs]]
    health: Callable[[], Awaitable[Health]]
    circuit: Callable[[], str]
    topics: Mapping[str, Topic[Any, Any]]
    topic_defaults: TopicDefaults
    clock: Clock
    offload: Offload = field(default_factory=Offload)
    jaeger_url: str | None = None
    cockpit_url: str | None = None
    stale_after: timedelta = ALIVE_FOR
    shown_for: timedelta = timedelta(hours=1)

    def secrets_of(self, topic: str | None) -> frozenset[str]:
        """Return the names of what a topic keeps secret besides what is secret everywhere."""
        known = None if topic is None else self.topics.get(topic)
        return frozenset() if known is None else known.secrets
