"""From the engine: one loop that fetches and locks the tasks of all topics, fairly, and never more than has room."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ulid import ULID

from bridge.errors import EngineError, EngineUnavailable, GatewayError
from bridge.flow.credit import Credit
from bridge.flow.fairness import Tenants, Whose
from bridge.flow.fetch_size import FIRST, FetchSize
from bridge.flow.intake import Intake
from bridge.flow.lease import Lease
from bridge.flow.scope import fetched_variables
from bridge.loop import Signal
from bridge.ports import Clock, Engine, EngineTask, Journal, Level, TopicPoll
from bridge.ports_trace import NoTracer, Tracer
from bridge.topic import Topic


@dataclass(frozen=True, slots=True)
class Pace:
    """`wait` is how long the engine may hold a call, `size` the most tasks of one call, however slow calls are. `lanes`
    calls for topics that have a backlog run side by side, and so many waiting ones."""

    wait: timedelta
    size: int
    lanes: int = 3
    waiting: int = 3
    second_wait: timedelta = timedelta(seconds=1)
    breath: timedelta = timedelta(milliseconds=100)


@dataclass(frozen=True, slots=True)
class _Ask:
    """A call under way: for these topics, so many tasks; `waits` when the engine holds it until there are some.

    A call for one topic alone may be for some of its tenants only.
    """

    topics: tuple[str, ...]
    size: int
    waits: bool
    whose: Whose = None


async def _never() -> bool:
    return False


class Poll:
    """`held_back` says that something goes first: outcomes that an outage held up.

    Topics that are quiet share one waiting call. A call that came back full says that there may be more: then its
    topics are asked for one by one, in turn, as one call for all would give everything to the one with the oldest
    tasks; for the same reason the calls of such a topic take turns by tenant. Each call has a worker id of its own,
    which is the fencing token of all that it locks.
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
        pace: Pace,
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
        self._pace = pace
        self._held_back = held_back
        self._tracer = tracer
        self._news = Signal()
        self._asks: dict[asyncio.Task[None], _Ask] = {}
        self._accepting: set[asyncio.Task[None]] = set()
        self._busy: deque[str] = deque()
        self._due: set[str] = set()
        self._tenants = {name: Tenants(topic.tenant_ids) for name, topic in topics.items()}
        self._sizes = {name: FetchSize(pace.size) for name in topics}
        self._variables = {name: fetched_variables(topic) for name, topic in topics.items()}
        self._ghosts: dict[str, datetime] = {}
        self._failure: GatewayError | None = None
        self._stopping = False

    def nudge(self, topics: Collection[str]) -> None:
        """Fetch for these topics now, without waiting: something that the engine doesn't tell of has become ready."""
        self._due |= {topic for topic in topics if topic in self._topics}
        self._news.wake()

    async def run_once(self) -> None:
        """Start the calls that there is room for, and wait until something happened that may make room for more.

        Raises what a call, or the keeping of what it brought, failed by: once, and in the turn that saw it, so that
        failures in a row are counted as such.
        """
        self._raise_failure()
        if self._stopping:
            return
        if await self._held_back():
            await self._news.wait(self._pace.breath)
            return
        await self._lay_ghosts()
        rooms = await self._credit.rooms()
        self._start_calls(rooms)
        pause = self._pace.breath if self._is_short(rooms) else max(self._pace.wait, self._pace.breath)
        await self._news.wait(pause)
        self._raise_failure()

    async def stop(self) -> None:
        """Start no more calls; return when those under way are back and all that they locked is kept or unlocked.

        They are not cut off: the engine would lock the next task for a caller that is gone.
        """
        self._stopping = True
        self._news.wake()
        await self._join(raises=False)
        if self._failure is not None:
            self._journal.write("last_fetch_failed", level=Level.WARNING, error=str(self._failure))
        self._ghosts = dict.fromkeys(self._ghosts, self._clock.now())
        try:
            await self._lay_ghosts()
        except EngineError as error:  # then their locks end by themselves, and the end goes on
            self._journal.write("ghost_locks_left", level=Level.WARNING, calls=len(self._ghosts), error=str(error))

    async def idle(self) -> None:
        """Return when no call is under way and all that was locked is kept."""
        await self._join(raises=True)

    async def _join(self, *, raises: bool) -> None:
        while self._asks or self._accepting:
            await asyncio.gather(*self._asks, *self._accepting, return_exceptions=not raises)
            await asyncio.sleep(0)  # since Python 3.12 what has ended is not waited for, and its end not noticed yet

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _is_short(self, rooms: Mapping[str, int]) -> bool:
        """Tell whether something waits for room, or for a free lane, of which no signal will tell."""
        return any(rooms[topic] == 0 for topic in rooms) or bool(self._busy or self._due or self._ghosts)

    def _start_calls(self, rooms: Mapping[str, int]) -> None:
        if self._stopping:  # whoever stopped us meanwhile doesn't wait for calls that begin now
            return
        asked = {topic for ask in self._asks.values() for topic in ask.topics}
        lanes = self._pace.lanes - sum(not ask.waits for ask in self._asks.values())
        alone = Counter(topic for ask in self._asks.values() if not ask.waits for topic in ask.topics)
        for topic in self._in_turn():
            room = rooms[topic]
            size = self._share(topic)
            least = 1 if topic in self._due else min(size, self._credit.portion(topic))
            if lanes <= 0 or room < least or alone[topic]:
                continue
            self._start(_Ask((topic,), min(room, size), waits=False, whose=self._whose(topic)))
            self._due.discard(topic)
            if topic in self._busy:
                self._busy.remove(topic)
                self._busy.append(topic)
            asked.add(topic)
            lanes -= 1
        quiet = [topic for topic in self._topics if rooms[topic] > 0 and topic not in asked and topic not in self._busy]
        waiting = sum(ask.waits for ask in self._asks.values())
        if quiet and waiting < self._pace.waiting:
            # Half of the room is left: a topic that is nudged is asked for while the engine holds this call.
            size = min(FIRST, self._pace.size, *(max(1, rooms[topic] // 2) for topic in quiet))
            self._start(_Ask(tuple(quiet), size, waits=True))

    def _in_turn(self) -> list[str]:
        return [*sorted(self._due), *(topic for topic in self._busy if topic not in self._due)]

    def _whose(self, topic: str) -> Whose:
        """Return whose tasks to ask for: of a nudge it's not known whose task is ready."""
        tenants = self._tenants[topic]
        return tenants.next() if topic in self._busy and topic not in self._due else tenants.everybody

    def _share(self, topic: str) -> int:
        """Return the topic's part of a full call, by its weight."""
        most = max(self._topics[name].weight for name in {topic, *self._busy})
        return max(1, self._sizes[topic].now * self._topics[topic].weight // most)

    def _start(self, ask: _Ask) -> None:
        for topic in ask.topics:
            self._credit.take(topic, ask.size)
        call = asyncio.create_task(self._call(ask))
        self._asks[call] = ask
        call.add_done_callback(self._ended)

    def _ended(self, call: asyncio.Task[None]) -> None:
        del self._asks[call]
        error = None if call.cancelled() else call.exception()
        if isinstance(error, GatewayError):
            self._failure = error
        elif error is not None:
            self._failure = EngineUnavailable(f"the fetch broke: {error!r}")
            self._journal.write("fetch_broken", level=Level.ERROR, error=repr(error), stack=error)
        self._news.wake()

    async def _call(self, ask: _Ask) -> None:
        worker_id = f"bridge-{self._replica}-{ULID()}"
        polls = [self._poll(topic, ask) for topic in ask.topics]
        first = not any(other.waits for call, other in self._asks.items() if other is not ask)
        wait = self._wait(ask, first) if ask.waits else timedelta(0)
        asked_at, began = self._clock.now(), asyncio.get_running_loop().time()
        leases: Sequence[EngineTask] = ()
        try:
            leases = await self._tracer.fetch(
                worker_id, ask.topics, lambda: self._engine.fetch_and_lock(worker_id, ask.size, polls, wait)
            )
        except EngineUnavailable:
            # The engine may have locked tasks for this call all the same, as long as it would have held it.
            self._ghosts[worker_id] = asked_at + wait
            raise
        finally:
            got = Counter(lease.topic for lease in leases)
            for topic in ask.topics:
                self._credit.settle(topic, ask.size - got[topic], queued=0)
        self._learn(ask, leases, self._clock.now() - asked_at)
        if leases:
            keeping = asyncio.create_task(self._keep(leases, worker_id, asked_at))
            self._accepting.add(keeping)
            keeping.add_done_callback(self._kept)
        elif ask.waits:
            # An engine that doesn't hold the call must not be asked again and again without a rest.
            rest = began + self._pace.breath.total_seconds() - asyncio.get_running_loop().time()
            await asyncio.sleep(max(0.0, rest))

    def _wait(self, ask: _Ask, first: bool) -> timedelta:
        """Return how long the engine may hold the call: a lock counts from when it was asked for, so not for long."""
        shortest = min(self._lease.duration(topic) for topic in ask.topics)
        return min(self._pace.wait if first else self._pace.second_wait, shortest / 4)

    def _learn(self, ask: _Ask, leases: Sequence[EngineTask], took: timedelta) -> None:
        full = len(leases) >= ask.size
        for topic in ask.topics:
            tenants, seen = self._tenants[topic], [lease.tenant_id for lease in leases if lease.topic == topic]
            if ask.waits and not full:  # it may have begun before the topic had more than one call brings
                tenants.meet(seen)
                continue
            more = tenants.learn(tenants.everybody if ask.waits else ask.whose, seen, full=full)
            if full and not ask.waits and ask.size >= self._share(topic):
                self._sizes[topic].learn(ask.size, took)
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
            by_end.setdefault(self._lease.until(topic, asked_at), []).extend(some)
        kept: Counter[str] = Counter()
        try:
            if self._stopping:
                await self._unlock([lease.id for lease in leases])
                return
            for until, some in by_end.items():
                for start in range(0, len(some), FIRST):  # a large call must not hold up what else there is to do
                    part = some[start : start + FIRST]
                    await self._intake.accept(part, worker_id, until)
                    kept.update(lease.topic for lease in part)
        finally:
            for topic, some in by_topic.items():
                self._credit.settle(topic, len(some), queued=kept[topic])

    def _kept(self, keeping: asyncio.Task[None]) -> None:
        self._accepting.discard(keeping)
        error = None if keeping.cancelled() else keeping.exception()
        if isinstance(error, GatewayError):
            self._failure = error
        elif error is not None:
            self._failure = GatewayError(f"the intake broke: {error!r}")
            self._journal.write("intake_broken", level=Level.ERROR, error=repr(error), stack=error)
        self._news.wake()

    def _poll(self, topic: str, ask: _Ask) -> TopicPoll:
        known = self._topics[topic]
        return TopicPoll(
            topic,
            self._lease.duration(topic),
            self._variables[topic],
            known.process_definition_keys,
            known.tenant_ids if ask.waits else ask.whose,
            local_variables=known.local_variables,
            include_extension_properties=known.include_extension_properties,
            business_key=known.business_key,
            process_variables=known.process_variables,
            process_definition_ids=known.process_definition_ids,
            process_definition_version_tag=known.process_definition_version_tag,
            without_tenant_id=known.without_tenant_id,
        )

    async def _lay_ghosts(self) -> None:
        """Unlock what the engine locked for a call whose answer never came."""
        now = self._clock.now()
        over = [worker_id for worker_id, until in self._ghosts.items() if until <= now]
        for worker_id in over:
            found = await self._engine.locked_by(worker_id)
            await self._unlock([task.id for task in found])
            self._ghosts.pop(worker_id, None)

    async def _unlock(self, ids: Sequence[str]) -> None:
        for task_id in ids:
            try:
                await self._engine.unlock(task_id)
            except EngineError as error:
                self._journal.write("ghost_lock_left", level=Level.WARNING, task_id=task_id, error=str(error))
