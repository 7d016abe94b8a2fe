"""From the store to the engine: a stored outcome is delivered until the engine has it, and no handler runs again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from bridge.domain.errors import EngineForbidden, EngineRejected, EngineUnavailable, LeaseLost, StoreError, TaskGone
from bridge.domain.fingerprint import cause_fields
from bridge.domain.lifecycle import Event, Move, delivered
from bridge.domain.messages import message
from bridge.domain.task import BpmnFault, Completion, Failure, Outcome, State, Task
from bridge.domain.trace_context import traced
from bridge.flow.deliver.ending import GONE, Endings
from bridge.flow.deliver.error_events import ErrorEventDefinitions
from bridge.flow.deliver.in_flight import Deadlines, Delivery, InFlight
from bridge.flow.deliver.lanes import Entry, Lanes
from bridge.flow.engine.breaker import Breaker
from bridge.ports.clock import Clock
from bridge.ports.engine import Engine
from bridge.ports.journal import Journal, Level
from bridge.ports.store import Replicas, TaskStore
from bridge.ports.tracer import NoTracer, Tracer
from bridge.runtime.batch import Batch
from bridge.runtime.loop import delay_after

MOST_REMEMBERED: Final = 20_000
"""How many outcomes are known by id that wait for the engine to answer again; any more are found when they are due."""
INCIDENT_LOOK: Final = timedelta(minutes=10)
"""After how long the engine is asked first whether an incident still stands."""
AT_ONCE: Final = 200
"""How many of those are read from the store together."""
MOST_SLOW: Final = 32
"""How many deliveries may be under way beside the others that the engine takes long for."""
_STALE: Final = timedelta(seconds=10)
"""After how long in the line a task is read again: another process may have sent its outcome meanwhile."""
_LOCK: Final = timedelta(seconds=60)
"""For how long a task is locked again that somebody unlocked before its outcome was delivered."""


class Report:
    """Delivers outcomes and writes down how that ended. `limit` bounds the refusals of one by the engine.
    `min_interval` is the least time between two writes: what is settled sooner is written together.

    While the breaker is open outcomes wait in the store. When the engine answers again they are delivered at once,
    and `backlogged` says that they go first: nothing new is to be fetched before them. Topics take turns, so that a
    topic with many outcomes doesn't hold up the others'. One that the engine takes long for has a lane of its own, and
    is sent again only when the engine was asked, and can't be at work on it any more.
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
        self._engine = engine
        self._store = store
        self._clock = clock
        self._journal = journal
        self._delays = (first_delay, most_delay)
        self._limit = limit
        self._concurrency = concurrency
        self._tracer = tracer
        self._in_flight = InFlight(engine, store, clock, journal, deadlines)
        self._endings = Endings(engine, ErrorEventDefinitions(engine, clock, journal), clock, replicas)
        self._lanes = Lanes(concurrency, MOST_SLOW, self._in_flight.is_slow)
        self._open: set[Delivery] = set()
        self._settle = Batch(self._write_down, limit=100, min_interval=min_interval)
        self._chance = random.Random()  # noqa: S311 - it spreads load, it keeps no secret
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
        """Whether outcomes go first: those that an outage held up, or more than are soon delivered.

        A single outcome that the engine doesn't take while it answers others is no outage, and holds up nothing.
        """
        away = self._breaker is not None and not self._breaker.is_closed and bool(self._undelivered)
        redelivers = self._redelivery is not None and not self._redelivery.done()
        return away or redelivers or self._lanes.quick > 8 * self._concurrency

    def put(self, task: Task) -> None:
        """Start the delivery of a task's outcome when its topic's turn comes, unless it is under way."""
        if task.id not in self._pending:
            self._pending[task.id] = asyncio.get_running_loop().create_future()
            self._lanes.put(task, self._clock.now())
            self._start()

    def _start(self) -> None:
        while (entry := self._lanes.next()) is not None:
            # In a context of its own: it may begin as the delivery of another task ends.
            delivery = asyncio.create_task(self._deliver_in_turn(entry), context=Context())
            self._deliveries.add(delivery)
            delivery.add_done_callback(self._deliveries.discard)

    async def _deliver_in_turn(self, entry: Entry) -> None:
        task: Task | None = entry.task
        try:
            try:
                if self._clock.now() - entry.put_at >= _STALE:
                    task = await self._reread(entry.task)
                move = None if task is None else await self._tell(task, lambda: self._outlast(entry))
            finally:
                self._lanes.end(entry)
                self._start()
            if task is not None and move is not None and not await self._settled(task, move):
                await self._let_go(task, move)
        except StoreError as error:
            # The outcome stays in the store, and is delivered again when it is due: the engine takes it once.
            self._journal.write("outcome_not_recorded", task=task, level=Level.WARNING, error=str(error))
        finally:
            self._pending.pop(entry.task.id).set_result(None)

    async def _reread(self, task: Task) -> Task | None:
        """Return a task as it stands by now; None where its outcome is delivered, or is to be under another lease."""
        found = await self._store.get(task.id)
        ours = found is not None and found.state is State.REPORTING and found.epoch == task.epoch
        return found if ours else None

    async def _let_go(self, task: Task, move: Move) -> None:
        """Let an outcome be sent under its new lease at once, which it got while the engine was at work on it."""
        if move.changes.get("in_flight_until") is not None or "in_flight_until" not in move.changes:
            return
        found = await self._store.get(task.id)
        if found is not None and found.state is State.REPORTING and found.in_flight_until is not None:
            changes = {"in_flight_until": None, "next_at": self._clock.now()}
            await self._store.move([Move(task.id, Event.TAKE, found.epoch, changes=changes)])

    def _outlast(self, entry: Entry) -> None:
        self._lanes.outlast(entry)
        self._start()

    async def drain(self, within: timedelta | None = None) -> None:
        """Wait for the deliveries under way; what the engine has not answered `within` that time is left to others."""
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
        await asyncio.gather(*(self._in_flight.leave(delivery) for delivery in self._open))
        left = [*self._deliveries, *([] if self._redelivery is None else [self._redelivery])]
        for delivery in left:
            delivery.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _redeliver(self) -> None:
        if self._undelivered and (self._redelivery is None or self._redelivery.done()):
            self._redelivery = asyncio.create_task(self._deliver_undelivered())

    async def _deliver_undelivered(self) -> None:
        """Deliver what the outage held up, oldest first, until that is done or the engine is away again."""
        while self._undelivered:
            ids = list(self._undelivered)[:AT_ONCE]
            for task_id in ids:
                del self._undelivered[task_id]
            try:
                tasks = await self._store.get_many(ids)
            except StoreError as error:  # they are found when they are due
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
        """Tell the engine once, and keep how that ended; False when the task had moved on meanwhile."""
        move = await self._tell(task)
        return move is not None and await self._settled(task, move)

    async def _tell(self, task: Task, outlasts: Callable[[], None] = lambda: None) -> Move | None:
        """Tell the engine, and return what is to be written of it; None where there is nothing to tell."""
        outcome = task.outcome
        if outcome is None:
            return None
        if (known := await self._prepare(task, outcome)) is not None:
            return known
        delivery = self._in_flight.watch(task, outlasts)
        self._open.add(delivery)
        until: datetime | None = None
        try:
            with self._tracer.delivery(task):
                await self._send_held(task, outcome)
        except (LeaseLost, TaskGone):
            move = await self._reconcile(task, outcome)
        except EngineUnavailable as error:
            self._remember(task)
            until = self._in_flight.unanswered(delivery, error)
            move = self._defer(task, str(error))
        except EngineRejected as error:
            move = await self._refused(task, error)
        else:
            self._in_flight.answered(delivery)
            move = await self._taken(task, outcome)
        finally:
            self._open.discard(delivery)
            await self._in_flight.end(delivery)
        if until is None and not delivery.is_written and task.in_flight_until is None:
            return move
        return replace(move, changes={**move.changes, "in_flight_until": until})

    async def _prepare(self, task: Task, outcome: Outcome) -> Move | None:
        """Make sure that an outcome which the engine takes long for may be sent; else return what is to be written."""
        until, lock = task.in_flight_until, self._in_flight.lock(task)
        if lock is None:
            return None
        if until is not None and (known := await self._ask(task, outcome, until)) is not None:
            return known
        try:
            # Before the outcome and not meanwhile: a transaction whose task is changed by another fails at its end.
            await self._engine.lock(task.id, task.worker_id, lock)
        except (LeaseLost, TaskGone):
            return await self._reconcile(task, outcome)
        except (EngineUnavailable, EngineRejected) as error:
            return self._defer(task, str(error))
        return None

    async def _ask(self, task: Task, outcome: Outcome, until: datetime) -> Move | None:
        """Ask the engine about an outcome that it may be at work on; None where it is to be sent again."""
        try:
            found = await self._engine.get(task.id)
        except TaskGone:
            return await self._look_back(task, outcome)
        except (EngineUnavailable, EngineRejected) as error:
            return self._defer(task, str(error))
        if found.worker_id not in {None, task.worker_id}:
            return self._move(task, Event.SUPERSEDE, error=str(message("lock.held", worker=found.worker_id)))
        if self._clock.now() < until:
            return self._defer(task, task.error or str(message("outcome.under_way")))
        return None

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
        """Write them together. What the engine took meanwhile is completed at one moment, and so is one write."""
        now = self._clock.now()
        return await self._store.move([_at(move, now) for move in moves])

    async def _send_held(self, task: Task, outcome: Outcome) -> None:
        """Send; a task that somebody unlocked, and no worker took, is locked again under its worker id for that."""
        try:
            await self._send(task, outcome)
        except LeaseLost:
            found = await self._engine.get(task.id)
            if found.worker_id is not None or found.suspended:
                raise
            await self._engine.lock(task.id, task.worker_id, self._in_flight.lock(task) or _LOCK)
            self._journal.write("lock_regained", task=task)
            await self._send(task, outcome)

    async def _send(self, task: Task, outcome: Outcome) -> None:
        match outcome:
            case Completion(variables):
                await self._engine.complete(task.id, task.worker_id, variables)
            case BpmnFault(code, message, variables):
                await self._engine.raise_bpmn_error(
                    task.id, task.worker_id, code=code, message=message, variables=variables
                )
            case Failure(_, message, details, retries, after):
                await self._engine.fail(
                    task.id, task.worker_id, message=message, details=details, retries=retries, retry_timeout=after
                )

    async def _taken(self, task: Task, outcome: Outcome) -> Move:
        """Return what follows from the engine's 204: it may have thrown a BPMN error instead, as the model has it."""
        try:
            ending = await self._endings.after_answer(task, outcome)
        except (EngineUnavailable, EngineRejected) as error:
            # The outcome was taken; what became of a failed task is looked at when it is due.
            self._journal.write("outcome_unconfirmed", task=task, level=Level.WARNING, error=str(error))
            ending = None
        return self._delivered(task, outcome) if ending is None else ending.move(task, outcome, self._clock.now())

    def _delivered(self, task: Task, outcome: Outcome) -> Move:
        event = delivered(outcome)
        if isinstance(outcome, Failure):
            now = self._clock.now()
            retry = event is Event.DELIVERED_RETRY
            ends = {"next_at": now + outcome.retry_after} if retry else self._incident(now)
            return self._move(task, event, error=outcome.message, retries=outcome.retries, lease_until=now, **ends)
        return Move(task.id, event, task.epoch, changes={"error": None})

    async def _reconcile(self, task: Task, outcome: Outcome) -> Move:
        """Ask the engine what became of a task on which our worker id can't report."""
        try:
            found = await self._engine.get(task.id)
            if found.worker_id in {None, task.worker_id}:
                return self._defer(task, "the task is suspended, or another transaction works on it")
            return self._move(task, Event.SUPERSEDE, error=str(message("lock.held", worker=found.worker_id)))
        except TaskGone:
            return await self._look_back(task, outcome)
        except (EngineUnavailable, EngineRejected) as error:
            return self._defer(task, str(error))

    async def end_of(self, task: Task) -> Move | None:
        """Return the move that ends a task which the engine no longer has; None where that is not known now.

        One that still has an outcome may have been ended by it, through a delivery that never came to write that down.
        """
        if task.outcome is not None:
            move = await self._look_back(task, task.outcome)
            return None if move.event is Event.DEFER else move
        now = self._clock.now()
        return self._move(task, Event.GONE, finished_at=now, error=GONE)

    async def _look_back(self, task: Task, outcome: Outcome) -> Move:
        """Tell from the engine's history whether our own report ended the task, its answer having been lost."""
        try:
            ending = await self._endings.look_back(task, outcome)
        except EngineUnavailable as error:
            return self._defer(task, str(error))
        return ending.move(task, outcome, self._clock.now())

    async def _refused(self, task: Task, error: EngineRejected) -> Move:
        if isinstance(error, EngineForbidden):
            return self._defer(task, str(error))
        lasting = error.status < 500 or (not error.transient and task.refusals + 1 >= self._limit)
        if not lasting:
            return self._defer(task, str(error), refusals=task.refusals + (not error.transient))
        message = f"the engine can't take the outcome: {error}"
        try:
            await self._engine.fail(
                task.id,
                task.worker_id,
                message=message,
                details=message,
                retries=0,
                retry_timeout=timedelta(0),
            )
        except (EngineUnavailable, EngineRejected) as failure:
            return self._defer(task, str(failure))
        cause = cause_fields(None, task, Failure(type(error).__name__, message, "", 0))
        self._journal.write("outcome_undeliverable", task=task.changed(**cause), level=Level.WARNING, message=message)
        ends = {"error": message, "retries": 0, **cause, **self._incident(self._clock.now())}
        return self._move(task, Event.UNDELIVERABLE, **ends)

    def _incident(self, now: datetime) -> dict[str, datetime]:
        """Return the times of a task that waits for a person; its process may be cancelled meanwhile, untold to us."""
        return {"finished_at": now, "next_at": now + INCIDENT_LOOK}

    def _defer(self, task: Task, why: str, **changes: object) -> Move:
        delay = delay_after(task.reports + 1, *self._delays, self._chance)
        return self._move(task, Event.DEFER, error=why, next_at=self._clock.now() + delay, **changes)

    def _move(self, task: Task, event: Event, **changes: object) -> Move:
        return Move(task.id, event, task.epoch, changes={"updated_at": self._clock.now(), **changes})


def _at(move: Move, now: datetime) -> Move:
    """Return a completion with its moment; another move has its own."""
    if move.event is not Event.DELIVERED_COMPLETION:
        return move
    changes = {**move.changes, "updated_at": now, "finished_at": now}
    return Move(move.task_id, move.event, move.epoch, changes=changes)
