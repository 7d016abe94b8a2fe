"""The whole life of a task in a test: an engine in memory, the gateway's own flow, and time that the test moves.

def test_a_bank_that_is_away_is_asked_again() -> None:
    ended = TopicRun(charge_card).run({"order_id": "A-17", "amount_cents": 2_000_000})
    assert [attempt.ended for attempt in ended.attempts] == ["failed", "completed"]
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from bridge.adapters.memory.broker import MemoryBroker, MemoryConsumer
from bridge.adapters.memory.dashboard import MemoryDashboardStore
from bridge.adapters.memory.engine import MemoryEngine
from bridge.adapters.memory.store import MemoryStore
from bridge.domain.errors import TaskGone
from bridge.domain.task import State, Task
from bridge.domain.task_counts import SETTLED
from bridge.domain.topic import Topic
from bridge.domain.variables import EngineFormat, decode, encode
from bridge.flow.deliver.deliver import OutcomeDelivery
from bridge.flow.edit_check import EditCheck
from bridge.flow.engine.breaker import Breaker
from bridge.flow.handle.claims import Claims
from bridge.flow.handle.handle import Handle, HandleConfig
from bridge.flow.handle.renew import Renew
from bridge.flow.handle.run import Run
from bridge.flow.handle.threads import Threads
from bridge.flow.intake import Intake
from bridge.flow.lease import Lease
from bridge.flow.relay import Relay
from bridge.flow.scope import context_of, topic_poll
from bridge.ports.journal import Level
from bridge.registry import Registry
from bridge.runtime.loop import Loop, Signal
from bridge.testing import LogEntry, RecordingLog
from bridge.testing.simulated_time import SimulatedClock, SimulatedLoop, seconds_of

_WORKER, _OTHER, _REPLICA = "worker", "another-worker", "test"
_CLAIM: Final = timedelta(seconds=20)
_SECOND: Final = timedelta(seconds=1)
_LONGEST_PAUSE: Final = timedelta(seconds=30)
_ENDS: Final = SETTLED | {State.FAILED}


@dataclass(frozen=True, slots=True)
class RunAttempt:
    """One run of the handler: how it `ended` (completed, failed, bpmn_error, or lost), and when, in seconds.

    `error` is the name of the exception, or the code of the BPMN error.
    """

    ended: str
    error: str | None
    message: str | None
    began_at: float
    ended_at: float

    @property
    def seconds(self) -> float:
        """How long it ran, to a hundredth of a second."""
        return round(self.ended_at - self.began_at, 2)


@dataclass(frozen=True, slots=True)
class EndedTask:
    """What became of a task. `state` is the gateway's own: completed, failed (an incident), cancelled, superseded.

    `variables` are the process's after the end, as Python values; `log` is what the handler logged, in all runs;
    `seconds` is how long all of it took, in simulated time.
    """

    state: str
    attempts: tuple[RunAttempt, ...]
    variables: Mapping[str, Any]
    log: tuple[LogEntry, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class _Settings:
    timeout: timedelta
    retry_limit: int
    first_delay: timedelta
    most_delay: timedelta
    lock: timedelta
    into: EngineFormat


class TopicRun:
    """Runs tasks of one topic as a gateway does: fetch, decode, handle, retry, renew, complete.

    The settings have the names and defaults of the gateway's (TASK_TIMEOUT, …), in seconds; what `@topic` says goes
    before them. Time is simulated: a retry after an hour, or a handler that hangs, takes a test no time. It is real
    while a plain handler runs in its thread, and while a connection is open.
    """

    def __init__(
        self,
        topic: Topic[Any, Any],
        *,
        task_timeout: float = 300,
        task_retry_limit: int = 3,
        retry_delay: float = 5,
        retry_delay_max: float = 300,
        lock_duration: float = 60,
        engine_timezone: str = "UTC",
    ) -> None:
        self._topic = topic
        self._settings = _Settings(
            timedelta(seconds=task_timeout),
            task_retry_limit,
            timedelta(seconds=retry_delay),
            timedelta(seconds=retry_delay_max),
            timedelta(seconds=lock_duration),
            EngineFormat(ZoneInfo(engine_timezone)),
        )
        self._events: list[tuple[float, Callable[[_Rig], Awaitable[None]]]] = []

    def lose_lock(self, after: float) -> TopicRun:
        """Let another worker have the task `after` so many seconds: a handler that runs then is cancelled."""

        async def steal(rig: _Rig) -> None:
            await rig.engine.unlock(rig.task_id)
            await rig.engine.lock(rig.task_id, _OTHER, timedelta(days=1))

        self._events.append((after, steal))
        return self

    def cancel_process(self, after: float) -> TopicRun:
        """Let the process instance be cancelled `after` so many seconds: a handler that runs then is cancelled."""

        async def cancel(rig: _Rig) -> None:
            rig.engine.cancel(rig.task_id)

        self._events.append((after, cancel))
        return self

    def run(
        self,
        variables: Mapping[str, Any] | None = None,
        *,
        business_key: str | None = None,
        within: float = 30 * 86_400,
    ) -> EndedTask:
        """Let a process with these variables, as Python values, reach the topic's task; return what became of that.

        May be called from an async test too: it has a thread and an event loop of its own. Raises `TimeoutError` for
        a task that has not ended `within` so many simulated seconds, and what the test's own handler can't turn into
        an outcome.
        """
        ends: list[EndedTask] = []
        faults: list[BaseException] = []

        def simulate() -> None:
            rig = _Rig(self._topic, self._settings)
            try:
                with asyncio.Runner(loop_factory=lambda: SimulatedLoop(rig.in_thread)) as runner:
                    ends.append(runner.run(self._life(rig, variables or {}, business_key, within)))
            except BaseException as error:  # noqa: BLE001 - it is raised in the test's own thread
                faults.append(error)

        thread = threading.Thread(target=simulate, name="topic-run", daemon=True)
        thread.start()
        thread.join()
        if faults:
            raise faults[0]
        return ends[0]

    async def _life(
        self, rig: _Rig, variables: Mapping[str, Any], business_key: str | None, within: float
    ) -> EndedTask:
        async with rig.running(encode(variables, self._settings.into), business_key):
            events = [asyncio.create_task(_later(after, event, rig)) for after, event in self._events]
            try:
                async with asyncio.timeout(within):
                    task = await rig.until_ended()
            finally:
                for each in events:
                    each.cancel()
                await asyncio.gather(*events, return_exceptions=True)
        return _ended(task, rig)


async def _later(after: float, event: Callable[[_Rig], Awaitable[None]], rig: _Rig) -> None:
    await asyncio.sleep(after)
    try:
        await event(rig)
    except TaskGone:
        return  # the task has ended before


def _ended(task: Task, rig: _Rig) -> EndedTask:
    attempts = tuple(
        RunAttempt(each.ended, each.error, each.message, seconds_of(each.started_at), seconds_of(each.ended_at))
        for each in task.history
    )
    variables = decode(rig.engine.variables[task.process_instance_id or ""], rig.zone)
    return EndedTask(task.state.value, attempts, variables, tuple(rig.log.entries), seconds_of(rig.clock.now()))


class _Rig:
    """The flow of one worker on an engine, a store and a broker in memory, and the journal that wakes what waits."""

    engine: MemoryEngine
    clock: SimulatedClock
    task_id: str

    def __init__(self, topic: Topic[Any, Any], settings: _Settings) -> None:
        self.log = RecordingLog()
        self.zone = settings.into.zone
        self._topic = topic
        self._topics = Registry({topic.name: topic})
        self._settings = settings
        self._news = Signal()
        self._claims = Claims({topic.name: topic.concurrency})

    def in_thread(self) -> bool:
        """Return whether a plain handler may be running, in real time."""
        return not self._topic.is_async and len(self._claims) > 0

    def write(self, event: str, *, task: Task | None = None, level: Level = Level.INFO, **values: object) -> None:
        """Take an entry of the gateway's own log, as a `Journal`: what it is about has changed."""
        del event, task, level, values
        self._news.wake()

    @asynccontextmanager
    async def running(self, variables: Any, business_key: str | None) -> AsyncIterator[None]:
        """Have the flow run, with one task in the engine."""
        self.clock = SimulatedClock(asyncio.get_running_loop())
        self.engine = MemoryEngine(self.clock)
        self.task_id = self.engine.add(self._topic.name, variables, business_key=business_key)
        threads = self._build()
        renew = Loop("renew", self._renew.run_once, self, every=min(_CLAIM, self._lease.duration(self._topic.name)) / 3)
        renewing = asyncio.create_task(renew.run())
        await self._consumer.start(self._handle)
        try:
            yield
        finally:
            self._handle.stop()
            await self._consumer.close()
            await self._delivery.drain()
            renew.stop()
            await renewing
            threads.close()

    async def until_ended(self) -> Task:
        """Fetch the task whenever the engine offers it, until it has ended here and its outcome is in the engine."""
        while True:
            kept = await self._store.get(self.task_id)
            if kept is not None and kept.state in _ENDS:
                return kept
            await self._news.wait(await self._fetch())

    async def _fetch(self) -> timedelta:
        """Fetch the task where it is free; return when to look at it again."""
        asked_at = self.clock.now()
        poll = topic_poll(self._topic, self._lease.duration(self._topic.name))
        leases = await self.engine.fetch_and_lock(_WORKER, 1, [poll], timedelta(0))
        if leases:
            await self._intake.accept(leases, _WORKER, self._lease.expiry(self._topic.name, asked_at))
        try:
            until = (await self.engine.get(self.task_id)).lock_until
        except TaskGone:
            return _SECOND
        left = _LONGEST_PAUSE if until is None else until - self.clock.now()
        return min(max(left, timedelta(milliseconds=1)), _LONGEST_PAUSE)

    def _build(self) -> Threads:
        store, clock, topics = MemoryStore(), self.clock, self._topics
        broker = MemoryBroker(topics.names)
        threads = Threads(self)
        self._store = store
        self._lease = Lease(self.engine, clock, topics, self._settings.lock)
        self._delivery = OutcomeDelivery(
            self.engine, store, clock, self, first_delay=_SECOND, most_delay=60 * _SECOND, limit=12, concurrency=1,
            breaker=Breaker(self, trial_within=60 * _SECOND), replicas=store,
        )  # fmt: skip
        relay = Relay(store, broker, clock, self, again_after=10 * _SECOND, look_after=self._settings.lock / 3)
        self._handle = Handle(
            store=store, lease=self._lease, delivery=self._delivery, claims=self._claims, topics=topics,
            run=Run(
                timeout=self._settings.timeout, first_delay=self._settings.first_delay,
                most_delay=self._settings.most_delay, threads=threads, engine_format=self._settings.into,
            ),
            context=lambda task: context_of(task, engine=self.engine, records=store, log=self.log),
            clock=clock, journal=self, config=HandleConfig(_REPLICA, _CLAIM), begun=relay.begun,
        )  # fmt: skip
        self._intake = Intake(
            engine=self.engine, store=store, relay=relay, delivery=self._delivery, topics=topics, clock=clock,
            journal=self, replica=_REPLICA, retry_limit=self._settings.retry_limit, publish_within=20 * _SECOND,
            edits=EditCheck(
                audit=MemoryDashboardStore(store).write, clock=clock, journal=self, replica=_REPLICA
            ),
        )  # fmt: skip
        self._renew = Renew(store, self._lease, self._claims, clock, self, claim=_CLAIM)
        self._consumer = MemoryConsumer(broker, tuple(topics.values()), graceful=timedelta(0))
        return threads
