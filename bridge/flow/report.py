"""From the store to the engine: a stored outcome is delivered until the engine has it, and no handler runs again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextvars import Context
from datetime import datetime, timedelta
from typing import Final

from bridge.batch import Batch
from bridge.errors import EngineForbidden, EngineRejected, EngineUnavailable, LeaseLost, StoreError, TaskGone
from bridge.flow.breaker import Breaker
from bridge.flow.cause import cause_fields
from bridge.lifecycle import Event, Move, delivered
from bridge.loop import delay_after
from bridge.ports import Clock, Engine, Journal, Level, TaskStore
from bridge.ports_trace import NoTracer, Tracer
from bridge.task import BpmnFault, Completion, Failure, Outcome, State, Task
from bridge.trace import traced
from bridge.turns import Turns

MOST_REMEMBERED: Final = 20_000
"""How many outcomes are known by id that wait for the engine to answer again; any more are found when they are due."""
INCIDENT_LOOK: Final = timedelta(minutes=10)
"""After how long the engine is asked first whether an incident still stands."""
AT_ONCE: Final = 200
"""How many of those are read from the store together."""


class Report:
    """Delivers outcomes and writes down how that ended. `limit` bounds the refusals of one by the engine, and `rest`
    says how much of a busy moment is written together.

    While the breaker is open outcomes wait in the store. When the engine answers again they are delivered at once,
    and `backlogged` says that they go first: nothing new is to be fetched before them. Topics take turns, so that a
    topic with many outcomes doesn't hold up the others'.
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
        rest: timedelta = timedelta(0),
    ) -> None:
        self._engine = engine
        self._store = store
        self._clock = clock
        self._journal = journal
        self._delays = (first_delay, most_delay)
        self._limit = limit
        self._concurrency = concurrency
        self._tracer = tracer
        self._waiting: Turns[Task] = Turns()
        self._sending = 0
        self._settle = Batch(self._write_down, limit=100, rest=rest)
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
        return away or redelivers or len(self._pending) > 8 * self._concurrency

    def put(self, task: Task) -> None:
        """Start the delivery of a task's outcome when its topic's turn comes, unless it is under way."""
        if task.id not in self._pending:
            self._pending[task.id] = asyncio.get_running_loop().create_future()
            self._waiting.push(task.topic, task)
            self._start()

    def _start(self) -> None:
        while self._sending < self._concurrency and (task := self._waiting.pop()) is not None:
            self._sending += 1
            # In a context of its own: it may begin as the delivery of another task ends.
            delivery = asyncio.create_task(self._deliver_in_turn(task), context=Context())
            self._deliveries.add(delivery)
            delivery.add_done_callback(self._deliveries.discard)

    async def _deliver_in_turn(self, task: Task) -> None:
        try:
            try:
                move = await self._tell(task)
            finally:
                self._sending -= 1
                self._start()
            if move is not None:
                await self._settled(task, move)
        except StoreError as error:
            # The outcome stays in the store, and is delivered again when it is due: the engine takes it once.
            self._journal.write("outcome_unsettled", task=task, level=Level.WARNING, error=str(error))
        finally:
            self._pending.pop(task.id).set_result(None)

    async def drain(self) -> None:
        """Wait for the deliveries under way."""
        if self._redelivery is not None:
            await self._redelivery
        while self._pending:
            await asyncio.wait(list(self._pending.values()))

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
                self._journal.write("outcomes_unread", level=Level.WARNING, tasks=len(ids), error=str(error))
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

    async def _tell(self, task: Task) -> Move | None:
        """Tell the engine, and return what is to be written of it; None where there is nothing to tell."""
        outcome = task.outcome
        if outcome is None:
            return None
        try:
            await self._tracer.deliver(task, lambda: self._send(task, outcome))
        except (LeaseLost, TaskGone):
            move = await self._reconcile(task, outcome)
        except EngineUnavailable as error:
            self._remember(task)
            move = self._defer(task, str(error))
        except EngineRejected as error:
            move = await self._refused(task, error)
        else:
            move = self._delivered(task, outcome)
        return move

    async def _settled(self, task: Task, move: Move) -> bool:
        if move.event is not Event.DEFER:
            self._undelivered.pop(task.id, None)
        done = await self._settle.put(traced(task, move))
        if done:
            self._tracer.settled(task, move)
        level = Level.DEBUG if move.event is Event.DELIVERED_COMPLETION else Level.INFO
        self._journal.write("outcome_settled", task=task, level=level, how=move.event.value, kept=done)
        return done

    async def _write_down(self, moves: Sequence[Move]) -> Sequence[bool]:
        """Write them together. What the engine took meanwhile is completed at one moment, and so is one write."""
        now = self._clock.now()
        return await self._store.move([_at(move, now) for move in moves])

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

    def _delivered(self, task: Task, outcome: Outcome) -> Move:
        event = delivered(outcome)
        if isinstance(outcome, Failure):
            now = self._clock.now()
            retry = event is Event.DELIVERED_RETRY
            ends = {"next_at": now + outcome.retry_after} if retry else self._incident(now)
            return self._move(task, event, error=outcome.message, retries=outcome.retries, lease_until=now, **ends)
        return Move(task.id, event, task.epoch, changes={"result": outcome.variables, "error": None})

    async def _reconcile(self, task: Task, outcome: Outcome) -> Move:
        """Ask the engine what became of a task on which our worker id can't report."""
        try:
            found = await self._engine.get(task.id)
            if found.worker_id == task.worker_id:
                return self._defer(task, "the task is suspended, or another transaction works on it")
            return self._move(task, Event.SUPERSEDE, error=f"worker {found.worker_id} holds the task now")
        except TaskGone:
            return await self._look_back(task, outcome)
        except (EngineUnavailable, EngineRejected) as error:
            return self._defer(task, str(error))

    async def end_of(self, task: Task) -> Move | None:
        """Return the move that ends a task which the engine no longer has; None where that can't be told now.

        One that still has an outcome may have been ended by it, through a delivery that never came to write that down.
        """
        if task.outcome is not None:
            move = await self._look_back(task, task.outcome)
            return None if move.event is Event.DEFER else move
        now = self._clock.now()
        return self._move(task, Event.GONE, finished_at=now, error="the task is gone from the engine")

    async def _look_back(self, task: Task, outcome: Outcome) -> Move:
        """Tell from the engine's log whether our own report ended the task, its answer having been lost."""
        try:
            log = await self._engine.history(task.id)
        except (EngineUnavailable, EngineRejected) as error:
            return self._defer(task, str(error))
        now = self._clock.now()
        last = log[-1] if log else None
        ours = last is not None and last.worker_id == task.worker_id
        # The engine logs a thrown BPMN error only as a deletion by whoever held the lock.
        if last is not None and ours and (last.succeeded or (last.deleted and isinstance(outcome, BpmnFault))):
            result = None if isinstance(outcome, Failure) else outcome.variables
            return self._move(task, Event.ENDED_BY_US, result=result, finished_at=now)
        return self._move(task, Event.GONE, finished_at=now, error="the task is gone from the engine")

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
