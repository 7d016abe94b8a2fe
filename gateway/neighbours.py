"""What a process needs of its neighbours: the ports of engine, store and broker, and what opens and closes them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from bridge.adapters.camunda.client import Foreign, Guard, Headers, Observe
from bridge.adapters.mongo.index_builds import OnBuild
from bridge.adapters.rabbitmq.consumer import OnUndecodable
from bridge.adapters.rabbitmq.queues import OnFault
from bridge.adapters.telemetry.telemetry import Dropped, Telemetry
from bridge.domain.messages import Message
from bridge.domain.task import UnreadableTask
from bridge.domain.unreadable_row import OnUnreadableRow
from bridge.flow.engine.identity import IdentityProbe
from bridge.operations.queue_depths import StateCounts
from bridge.ports import access, broker, dashboard, dead_letters, engine, reader, store
from bridge.ports.changes import Changes
from bridge.ports.clock import Clock
from bridge.registry import Registry
from gateway.settings import Settings

OnUnreadable = Callable[[UnreadableTask], None]


class Engine(engine.Engine, Protocol):
    """The engine of this process. `identity` asks which engine answers."""

    @property
    def identity(self) -> IdentityProbe: ...

    async def open(self) -> None: ...
    async def close(self) -> None: ...


class _OpenedStore(Protocol):
    async def open(self, on_build: OnBuild = ..., /) -> None:
        """Connect; `on_build` is told how far the building of indexes is. Raises `StoreError`, or `SetupError`."""
        ...

    async def close(self) -> None: ...


class Store(
    store.TaskStore,
    store.Replicas,
    store.Records,
    store.EngineIdentityStore,
    store.SchemaStore,
    reader.TaskReader,
    dead_letters.DeadLetterStore,
    StateCounts,
    _OpenedStore,
    Protocol,
):
    """The store of tasks. `on_unreadable` is called for each document that can't be read as a task."""

    on_unreadable: OnUnreadable

    async def version(self) -> str: ...
    async def server_time(self) -> datetime:
        """Return the time by the store's clock, aware, in UTC."""
        ...

    async def replica_set(self) -> str | None:
        """Return the name of the replica set that answers; None for a server that is alone."""
        ...


class AccessStore(access.AccessStore, _OpenedStore, Protocol):
    """The store of people and keys."""


class DashboardStore(dashboard.DashboardStore, Changes, _OpenedStore, Protocol):
    """The store of what the dashboard reads and writes."""

    on_unreadable: OnUnreadable


class Publisher(broker.Publisher, Protocol):
    """The publishing side of the broker, and its dead letters."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def version(self) -> str: ...
    async def try_delivery(self) -> None:
        """Publish and consume one message on a queue of its own. Raises `BrokerUnavailable`."""
        ...

    def dead_letters(self) -> dead_letters.DeadLetters: ...


class Consumer(broker.Consumer, Protocol):
    """The consuming side of the broker."""

    async def close(self) -> None:
        """Wait for running handlers as long as the grace lasts, and return what is unacknowledged."""
        ...


class Neighbours(Protocol):
    """Makes the adapters of one process. They are connected to nothing yet."""

    def store(self, settings: Settings, /) -> Store: ...
    def access_store(self, settings: Settings, /) -> AccessStore: ...
    def dashboard_store(self, settings: Settings, /) -> DashboardStore: ...
    def engine(
        self,
        settings: Settings,
        /,
        *,
        headers: Headers,
        observe: Observe,
        foreign: Foreign,
        guard: Guard,
        on_token_not_renewed: Callable[[Message], None],
        on_string_limit: Callable[[int], None],
        on_unreadable_row: OnUnreadableRow,
    ) -> Engine: ...
    def publisher(self, settings: Settings, topics: Registry, on_fault: OnFault, /) -> Publisher: ...
    def consumer(
        self, settings: Settings, topics: Registry, on_fault: OnFault, /, *, on_undecodable: OnUndecodable
    ) -> Consumer: ...
    def telemetry(
        self, settings: Settings, topics: Registry, clock: Clock, /, *, version: str, replica: str, dropped: Dropped
    ) -> Telemetry: ...
