"""A delivery of outcomes over an engine and a store in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bridge.adapters.memory.engine import MemoryEngine
from bridge.adapters.memory.models import ErrorWhen
from bridge.adapters.memory.store import MemoryStore
from bridge.domain.task import Outcome, State, Task
from bridge.flow.deliver.deliver import OutcomeDelivery
from bridge.ports.clock import Clock
from bridge.ports.engine import TopicPoll
from bridge.ports.store import Replicas
from tests.unit.fakes import Notes

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOCK = timedelta(seconds=60)


class Frozen:
    def now(self) -> datetime:
        return NOW


class Ticking:
    """A clock by which each look takes a millisecond."""

    def __init__(self) -> None:
        self._looks = 0

    def now(self) -> datetime:
        self._looks += 1
        return NOW + timedelta(milliseconds=self._looks)


class Flow:
    def __init__(self, clock: Clock = Frozen(), replicas: Replicas | None = None) -> None:
        self.error_when: ErrorWhen | None = None
        self.engine = MemoryEngine(Frozen())
        self.store = MemoryStore()
        self.notes = Notes()
        second = timedelta(seconds=1)
        self.delivery = OutcomeDelivery(
            self.engine,
            self.store,
            clock,
            self.notes,
            first_delay=second,
            most_delay=60 * second,
            limit=3,
            concurrency=4,
            replicas=replicas,
        )

    async def decided(self, outcome: Outcome) -> Task:
        self.engine.add("say_hello", error_when=self.error_when)
        (lease,) = await self.engine.fetch_and_lock("bridge-a", 1, [TopicPoll("say_hello", LOCK)], timedelta(0))
        task = Task(
            lease.id, "say_hello", "bridge-a", NOW + LOCK, NOW, NOW, 3, state=State.REPORTING, outcome=outcome,
            process_definition_id=lease.process_definition_id, activity_id=lease.activity_id,
            activity_instance_id=lease.activity_instance_id, error_type="E", error_fp="f",
        )  # fmt: skip
        await self.store.accept([task])
        return task
