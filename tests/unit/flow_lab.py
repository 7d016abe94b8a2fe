"""The flow of one process on fakes: store and engine fail when told to, handlers wait until told to go on."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel

from bridge.adapters.memory.broker import MemoryBroker
from bridge.adapters.memory.engine import MemoryEngine
from bridge.adapters.memory.store import MemoryStore
from bridge.domain.errors import BrokerError, StoreUnavailable
from bridge.domain.lifecycle import Move
from bridge.domain.task import State, Task, TaskKey, Variables
from bridge.flow.deliver.deliver import OutcomeDelivery
from bridge.flow.handle.claims import Claim, Claims
from bridge.flow.handle.handle import Handle, HandleConfig
from bridge.flow.handle.renew import Renew
from bridge.flow.handle.run import Run
from bridge.flow.handle.threads import Threads
from bridge.flow.lease import Lease
from bridge.flow.relay import Relay
from bridge.ports.engine import EngineTask, TopicPoll
from bridge.ports.store import ClaimRequest, Due
from bridge.testing import make_context
from bridge.topic import Context, Topic, topic
from tests.unit.fakes import LOCK, SECOND, HandClock, Notes

Answer = TypeVar("Answer")

CLAIM = 20 * SECOND
RELEASE = SECOND
NEEDS_RENEWAL = 30 * SECOND
"""By then more than a third of a lock has gone, and it still holds."""
LAPSED = 61 * SECOND
THIEF = "thief"


class LabStore(MemoryStore):
    """A store whose next calls fail as told: instead of their effect, or after it. `struck` has those that failed.

    `hangs` keeps moves waiting.
    """

    def __init__(self, order: list[str]) -> None:
        super().__init__()
        self.struck: list[str] = []
        self.moves: list[Sequence[Move]] = []
        self.before: dict[str, Callable[[], object]] = {}
        self.together: asyncio.Barrier | None = None
        self.hangs: asyncio.Event | None = None
        self._order = order
        self._faults: dict[str, deque[tuple[Exception, bool]]] = defaultdict(deque)

    def fail_next(self, call: str, error: Exception | None = None, *, after: bool = False) -> None:
        self._faults[call].append((error or StoreUnavailable(f"{call}: the store is away"), after))

    async def claim(self, claims: Sequence[ClaimRequest]) -> Sequence[Task | None]:
        late = self._strike("claim")
        found = await super().claim(claims)
        return self._answer(late, found)

    async def move(self, moves: Sequence[Move]) -> Sequence[bool]:
        late = self._strike("move")
        if self.hangs is not None:
            await self.hangs.wait()
        self.moves.append(moves)
        made = await super().move(moves)
        self._order.extend(move.event.value for move, yes in zip(moves, made, strict=True) if yes)
        return self._answer(late, made)

    async def get(self, task_id: str) -> Task | None:
        late = self._strike("get")
        return self._answer(late, await super().get(task_id))

    async def get_many(self, task_ids: Sequence[str]) -> Sequence[Task]:
        late = self._strike("get_many")
        return self._answer(late, await super().get_many(task_ids))

    async def due(self, state: State | None, now: datetime, limit: int) -> Due:
        found = await super().due(state, now, limit)
        if self.together is not None:
            await self.together.wait()
            self.together = None
        return found

    async def confirm(self, keys: Sequence[TaskKey], now: datetime, next_at: datetime) -> None:
        late = self._strike("confirm")
        await super().confirm(keys, now, next_at)
        self._answer(late, None)

    def _strike(self, call: str) -> Exception | None:
        if (act := self.before.pop(call, None)) is not None:
            act()
        if not self._faults[call]:
            return None
        error, after = self._faults[call].popleft()
        self.struck.append(call)
        if not after:
            raise error
        return error

    @staticmethod
    def _answer(late: Exception | None, answer: Answer) -> Answer:
        if late is not None:
            raise late
        return answer


class LabEngine(MemoryEngine):
    """An engine that writes down its calls; `hangs` keeps extensions of locks waiting, `before` runs ahead of one."""

    def __init__(self, clock: HandClock, order: list[str]) -> None:
        super().__init__(clock)
        self.calls: list[tuple[str, str]] = []
        self.hangs: asyncio.Event | None = None
        self.asked = asyncio.Event()
        self.before: dict[str, Callable[[], object]] = {}
        self._order = order

    def of(self, call: str) -> list[str]:
        return [task_id for name, task_id in self.calls if name == call]

    async def extend_lock(self, task_id: str, worker_id: str, duration: timedelta) -> None:
        self._note("extend_lock", task_id)
        self.asked.set()
        if self.hangs is not None:
            await self.hangs.wait()
        await super().extend_lock(task_id, worker_id, duration)

    async def lock(self, task_id: str, worker_id: str, duration: timedelta) -> None:
        self._note("lock", task_id)
        await super().lock(task_id, worker_id, duration)

    async def unlock(self, task_id: str) -> None:
        self._note("unlock", task_id)
        await super().unlock(task_id)

    async def get_many(self, task_ids: Sequence[str]) -> Sequence[EngineTask]:
        for task_id in task_ids:
            self._note("get_many", task_id)
        return await super().get_many(task_ids)

    async def get(self, task_id: str) -> EngineTask:
        self._note("get", task_id)
        return await super().get(task_id)

    async def complete(self, task_id: str, worker_id: str, variables: Variables) -> None:
        self._note("complete", task_id)
        await super().complete(task_id, worker_id, variables)

    async def fail(
        self, task_id: str, worker_id: str, *, message: str, details: str, retries: int, retry_timeout: timedelta
    ) -> None:
        self._note("fail", task_id)
        await super().fail(
            task_id, worker_id, message=message, details=details, retries=retries, retry_timeout=retry_timeout
        )

    def _note(self, call: str, task_id: str) -> None:
        if (act := self.before.pop(call, None)) is not None:
            act()
        self.calls.append((call, task_id))
        self._order.append(call)


class SlowBroker(MemoryBroker):
    """A broker that doesn't answer a publish until `answers`."""

    def __init__(self, topics: Sequence[str]) -> None:
        super().__init__(topics)
        self.answers, self.asked = asyncio.Event(), asyncio.Event()

    async def publish(self, topic: str, keys: Sequence[TaskKey]) -> Sequence[BaseException | None]:
        self.asked.set()
        await self.answers.wait()
        return await super().publish(topic, keys)


class Acknowledger:
    """What was said of a message."""

    def __init__(self, order: list[str] | None = None, error: BrokerError | None = None) -> None:
        self.given: list[str] = []
        self.lost: list[str] = []
        self._order = [] if order is None else order
        self._error = error

    async def ack(self) -> None:
        self._give("ack")

    async def requeue(self) -> None:
        self._give("requeue")

    def _give(self, acknowledger: str) -> None:
        self._order.append(acknowledger)
        if self._error is not None:
            self.lost.append(acknowledger)
            raise self._error
        self.given.append(acknowledger)


class Order(BaseModel):
    """What the lab's handlers take."""

    amount: int = 1


class Work:
    """A handler: it counts its runs; held, it waits in `begun` until `go`; it returns `result`, or raises it."""

    def __init__(self, *, held: bool = False) -> None:
        self.runs: list[str] = []
        self.cancelled = 0
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.result: Any = {"done": True}
        if not held:
            self.go.set()

    def topic(self, name: str = "orders", *, lock: float | None = None) -> Topic[Any, Any]:
        async def handler(order: Order, context: Context) -> Any:
            return await self._run(context)

        return topic(name, lock=lock)(handler)

    async def _run(self, context: Context) -> Any:
        self.runs.append(context.task_id)
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


class Lab:
    """The parts of a process that work on tasks, joined as the application joins them."""

    def __init__(self, work: Work | None = None, *, topics: Sequence[Topic[Any, Any]] = ()) -> None:
        self.work = work or Work()
        self.clock, self.notes, self.order = HandClock(), Notes(), list[str]()
        self.begun: list[Task] = []
        self.engine, self.store = LabEngine(self.clock, self.order), LabStore(self.order)
        self.topics = {each.name: each for each in topics or [self.work.topic()]}
        self.broker = MemoryBroker(list(self.topics))
        self.lease = Lease(self.engine, self.clock, self.topics, LOCK)
        self.threads = Threads(self.notes)
        self.run = Run(timeout=300 * SECOND, first_delay=2 * SECOND, most_delay=60 * SECOND, threads=self.threads)
        self.delivery = self.new_delivery()
        self.relay = Relay(
            self.store, self.broker, self.clock, self.notes, again_after=5 * SECOND, look_after=20 * SECOND
        )
        self.claims, self.handle = self.replica("r1")
        self.renew = Renew(self.store, self.lease, self.claims, self.clock, self.notes, claim=CLAIM)
        self.nudged: list[Collection[str]] = []

    def new_delivery(self) -> OutcomeDelivery:
        return OutcomeDelivery(
            self.engine,
            self.store,
            self.clock,
            self.notes,
            first_delay=SECOND,
            most_delay=60 * SECOND,
            limit=3,
            concurrency=4,
        )

    def replica(self, name: str) -> tuple[Claims, Handle]:
        """Return what one process works with: many of them may share the lab's store and engine."""
        claims = Claims(dict.fromkeys(self.topics, 4), self.threads.stuck)
        handle = Handle(
            store=self.store,
            lease=self.lease,
            run=self.run,
            delivery=self.delivery,
            claims=claims,
            topics=self.topics,
            context=lambda task: make_context(task_id=task.id, attempt=task.attempts),
            clock=self.clock,
            journal=self.notes,
            config=HandleConfig(name, CLAIM, release_after=RELEASE),
            begun=self.begun.append,
        )
        return claims, handle

    async def task(self, name: str = "orders", *, worker: str = "w1", **fields: Any) -> Task:
        """Start a process instance, fetch its task and keep it, as the intake would."""
        task_id = self.engine.add(name)
        return await self.fetched(task_id, name, worker, **fields)

    async def fetched(self, task_id: str, name: str, worker: str, **fields: Any) -> Task:
        now = self.clock.now()
        await self.engine.lock(task_id, worker, LOCK)
        self.engine.calls.clear()
        self.order.clear()
        base: dict[str, Any] = {"retries": 3, "next_at": now + 10 * SECOND, "replica": "r1", **fields}
        task = Task(task_id, name, worker, now + LOCK - SECOND, now, now, **base)
        (kept,) = await self.store.accept([task])
        assert kept is not None
        return kept

    async def deliver(
        self, task: Task, acknowledger: Acknowledger | None = None, handle: Handle | None = None
    ) -> Acknowledger:
        """Hand a task's message to the handler and wait for its end."""
        acknowledger = acknowledger or Acknowledger(self.order)
        async with asyncio.timeout(10):
            await (handle or self.handle)(task.topic, TaskKey(task.id, task.epoch), acknowledger)
        return acknowledger

    async def begin(
        self, task: Task, process: tuple[Claims, Handle] | None = None
    ) -> tuple[asyncio.Task[Acknowledger], Claim]:
        """Hand a task's message to the handler; return when that has begun to run."""
        claims, handle = process or (self.claims, self.handle)
        running = asyncio.create_task(self.deliver(task, handle=handle))
        async with asyncio.timeout(10):
            await self.work.begun.wait()
        self.work.begun.clear()
        (claim,) = [claim for claim in claims if claim.task.id == task.id]
        return running, claim

    async def steal(self, task: Task) -> None:
        """Let another worker lock the task."""
        await self.engine.unlock(task.id)
        await self.engine.lock(task.id, THIEF, LOCK)
        self.engine.calls.clear()

    async def offered(self, name: str = "orders") -> list[str]:
        """Return the tasks that the engine would give to whoever asks now."""
        found = await self.engine.fetch_and_lock("asking", 10, [TopicPoll(name, LOCK)], timedelta(0))
        return [task.id for task in found]

    def now(self, task: Task) -> Task:
        """Return the task as it stands."""
        return self.store.tasks[task.id]

    def state(self, task: Task) -> State:
        return self.now(task).state

    def put(self, task: Task, **fields: Any) -> Task:
        """Set a task as it would stand after some history."""
        self.store.tasks[task.id] = self.now(task).changed(**fields)
        return self.store.tasks[task.id]
