"""One delivery of an outcome: send it to the engine, and decide by the engine's answer what to write down."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from bridge.domain.errors import EngineForbidden, EngineRejected, EngineUnavailable, LeaseLost, TaskGone
from bridge.domain.fingerprint import cause_fields
from bridge.domain.lifecycle import Event, Move, delivered
from bridge.domain.messages import message
from bridge.domain.task import BpmnFault, Completion, Failure, Outcome, Task
from bridge.flow.deliver.ending import GONE, Endings
from bridge.flow.deliver.in_flight import Delivery, InFlight
from bridge.ports.clock import Clock
from bridge.ports.engine import Engine
from bridge.ports.journal import Journal, Level
from bridge.ports.tracer import Tracer
from bridge.runtime.loop import delay_after

INCIDENT_CHECK_AFTER: Final = timedelta(minutes=10)
"""How long after an incident was raised the engine is first asked whether the incident still exists."""
_LOCK: Final = timedelta(seconds=60)
"""The lock duration of a task that somebody unlocked before its outcome was delivered, and that is locked again."""


class OutcomeSender:
    """Sends outcomes, and returns the move that follows from the engine's answer; `OutcomeDelivery` writes the moves.

    `delays` are the first and the longest delay before an outcome is sent again. `limit` is how often the engine may
    refuse one outcome. `on_unavailable` is called with each task whose outcome the engine did not answer.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        journal: Journal,
        tracer: Tracer,
        *,
        in_flight: InFlight,
        endings: Endings,
        delays: tuple[timedelta, timedelta],
        limit: int,
        on_unavailable: Callable[[Task], None],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._journal = journal
        self._tracer = tracer
        self._in_flight = in_flight
        self._endings = endings
        self._delays = delays
        self._limit = limit
        self._on_unavailable = on_unavailable
        self._open: set[Delivery] = set()
        self._chance = random.Random()  # noqa: S311 - it spreads load, it keeps no secret

    async def leave(self) -> None:
        """Write to each task under way until when the engine may be at work on its outcome."""
        await asyncio.gather(*(self._in_flight.leave(delivery) for delivery in self._open))

    async def send(self, task: Task, outlasts: Callable[[], None] = lambda: None) -> Move | None:
        """Send a task's outcome, and return the move to write; None for a task without an outcome.

        `outlasts` is called once the engine has been silent for too long.
        """
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
            self._on_unavailable(task)
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
        """Lock the task for long enough for a slow delivery; return a move where the outcome can't be sent now."""
        until, lock = task.in_flight_until, self._in_flight.lock(task)
        if lock is None:
            return None
        if until is not None and (known := await self._ask(task, outcome, until)) is not None:
            return known
        try:
            # Locked before the outcome is sent: a lock during the engine's transaction would make it fail at its end.
            await self._engine.lock(task.id, task.worker_id, lock)
        except (LeaseLost, TaskGone):
            return await self._reconcile(task, outcome)
        except (EngineUnavailable, EngineRejected) as error:
            return self._defer(task, str(error))
        return None

    async def _ask(self, task: Task, outcome: Outcome, until: datetime) -> Move | None:
        """Ask the engine about an outcome that it may be at work on; None where the outcome can be sent again."""
        try:
            found = await self._engine.get(task.id)
        except TaskGone:
            return await self._find_ending(task, outcome)
        except (EngineUnavailable, EngineRejected) as error:
            return self._defer(task, str(error))
        if found.worker_id not in {None, task.worker_id}:
            return self._move(task, Event.SUPERSEDE, error=str(message("lock.held", worker=found.worker_id)))
        if self._clock.now() < until:
            return self._defer(task, task.error or message("outcome.under_way"))
        return None

    async def _send_held(self, task: Task, outcome: Outcome) -> None:
        """Send the outcome; lock the task again first where somebody unlocked it and no other worker locked it."""
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
        """Return the move after the engine's 204; the model may have thrown a BPMN error in place of the outcome."""
        try:
            ending = await self._endings.after_answer(task, outcome)
        except (EngineUnavailable, EngineRejected) as error:
            # The engine took the outcome; the reconciler checks a failed task when it is due.
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
        """Ask the engine about a task for which it refused our worker id."""
        try:
            found = await self._engine.get(task.id)
            if found.worker_id in {None, task.worker_id}:
                return self._defer(task, "the task is suspended, or another transaction works on it")
            return self._move(task, Event.SUPERSEDE, error=str(message("lock.held", worker=found.worker_id)))
        except TaskGone:
            return await self._find_ending(task, outcome)
        except (EngineUnavailable, EngineRejected) as error:
            return self._defer(task, str(error))

    async def end_of(self, task: Task) -> Move | None:
        """Return the move that ends a task which the engine no longer has; None where that is not known now.

        Where the task still has an outcome, a delivery whose end was not written down may have ended the task.
        """
        if task.outcome is not None:
            move = await self._find_ending(task, task.outcome)
            return None if move.event is Event.DEFER else move
        now = self._clock.now()
        return self._move(task, Event.GONE, finished_at=now, error=GONE)

    async def _find_ending(self, task: Task, outcome: Outcome) -> Move:
        """Return the move that follows from the engine's history: our own outcome may have ended the task."""
        try:
            ending = await self._endings.find_ending(task, outcome)
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
        """Return the times of a task that waits for a person; the engine sends no notice of a cancelled process."""
        return {"finished_at": now, "next_at": now + INCIDENT_CHECK_AFTER}

    def _defer(self, task: Task, why: str, **changes: object) -> Move:
        delay = delay_after(task.reports + 1, *self._delays, self._chance)
        return self._move(task, Event.DEFER, error=why, next_at=self._clock.now() + delay, **changes)

    def _move(self, task: Task, event: Event, **changes: object) -> Move:
        return Move(task.id, event, task.epoch, changes={"updated_at": self._clock.now(), **changes})
