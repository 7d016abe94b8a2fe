"""What the overview, and the pages of tasks and failures, need from the rest of the gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.operations.attention import Needs
from bridge.operations.health import Health
from bridge.operations.retry import Operate
from bridge.ports.broker import Depth
from bridge.ports.clock import Clock
from bridge.ports.dashboard import Desk
from bridge.ports.dead_letters import DeadLetterStore
from bridge.ports.engine import Engine
from bridge.ports.reader import TaskReader
from bridge.topic import Topic
from web.offload import Offload


@dataclass(frozen=True, slots=True)
class TasksDesk:
    """The ways from these pages into the gateway.

    Of the engine only what reads is called here: what changes something goes by `operate`. `depth` raises
    `BrokerError`; `health` never raises. `jaeger_url` and `cockpit_url` are None where there are no such pages.
    """

    desk: Desk
    reader: TaskReader
    letters: DeadLetterStore
    operate: Operate
    engine: Engine
    depth: Callable[[str], Awaitable[Depth]]
    needs: Callable[[], Awaitable[Needs]]
    health: Callable[[], Awaitable[Health]]
    topics: Mapping[str, Topic[Any, Any]]
    clock: Clock
    offload: Offload = field(default_factory=Offload)
    jaeger_url: str | None = None
    cockpit_url: str | None = None

    def secrets_of(self, topic: str | None) -> frozenset[str]:
        """Return the names of what a topic keeps secret besides what is secret everywhere."""
        known = None if topic is None else self.topics.get(topic)
        return frozenset() if known is None else known.secrets
