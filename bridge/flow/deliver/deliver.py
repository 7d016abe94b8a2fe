"""From the store to the engine: a stored outcome is delivered until the engine has it, and no handler runs again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import Context
from datetime import datetime, timedelta
from typing import Final

from bridge.domain.errors import StoreError
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import State, Task
from bridge.domain.trace_context import traced
from bridge.flow.deliver.ending import Endings
from bridge.flow.deliver.error_events import ErrorEventDefinitions
from bridge.flow.deliver.in_flight import Deadlines, InFlight
from bridge.flow.deliver.queue import DeliveryQueue, Entry
from bridge.flow.deliver.sender import OutcomeSender
from bridge.flow.engine.breaker import Breaker
from bridge.ports.clock import Clock
from bridge.ports.engine import Engine
from bridge.ports.journal import Journal, Level
from bridge.ports.store import Replicas, TaskStore
from bridge.ports.tracer import NoTracer, Tracer
from bridge.runtime.batch import Batch

MOST_REMEMBERED: Final = 20_000
"""How many ids of undelivered outcomes are kept for the end of an outage; further ones are delivered when due."""
AT_ONCE: Final = 200
"""How many of those tasks are read from the store together."""
MOST_SLOW: Final = 32
"""How many slow deliveries may be under way, besides the others."""
_STALE: Final = timedelta(seconds=10)
"""A task that waited longer in the queue is read again: another process may have sent its outcome meanwhile."""


class OutcomeDelivery:
    """Delivers outcomes, and writes down what the engine's answers mean.

    `limit` is how often the engine may refuse one outcome. `min_interval` is the least time between two writes:
    outcomes that are settled within it are written together.

    While the breaker is open outcomes wait in the store. When the engine answers again they are delivered at once;
    `backlogged` says that nothing new is to be fetched before that is done. Topics take turns, so that a topic with
    many outcomes doesn't hold up the others. An outcome that the engine takes long for is delivered beside the others,
    and is sent again only after the engine was asked, and can't be at work on it any more.
    """

    def __init__(
        self,
        engine: Engine,
        store: TaskStore,
        clock: Clock,
        journal: Journal,
        *,
        first_delay: timedelta,
        most_delay: timedelta,
        limit: int,
        concurrency: int,
        breaker: Breaker | None = None,
        tracer: Tracer = NoTracer(),
        min_interval: timedelta = timedelta(0),
        deadlines: Deadlines = Deadlines(),
        replicas: Replicas | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._journal = journal
        self._concurrency = concurrency
        self._tracer = tracer
        in_flight = InFlight(engine, store, clock, journal, deadlines)
        self._sender = OutcomeSender(
            engine,
            clock,
            journal,
            tracer,
            in_flight=in_flight,
            endings=Endings(engine, ErrorEventDefinitions(engine, clock, journal), clock, replicas),
            delays=(first_delay, most_delay),
            limit=limit,
            on_unavailable=self._remember,
        )
        self._queue = DeliveryQueue(concurrency, MOST_SLOW, in_flight.is_slow)
        self._settle = Batch(self._write_down, limit=100, min_interval=min_interval)
        self._pending: dict[str, asyncio.Future[None]] = {}
        self._deliveries: set[asyncio.Task[None]] = set()
        self._undelivered: dict[str, None] = {}
        self._redelivery: asyncio.Task[None] | None = None
        self._breaker = breaker
        if breaker is not None:
            breaker.when_closed(self._redeliver)

    @property
    def pending(self) -> int:
        """How many outcomes are on their way from this process."""
        return len(self._pending)

    @property
    def backlogged(self) -> bool:
        """Whether outcomes go before fetches: an outage held them up, or more wait than are soon delivered.

        One outcome that the engine refuses while it answers others is no outage, and does not hold up fetching.
        """
        away = self._breaker is not None and not self._breaker.is_closed and bool(self._undelivered)
        redelivers = self._redelivery is not None and not self._redelivery.done()
        return away or redelivers or self._queue.quick > 8 * self._concurrency

    def put(self, task: Task) -> None:
        """Start the delivery of a task's outcome when its topic's turn comes, unless it is under way."""
        if task.id not in self._pending:
            self._pending[task.id] = asyncio.get_running_loop().create_future()
            self._queue.put(task, self._clock.now())
            self._start()

    def _start(self) -> None:
        while (entry := self._queue.next()) is not None:
            # In a context of its own: the delivery may begin where the delivery of another task ends.
            delivery = asyncio.create_task(self._deliver_in_turn(entry), context=Context())
            self._deliveries.add(delivery)
            delivery.add_done_callback(self._deliveries.discard)

    async def _deliver_in_turn(self, entry: Entry) -> None:
        task: Task | None = entry.task
        try:
            try:
                if self._clock.now() - entry.put_at >= _STALE:
                    task = await self._reread(entry.task)
                move = None if task is None else await self._sender.send(task, lambda: self._outlast(entry))
            finally:
                self._queue.end(entry)
                self._start()
            if task is not None and move is not None and not await self._settled(task, move):
                await self._let_go(task, move)
        except StoreError as error:
            # The outcome stays in the store, and is delivered again when it is due: the engine takes it once.
            self._journal.write("outcome_not_recorded", task=task, level=Level.WARNING, error=str(error))
        finally:
            self._pending.pop(entry.task.id).set_result(None)

    async def _reread(self, task: Task) -> Task | None:
        """Return the task's present state; None where its outcome is delivered, or belongs to a newer lease."""
        found = await self._store.get(task.id)
        ours = found is not None and found.state is State.REPORTING and found.epoch == task.epoch
        return found if ours else None

    async def _let_go(self, task: Task, move: Move) -> None:
        """Make an outcome due now: its task got a new lease while the engine was at work on the outcome."""
        if move.changes.get("in_flight_until") is not None or "in_flight_until" not in move.changes:
            return
        found = await self._store.get(task.id)
        if found is not None and found.state is State.REPORTING and found.in_flight_until is not None:
            changes = {"in_flight_until": None, "next_at": self._clock.now()}
            await self._store.move([Move(task.id, Event.TAKE, found.epoch, changes=changes)])

    def _outlast(self, entry: Entry) -> None:
        self._queue.outlast(entry)
        self._start()

    async def drain(self, within: timedelta | None = None) -> None:
        """Wait for the deliveries under way; other processes repeat those without an answer `within` that time."""
        try:
            async with asyncio.timeout(None if within is None else within.total_seconds()):
                if self._redelivery is not None:
                    await asyncio.shield(self._redelivery)
                while self._pending:
                    await asyncio.wait(list(self._pending.values()))
        except TimeoutError:
            await self._leave()

    async def _leave(self) -> None:
        """Give up the deliveries under way; the store says until when the engine may be at work on them."""
        self._journal.write("outcomes_left", level=Level.WARNING, tasks=len(self._pending))
        await self._sender.leave()
        left = [*self._deliveries, *([] if self._redelivery is None else [self._redelivery])]
        for delivery in left:
            delivery.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _redeliver(self) -> None:
        if self._undelivered and (self._redelivery is None or self._redelivery.done()):
            self._redelivery = asyncio.create_task(self._deliver_undelivered())

    async def _deliver_undelivered(self) -> None:
        """Deliver the outcomes that an outage held up, oldest first, until none is left or the engine is away again."""
        while self._undelivered:
            ids = list(self._undelivered)[:AT_ONCE]
            for task_id in ids:
                del self._undelivered[task_id]
            try:
                tasks = await self._store.get_many(ids)
            except StoreError as error:  # the reconciler finds the tasks when they are due
                self._journal.write("outcomes_not_read", level=Level.WARNING, tasks=len(ids), error=str(error))
                return
            for task in tasks:
                if task.state is State.REPORTING:
                    self.put(task)
            if under_way := [self._pending[task_id] for task_id in ids if task_id in self._pending]:
                await asyncio.wait(under_way)
            if not self._undelivered.keys().isdisjoint(ids):
                return

    def _remember(self, task: Task) -> None:
        if len(self._undelivered) < MOST_REMEMBERED:
            self._undelivered[task.id] = None

    async def deliver(self, task: Task) -> bool:
        """Send a task's outcome once, and write down the answer; False when the task had moved on meanwhile."""
        move = await self._sender.send(task)
        return move is not None and await self._settled(task, move)

    async def end_of(self, task: Task) -> Move | None:
        """Return the move that ends a task which the engine no longer has; None where that is not known now."""
        return await self._sender.end_of(task)

    async def _settled(self, task: Task, move: Move) -> bool:
        if move.event is not Event.DEFER:
            self._undelivered.pop(task.id, None)
        done = await self._settle.put(traced(task, move))
        if done:
            self._tracer.settled(task, move)
        level = Level.DEBUG if move.event is Event.DELIVERED_COMPLETION else Level.INFO
        thrown = {"thrown": True} if move.thrown else {}
        self._journal.write("outcome_settled", task=task, level=level, how=move.event.value, kept=done, **thrown)
        return done

    async def _write_down(self, moves: Sequence[Move]) -> Sequence[bool]:
        """Write moves together. All completions get the same moment, so that the store can write them as one."""
        now = self._clock.now()
        return await self._store.move([_at(move, now) for move in moves])


def _at(move: Move, now: datetime) -> Move:
    """Return a completion with its moment set; any other move has a moment already."""
    if move.event is not Event.DELIVERED_COMPLETION:
        return move
    changes = {**move.changes, "updated_at": now, "finished_at": now}
    return Move(move.task_id, move.event, move.epoch, changes=changes)
