"""Fetching on fakes: an engine that tells what it is asked and holds calls until told, and all that a poll needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

from bridge.adapters.memory.broker import MemoryBroker, MemoryConsumer
from bridge.adapters.memory.engine import MemoryEngine
from bridge.domain.errors import EngineError, EngineRejected, EngineUnavailable
from bridge.domain.records import AuditEntry
from bridge.domain.replica import Load, Replica
from bridge.domain.task import Task, TaskKey
from bridge.flow.deliver.deliver import OutcomeDelivery
from bridge.flow.edit_check import EditCheck
from bridge.flow.intake import Intake
from bridge.flow.lease import Lease
from bridge.flow.poll.credit import Bounds, Credit
from bridge.flow.poll.poll import Poll, PollConfig
from bridge.flow.relay import Relay
from bridge.ports.broker import Acknowledger
from bridge.ports.clock import Clock
from bridge.ports.engine import EngineTask, TopicPoll
from bridge.registry import Registry
from bridge.topic import Topic
from tests.unit.fakes import LOCK, NOW, SECOND, HandClock, Notes, UnreliableStore

NONE = timedelta(0)
HOUR = timedelta(hours=1)
AWAY = EngineUnavailable("the engine is away")
REFUSED = EngineRejected("who are you?", status=401)
LOOK = timedelta(seconds=6)
"""Longer than any look at a queue's depth is taken for true."""


@dataclass(frozen=True, slots=True)
class Call:
    worker_id: str
    size: int
    polls: tuple[TopicPoll, ...]
    wait: timedelta

    @property
    def topics(self) -> list[str]:
        return [poll.topic for poll in self.polls]


class RecordingEngine(MemoryEngine):
    """Keeps its `calls`. One that may wait is held until a task is there, a fault strikes, or `end_waits`."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.calls: list[Call] = []
        self.asked: asyncio.Queue[Call] = asyncio.Queue()
        self.after_fetch: Callable[[], None] = lambda: None
        self.takes: Callable[[int], None] = lambda _: None
        """Lets the time pass that a call for so many tasks takes."""
        self.cancelled = 0
        self._time_up = asyncio.Event()

    async def fetch_and_lock(
        self, worker_id: str, max_tasks: int, topics: Sequence[TopicPoll], wait: timedelta
    ) -> Sequence[EngineTask]:
        call = Call(worker_id, max_tasks, tuple(topics), wait)
        self.calls.append(call)
        try:
            if wait > NONE and not self._faults.waiting["fetch"]:
                await self._hold(call)
            else:
                self.asked.put_nowait(call)
            self.takes(max_tasks)
            return await super().fetch_and_lock(worker_id, max_tasks, topics, NONE)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.after_fetch()

    async def next_call(self) -> Call:
        async with asyncio.timeout(5):
            return await self.asked.get()

    def end_waits(self) -> None:
        """Let the time of all calls that are held be up."""
        self._time_up.set()
        self._time_up = asyncio.Event()

    def locked(self, topic: str) -> set[str]:
        """Return the ids of the tasks whose locks have not ended."""
        return {task.id for task in self._tasks.all() if task.topic == topic and self._tasks.is_locked(task)}

    async def _hold(self, call: Call) -> None:
        async def news() -> None:
            self.asked.put_nowait(call)
            await self._await_news(HOUR, call.polls)

        ends = {asyncio.create_task(news()), asyncio.create_task(self._time_up.wait())}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()


def a_topic(name: str, **terms: Any) -> Topic[Any, Any]:
    """Return a topic with these terms; its handler is never called here."""
    return Topic(name, handler=lambda: None, input=BaseModel, takes_context=False, is_async=True, **terms)


def workers(slots: Mapping[str, int], seconds: float | None = None, seen_at: datetime = NOW) -> Replica:
    """Return a replica whose handlers have so many slots."""
    loads = {topic: Load(some, seconds=seconds) for topic, some in slots.items()}
    return Replica("worker-1", "1.0", ("work",), NOW, seen_at, loads)


class PollRig:
    """A poll on fakes, with its real credit, intake, relay and lease. `slots` has the topics with their handlers."""

    def __init__(
        self,
        slots: Mapping[str, int],
        *,
        topics: Sequence[Topic[Any, Any]] = (),
        config: PollConfig | None = None,
        store: UnreliableStore | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        declared = {topic.name: topic for topic in topics}
        self.topics = Registry({name: declared.get(name) or a_topic(name) for name in slots})
        self.clock = HandClock()
        self.engine = RecordingEngine(self.clock)
        self.store = store or UnreliableStore()
        self.broker = MemoryBroker(list(slots))
        self.notes = Notes()
        self.lease = Lease(self.engine, self.clock, self.topics, LOCK)
        self.store.heartbeats["worker-1"] = workers(slots)
        self.relay = Relay(
            self.store, self.broker, self.clock, self.notes, again_after=5 * SECOND, look_after=20 * SECOND
        )
        self.credit = Credit(
            publisher=self.broker, replicas=self.store, store=self.store, lease=self.lease, topics=self.topics,
            clock=self.clock, bounds=bounds or Bounds(backlog=500, received=5000, replica_life=HOUR),
        )  # fmt: skip
        self.audited: list[AuditEntry] = []
        self.intake = self._intake()
        self.poll = Poll(
            engine=self.engine, intake=self.intake, credit=self.credit, lease=self.lease, topics=self.topics,
            clock=self.clock, journal=self.notes, replica="r1",
            config=config or PollConfig(NONE, 100, min_interval=NONE),
        )  # fmt: skip

    def _intake(self) -> Intake:
        self.delivery = OutcomeDelivery(
            self.engine, self.store, self.clock, self.notes,
            first_delay=SECOND, most_delay=60 * SECOND, limit=3, concurrency=4,
        )  # fmt: skip
        return Intake(
            engine=self.engine, store=self.store, relay=self.relay, delivery=self.delivery, topics=self.topics,
            clock=self.clock, journal=self.notes, replica="r1", retry_limit=3, publish_within=10 * SECOND,
            edits=EditCheck(audit=self._audit, clock=self.clock, journal=self.notes, replica="r1"),
        )  # fmt: skip

    async def _audit(self, entry: AuditEntry) -> None:
        self.audited.append(entry)

    async def round(self) -> list[Call]:
        """Do one turn and let what it began end; return the calls it made."""
        before = len(self.engine.calls)
        await self.poll.run_once()
        await self.settle()
        return self.engine.calls[before:]

    async def settle(self) -> None:
        """Wait until nothing is under way, whatever fails meanwhile."""
        while True:
            try:
                await self.poll.idle()
            except Exception:  # noqa: BLE001 - it's the poll that has to tell of it
                # Since Python 3.12 a gather of ended tasks raises without yielding, and their callbacks never run.
                await asyncio.sleep(0)
                continue
            return

    def add(self, topic: str, count: int = 1, tenant: str | None = None, priority: int = 0) -> list[str]:
        return [self.engine.add(topic, tenant_id=tenant, priority=priority) for _ in range(count)]

    def kept(self, topic: str) -> list[Task]:
        return [task for task in self.store.tasks.values() if task.topic == topic]

    async def consume(self, topic: str, most: int = 10_000) -> list[str]:
        """Take messages off a queue, as handlers do that are done at once; return the tasks' ids."""
        count = min(most, (await self.broker.depth(topic)).ready)
        if count == 0:
            return []
        begun: asyncio.Queue[str] = asyncio.Queue()
        enough = asyncio.Event()

        async def handle(_: str, key: TaskKey, acknowledger: Acknowledger) -> None:
            begun.put_nowait(key.id)
            await enough.wait()
            await acknowledger.ack()

        consumer = MemoryConsumer(self.broker, [a_topic(topic, concurrency=count)])
        await consumer.start(handle)
        ids = [await begun.get() for _ in range(count)]
        await consumer.stop()
        enough.set()
        await consumer.close()
        for task_id in ids:
            with suppress(EngineError):  # of a message that came twice
                await self.engine.complete(task_id, self.store.tasks[task_id].worker_id, {})
        return ids


async def is_full_again(rig: PollRig) -> bool:
    """Tell whether there is all the room, once what was fetched is being worked."""
    for topic in rig.topics:
        await rig.consume(topic)
    rig.clock.advance(LOOK)
    capacities = await rig.credit.capacities()
    return capacities == {topic: rig.credit.limit(topic) for topic in rig.topics}
