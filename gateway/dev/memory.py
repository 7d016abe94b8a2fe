"""The neighbours of `gateway dev --memory`: an engine, a store and a broker that live in this process alone."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from bridge.adapters.memory.access import MemoryAccessStore
from bridge.adapters.memory.broker import MemoryBroker, MemoryConsumer
from bridge.adapters.memory.dashboard import MemoryDashboardStore
from bridge.adapters.memory.engine import MemoryEngine
from bridge.adapters.memory.store import MemoryStore, ignore_unreadable
from bridge.adapters.telemetry.telemetry import Telemetry
from bridge.domain.errors import SetupError
from bridge.domain.task import TaskKey
from bridge.ports.dead_letters import DeadLetters
from bridge.registry import Registry
from gateway.neighbours import OnUnreadable
from gateway.settings import Settings

_INSTALLATION: Final = "memory"


class WallClock:
    """The time of this machine, in whole milliseconds."""

    def now(self) -> datetime:
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)


class DevEngine(MemoryEngine):
    """The engine in memory, which is always the right one: no other can answer in its place."""

    @property
    def identity(self) -> DevEngine:
        return self

    async def installation(self) -> str | None:
        return _INSTALLATION

    async def existing_definitions(self, ids: Collection[str]) -> Collection[str]:
        return ids


class _Opened:
    """A store that is there from the beginning."""

    async def open(self, *_on_build: object) -> None:
        return

    async def close(self) -> None:
        return


class _Store(MemoryStore, _Opened):
    async def version(self) -> str:
        return "memory"

    async def server_time(self) -> datetime:
        return WallClock().now()


class _AccessStore(MemoryAccessStore, _Opened):
    pass


class _DashboardStore(MemoryDashboardStore, _Opened):
    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.on_unreadable: OnUnreadable = ignore_unreadable


class _Broker(MemoryBroker):
    def dead_letters(self) -> DeadLetters:
        return self


@dataclass(slots=True)
class _Kept:
    """All that is in memory, as one process hands it to the next at a reload."""

    engine: DevEngine
    store: _Store
    dashboard_store: _DashboardStore
    access_store: _AccessStore
    waiting: Mapping[str, Sequence[TaskKey]] = field(default_factory=dict)


class MemoryServers:
    """`gateway.neighbours.Neighbours` without servers. What it keeps is gone with the process, unless it is saved."""

    def __init__(self) -> None:
        store = _Store()
        self._kept = _Kept(DevEngine(WallClock()), store, _DashboardStore(store), _AccessStore())
        self._broker = _Broker(())

    @property
    def fake_engine(self) -> DevEngine:
        """The engine, to hand tasks to."""
        return self._kept.engine

    def store(self, _settings: Settings) -> _Store:
        return self._kept.store

    def access_store(self, _settings: Settings) -> _AccessStore:
        return self._kept.access_store

    def dashboard_store(self, _settings: Settings) -> _DashboardStore:
        return self._kept.dashboard_store

    def engine(self, _settings: Settings, **_hooks: Any) -> DevEngine:
        return self._kept.engine

    def publisher(self, _settings: Settings, topics: Registry, _on_fault: object) -> _Broker:
        self._broker = _Broker(topics.names)
        for topic, keys in self._kept.waiting.items():
            if topic in topics:
                for key in keys:
                    self._broker.deliver_again(topic, key)
        return self._broker

    def consumer(self, settings: Settings, topics: Registry, _on_fault: object, **_hooks: Any) -> MemoryConsumer:
        grace = timedelta(seconds=settings.shutdown_grace)
        return MemoryConsumer(self._broker, tuple(topics.values()), graceful=grace)

    def telemetry(self, _settings: Settings, _topics: Registry, _clock: object, **_hooks: Any) -> Telemetry:
        return Telemetry()

    def save(self, file: Path) -> None:
        """Write all that is kept for the process that comes next. Raises `SetupError` where something can't be written.

        For a process that has ended its work: nothing is changed meanwhile.
        """
        kept = self._kept
        kept.store.on_unreadable = ignore_unreadable
        kept.dashboard_store.on_unreadable = ignore_unreadable
        kept.waiting = self._broker.waiting()
        try:
            file.write_bytes(pickle.dumps(kept))
        except Exception as error:
            raise SetupError(f"what is in memory can't be handed on, and is lost: {error!r}") from error

    def load(self, file: Path) -> None:
        """Take over what the process before saved, if it did; the file is deleted. Raises `SetupError`."""
        try:
            content = file.read_bytes()
            file.unlink()
            self._kept = pickle.loads(content)  # noqa: S301 - in a folder that only this user can write to
        except FileNotFoundError:
            return
        except Exception as error:
            raise SetupError(f"what was in memory can't be read, and is lost: {error!r}") from error
