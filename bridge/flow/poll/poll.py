"""From the engine: one loop that fetches and locks the tasks of all topics, fairly, and within their capacity."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from bridge.domain.errors import AnswerTooLarge, CallCut, EngineError, EngineUnavailable, GatewayError
from bridge.domain.messages import message
from bridge.domain.replica import new_worker_id
from bridge.domain.topic import Topic
from bridge.flow.intake import Intake
from bridge.flow.lease import Lease
from bridge.flow.poll.credit import Credit
from bridge.flow.poll.fairness import Tenants, Whose
from bridge.flow.poll.fetch_size import FIRST, FetchSize
from bridge.flow.poll.orphaned_locks import OrphanedLocks
from bridge.flow.poll.oversized import refuse_oversized
from bridge.flow.poll.poll_wait import PollWait
from bridge.flow.scope import topic_poll
from bridge.ports.clock import Clock
from bridge.ports.engine import Engine, EngineTask, TopicPoll
from bridge.ports.journal import Journal, Level
from bridge.ports.tracer import NoTracer, Tracer
from bridge.runtime.loop import Signal


@dataclass(frozen=True, slots=True)
class PollConfig:
    """`wait` is how long the engine may hold a call, `size` the most tasks of one call, however slow calls are.

    `max_concurrent` calls for topics that have a backlog run side by side, and `waiting` ones that the engine holds.
    `min_interval` is the least time between two calls that bring nothing."""

    wait: timedelta
    size: int
    max_concurrent: int = 3
    waiting: int = 3
    second_wait: timedelta = timedelta(seconds=1)
    min_interval: timedelta = timedelta(milliseconds=100)


@dataclass(frozen=True, slots=True)
class _Fetch:
    """A call under way: for these topics and so many tasks; `waits`: the engine holds the call until there are some.

    A call for one topic alone may be for some of its tenants only.
    """

    topics: tuple[str, ...]
    size: int
    waits: bool
    whose: Whose = None


async def _never() -> bool:
    return False


class Poll:
    """Fetches. `held_back` says that something goes first: outcomes that an outage held up.

    Topics without a backlog share one waiting call. After a call that came back full there may be more: then its
    topics are asked for one by one, in turn, as one call for all would give everything to the topic with the oldest
    tasks; for the same reason the calls of such a topic take turns by tenant. Each call has a worker id of its own,
    which is the fencing token of all tasks that it locks.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        intake: Intake,
        credit: Credit,
        lease: Lease,
        topics: Mapping[str, Topic[Any, Any]],
        clock: Clock,
        journal: Journal,
        replica: str,
        config: PollConfig,
        held_back: Callable[[], Awaitable[bool]] = _never,
        tracer: Tracer = NoTracer(),
    ) -> None:
        self._engine = engine
        self._intake = intake
        self._credit = credit
        self._lease = lease
        self._topics = topics
        self._clock = clock
        self._journal = journal
        self._replica = replica
        self._config = config
        self._held_back = held_back
        self._tracer = tracer
        self._news = Signal()
        self._fetches: dict[asyncio.Task[None], _Fetch] = {}
        self._accepting: set[asyncio.Task[None]] = set()
        self._busy: deque[str] = deque()
        self._due: set[str] = set()
        self._tenants = {name: Tenants(topic.tenant_ids) for name, topic in topics.items()}
        self._sizes = {name: FetchSize(config.size) for name in topics}
        self._polls = {name: topic_poll(topic, lease.duration(name)) for name, topic in topics.items()}
        self._waits = PollWait(config.wait, clock, journal)
        self._orphans = OrphanedLocks(engine, clock, journal, self.nudge)
        self._failure: GatewayError | None = None
        self._stopping = False

    @property
    def wait(self) -> timedelta:
        """How long a fetch waits at the engine at present, where there are no tasks."""
        return self._waits.now

    def nudge(self, topics: Collection[str]) -> None:
        """Fetch for these topics now, without waiting: a task became ready without the engine waking a waiting call."""
        self._due |= {topic for topic in topics if topic in self._topics}
        self._news.wake()

    async def run_once(self) -> None:
        """Start the calls that capacity allows, and wait for an event that may allow more.

        Raises the error of a call, or of storing its tasks, once and in the turn in which it happened, so that
        failures in a row are counted as such.
        """
        self._raise_failure()
        if self._stopping:
            return
        if await self._held_back():
            await self._news.wait(self._config.min_interval)
            return
        self._orphans.start()
        capacities = await self._credit.capacities()
        self._start_calls(capacities)
        await self._news.wait(self._pause(capacities))
        self._raise_failure()

    async def stop(self) -> None:
        """Start no more calls; return when those under way are back and their tasks are stored or unlocked.

        Waiting calls are not cut off: the engine would lock the next task for a caller that is gone.
        """
        self._stopping = True
        self._news.wake()
        await self._join(raises=False)
        if self._failure is not None:
            self._journal.write("last_fetch_failed", level=Level.WARNING, error=str(self._failure))
        await self._orphans.release_all()

    async def idle(self) -> None:
        """Return when no call is under way and all locked tasks are stored."""
        await self._join(raises=True)

    async def _join(self, *, raises: bool) -> None:
        while self._fetches or self._accepting or self._orphans.is_releasing:
            await asyncio.gather(*self._fetches, *self._accepting, self._orphans.idle(), return_exceptions=not raises)
            await asyncio.sleep(0)  # since Python 3.12 what has ended is not waited for, and its end not noticed yet

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _pause(self, capacities: Mapping[str, int]) -> timedelta:
        """Return how long to wait for an event: not for long where work can become due without one."""
        # for capacity, or for a call to end
        if any(capacities[topic] == 0 for topic in capacities) or self._busy or self._due:
            return self._config.min_interval
        dues = [due for due in (self._orphans.due_in(), self._waits.due_in() or None) if due is not None]
        return max(self._config.min_interval, min([self._config.wait, *dues]))

    def _start_calls(self, capacities: Mapping[str, int]) -> None:
        if self._stopping:  # a concurrent stop does not wait for calls that begin now
            return
        fetched = {topic for fetch in self._fetches.values() for topic in fetch.topics}
        free = self._config.max_concurrent - sum(not fetch.waits for fetch in self._fetches.values())
        alone = Counter(topic for fetch in self._fetches.values() if not fetch.waits for topic in fetch.topics)
        for topic in self._in_turn():
            capacity = capacities[topic]
            size = self._share(topic)
            minimum = 1 if topic in self._due else min(size, self._credit.minimum_fetch(topic))
            if free <= 0 or capacity < minimum or alone[topic]:
                continue
            self._start(_Fetch((topic,), min(capacity, size), waits=False, whose=self._whose(topic)))
            self._due.discard(topic)
            if topic in self._busy:
                self._busy.remove(topic)
                self._busy.append(topic)
            fetched.add(topic)
            free -= 1
        quiet = [
            topic
            for topic in self._topics
            if capacities[topic] > 0 and topic not in fetched and topic not in self._busy
        ]
        waiting = sum(fetch.waits for fetch in self._fetches.values())
        if quiet and waiting < self._config.waiting and not self._waits.due_in():
            # Half of the capacity is left: a topic that is nudged is asked for while the engine holds this call.
            size = min(FIRST, *(min(self._sizes[topic].now, max(1, capacities[topic] // 2)) for topic in quiet))
            self._start(_Fetch(tuple(quiet), size, waits=True))

    def _in_turn(self) -> list[str]:
        return [*sorted(self._due), *(topic for topic in self._busy if topic not in self._due)]

    def _whose(self, topic: str) -> Whose:
        """Return the tenants to ask for: all after a nudge, as the tenant of the task is not known."""
        tenants = self._tenants[topic]
        return tenants.next() if topic in self._busy and topic not in self._due else tenants.everybody

    def _share(self, topic: str) -> int:
        """Return the topic's part of a full call, by its weight."""
        most = max(self._topics[name].weight for name in {topic, *self._busy})
        return max(1, self._sizes[topic].now * self._topics[topic].weight // most)

    def _start(self, fetch: _Fetch) -> None:
        for topic in fetch.topics:
            self._credit.take(topic, fetch.size)
        call = asyncio.create_task(self._call(fetch))
        self._fetches[call] = fetch
        call.add_done_callback(self._ended)

    def _ended(self, call: asyncio.Task[None]) -> None:
        del self._fetches[call]
        error = None if call.cancelled() else call.exception()
        if isinstance(error, GatewayError):
            self._failure = error
        elif error is not None:
            self._failure = EngineUnavailable(message("engine.fetch_broke", error=repr(error)))
            self._journal.write("fetch_error", level=Level.ERROR, error=repr(error), stack=error)
        self._news.wake()

    async def _call(self, fetch: _Fetch) -> None:
        worker_id = new_worker_id(self._replica)
        polls = [self._poll(topic, fetch) for topic in fetch.topics]
        wait = self._wait(fetch) if fetch.waits else timedelta(0)
        asked_at, began = self._clock.now(), asyncio.get_running_loop().time()
        leases: Sequence[EngineTask] = ()
        try:
            with self._tracer.fetch(worker_id, fetch.topics) as fetching:
                leases = await self._engine.fetch_and_lock(worker_id, fetch.size, polls, wait)
                fetching.fetched(leases)
        except AnswerTooLarge as error:
            await self._fetch_less(fetch, worker_id, error)
            return
        except EngineUnavailable as error:
            # The engine may have locked tasks for this call all the same, as long as it would have held it.
            self._orphans.expect(worker_id, asked_at + wait, self._longest_lock(fetch))
            if not isinstance(error, CallCut):
                raise
            took = self._clock.now() - asked_at
            await self._engine.version()  # raises where the engine is away; else only waiting calls are cut
            if not self._waits.cut(wait, took):
                raise
            return
        finally:
            got = Counter(lease.topic for lease in leases)
            for topic in fetch.topics:
                self._credit.settle(topic, fetch.size - got[topic], queued=0)
        took = self._clock.now() - asked_at
        self._learn(fetch, leases, took)
        self._waits.answered(wait, took, [age for age in map(self._age, leases) if age is not None], len(leases))
        if leases:
            keeping = asyncio.create_task(self._keep(leases, worker_id, asked_at))
            self._accepting.add(keeping)
            keeping.add_done_callback(self._kept)
        elif fetch.waits:
            # An engine that doesn't hold the call must not be asked again and again at once.
            pause = began + self._config.min_interval.total_seconds() - asyncio.get_running_loop().time()
            await asyncio.sleep(max(0.0, pause))

    async def _fetch_less(self, fetch: _Fetch, worker_id: str, error: AnswerTooLarge) -> None:
        """Fetch less after an answer too large: topic by topic, then fewer tasks. One task alone is an incident.

        Raises `AnswerTooLarge` where nothing is locked, `EngineError` where that is not known or done.
        """
        count = len(fetch.topics)
        self._journal.write("answer_too_large", level=Level.WARNING, topics=count, tasks=fetch.size, error=str(error))
        if fetch.size > 1:
            self._orphans.expect(worker_id, self._clock.now(), self._longest_lock(fetch))
            if count == 1:
                self._sizes[fetch.topics[0]].halve(fetch.size)
            self.nudge(fetch.topics)
            return
        try:
            if await refuse_oversized(self._engine, self._journal, worker_id, error) == 0:
                raise error
        except EngineError:
            self._orphans.expect(worker_id, self._clock.now(), self._longest_lock(fetch))
            raise

    def _longest_lock(self, fetch: _Fetch) -> timedelta:
        return max(self._lease.duration(topic) for topic in fetch.topics)

    def _wait(self, fetch: _Fetch) -> timedelta:
        """Return how long the engine may hold the call: a part of the lock, which counts from the call."""
        is_first = not any(other.waits for other in self._fetches.values() if other is not fetch)
        shortest = min(self._lease.duration(topic) for topic in fetch.topics)
        wait = self._waits.begin()
        return min(wait if is_first else min(wait, self._config.second_wait), shortest / 4)

    def _age(self, lease: EngineTask) -> timedelta | None:
        """Return a task's age at its first lock, by the engine's clock; None for a later lock."""
        if lease.created_at is None or lease.lock_until is None or lease.retries is not None:
            return None
        try:
            return lease.lock_until - self._lease.duration(lease.topic) - lease.created_at
        except OverflowError:  # a lock that ends at the beginning of the calendar
            return None

    def _learn(self, fetch: _Fetch, leases: Sequence[EngineTask], took: timedelta) -> None:
        full = len(leases) >= fetch.size
        for topic in fetch.topics:
            tenants, seen = self._tenants[topic], [lease.tenant_id for lease in leases if lease.topic == topic]
            if fetch.waits and not full:  # it may have begun before the topic had more than one call brings
                tenants.meet(seen)
                continue
            more = tenants.learn(tenants.everybody if fetch.waits else fetch.whose, seen, full=full)
            if full and not fetch.waits and fetch.size >= self._share(topic):
                self._sizes[topic].learn(fetch.size, took)
            if more and full and topic not in self._busy:
                self._busy.append(topic)
            elif not more and topic in self._busy:
                self._busy.remove(topic)
                self._sizes[topic].forget()

    async def _keep(self, leases: Sequence[EngineTask], worker_id: str, asked_at: datetime) -> None:
        by_topic: dict[str, list[EngineTask]] = {}
        for lease in leases:
            by_topic.setdefault(lease.topic, []).append(lease)
        by_end: dict[datetime, list[EngineTask]] = {}
        for topic, some in by_topic.items():
            by_end.setdefault(self._lease.expiry(topic, asked_at), []).extend(some)
        kept: Counter[str] = Counter()
        try:
            if self._stopping:
                await self._orphans.unlock(leases)
                return
            keeping = (self._accept(some, worker_id, until, kept) for until, some in by_end.items())
            for end in await asyncio.gather(*keeping, return_exceptions=True):
                if isinstance(end, BaseException):
                    raise end
        finally:
            for topic, some in by_topic.items():
                self._credit.settle(topic, len(some), queued=kept[topic])

    async def _accept(self, leases: Sequence[EngineTask], worker_id: str, until: datetime, kept: Counter[str]) -> None:
        for start in range(0, len(leases), FIRST):  # a large call must not hold up what else there is to do
            part = leases[start : start + FIRST]
            await self._intake.accept(part, worker_id, until)
            kept.update(lease.topic for lease in part)

    def _kept(self, keeping: asyncio.Task[None]) -> None:
        self._accepting.discard(keeping)
        error = None if keeping.cancelled() else keeping.exception()
        if isinstance(error, GatewayError):
            self._failure = error
        elif error is not None:
            self._failure = GatewayError(message("engine.intake_broke", error=repr(error)))
            self._journal.write("intake_error", level=Level.ERROR, error=repr(error), stack=error)
        self._news.wake()

    def _poll(self, topic: str, fetch: _Fetch) -> TopicPoll:
        poll = self._polls[topic]
        return poll if fetch.waits else replace(poll, tenant_ids=fetch.whose)
