"""Deliveries that the engine may be at work on: the task's document says so, so that no process repeats them.

The engine answers `complete` when its transaction ends, in which the next steps of the process run too. A `complete`
that is repeated meanwhile runs those steps a second time; one whose lock is changed meanwhile fails at its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from bridge.domain.errors import CallNotMade, EngineError, EngineUnavailable, ForeignAnswer, StoreError
from bridge.domain.lifecycle import Event, Move
from bridge.domain.messages import message
from bridge.domain.task import State, Task
from bridge.flow.deliver.activity_times import ActivityTimes
from bridge.ports.clock import Clock
from bridge.ports.engine import Engine
from bridge.ports.journal import Journal, Level
from bridge.ports.store import TaskStore

_TIMED_OUT: Final = frozenset({408, 504})
"""The statuses of a proxy that waited for the engine in vain."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """`answer`: how long the engine may be silent before that is logged (CAMUNDA_TIMEOUT). `most`: how long an outcome
    that the engine may be at work on is not repeated (CAMUNDA_TIMEOUT_MAX). `written_after`: how long until a delivery
    is written to the task's document, for other processes to see."""

    answer: timedelta = timedelta(seconds=30)
    most: timedelta = timedelta(minutes=10)
    written_after: timedelta = timedelta(seconds=5)


@dataclass(eq=False, slots=True)
class Delivery:
    """An outcome on its way to the engine. `outlasts` is called once the engine has been silent for too long.

    `is_slow`: the engine answers other calls meanwhile, so the next steps of the process take the time.
    """

    task: Task
    began_at: datetime
    outlasts: Callable[[], None]
    is_written: bool = False
    is_slow: bool = False
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _timer: asyncio.TimerHandle | None = None
    _watching: asyncio.Task[None] | None = None

    def took(self, now: datetime) -> timedelta:
        return now - self.began_at


class InFlight:
    """Watches deliveries. A delivery that ends soon costs no more than a timer."""

    def __init__(
        self, engine: Engine, store: TaskStore, clock: Clock, journal: Journal, deadlines: Deadlines = Deadlines()
    ) -> None:
        self._engine = engine
        self._store = store
        self._clock = clock
        self._journal = journal
        self._deadlines = deadlines
        self._times = ActivityTimes(deadlines.answer)

    def is_slow(self, task: Task) -> bool:
        """Return whether the engine is known to take long after the task's activity."""
        return self._times.longest(task) is not None

    def lock(self, task: Task) -> timedelta | None:
        """Return how long a task's lock must hold for the delivery of its outcome; None where any lock will do."""
        longest = self._times.longest(task)
        if longest is None and task.in_flight_until is None:
            return None
        return min(2 * max(longest or timedelta(0), self._deadlines.answer), self._deadlines.most)

    def watch(self, task: Task, outlasts: Callable[[], None]) -> Delivery:
        """Begin to watch a delivery; the caller calls `end` in every case."""
        delivery = Delivery(task, self._clock.now(), outlasts)
        after = timedelta(0) if self.is_slow(task) else min(self._deadlines.written_after, self._deadlines.answer / 2)
        delivery._timer = asyncio.get_running_loop().call_later(after.total_seconds(), self._begin, delivery)
        return delivery

    async def end(self, delivery: Delivery) -> None:
        """Stop watching; a write that is under way has ended when this returns."""
        if delivery._timer is not None:
            delivery._timer.cancel()
        delivery._ended.set()
        if delivery._watching is not None:
            await asyncio.wait([delivery._watching])

    def answered(self, delivery: Delivery) -> None:
        """Record how long the engine took."""
        if delivery.is_slow or self._times.longest(delivery.task) is not None:
            self._times.learn(delivery.task, delivery.took(self._clock.now()))

    def unanswered(self, delivery: Delivery, error: EngineUnavailable) -> datetime | None:
        """Return until when the engine may be at work on a delivery without an answer; None where it is not.

        The engine is not at work on a call that was not sent, nor on a call of a quick activity that failed at once: a
        504 at once comes from a proxy that finds no engine, not from a proxy that waited for it.
        """
        if isinstance(error, CallNotMade):
            return None
        took, longest = delivery.took(self._clock.now()), self._times.longest(delivery.task)
        answer, most = self._deadlines.answer, self._deadlines.most
        was_awaited = delivery.is_written and isinstance(error, ForeignAnswer) and error.status in _TIMED_OUT
        if delivery.is_slow or was_awaited:
            return delivery.began_at + most
        if longest is not None:
            return delivery.began_at + min(2 * max(longest, took, answer), most)
        if delivery.is_written:
            return delivery.began_at + 2 * answer
        return None

    async def leave(self, delivery: Delivery) -> None:
        """Write down a delivery whose end this process will not see."""
        await self._write(delivery, self._deadlines.most if delivery.is_slow else 2 * self._deadlines.answer)
        if delivery._watching is not None:
            delivery._watching.cancel()

    def _begin(self, delivery: Delivery) -> None:
        # In a context of its own: the calls of the watch are no part of the delivery's trace.
        delivery._watching = asyncio.create_task(self._watch(delivery), context=Context())

    async def _watch(self, delivery: Delivery) -> None:
        answer = self._deadlines.answer
        await self._write(delivery, 2 * answer)
        left = delivery.began_at + answer - self._clock.now()
        try:
            async with asyncio.timeout(max(0.0, left.total_seconds())):
                await delivery._ended.wait()
        except TimeoutError:
            await self._outlast(delivery)

    async def _outlast(self, delivery: Delivery) -> None:
        delivery.outlasts()
        seconds = f"{self._deadlines.answer.total_seconds():g} s"
        try:
            await self._engine.version()
        except EngineError as error:
            self._journal.write("outcome_unanswered", task=delivery.task, level=Level.WARNING, error=str(error))
            why = message("outcome.unanswered", time=seconds, error=error.message)
            await self._write(delivery, 2 * self._deadlines.answer, error=why)
            return
        if delivery._ended.is_set():
            return
        delivery.is_slow = True
        why = message("outcome.slow_step", time=seconds)
        task, took = delivery.task, delivery.took(self._clock.now())
        is_first = self._times.learn(task, max(took, self._deadlines.answer))
        self._journal.write("delivery_slow", task=task, level=Level.DEBUG)
        if is_first:
            self._journal.write(
                "next_step_slow",
                task=task,
                level=Level.WARNING,
                process=task.process_definition_key,
                activity=task.activity_id,
                why=str(why),
            )
        await self._write(delivery, self._deadlines.most, error=why)

    async def _write(self, delivery: Delivery, within: timedelta, **changes: object) -> None:
        """Write to the task until when its outcome is in flight, also where the task has a newer lease by now."""
        task, until = delivery.task, delivery.began_at + within
        delivery.is_written = True
        now = self._clock.now()
        # Other processes ask the engine now and then, in case this process ends before the delivery does.
        next_at = min(until, now + 2 * self._deadlines.answer)
        fields = {"in_flight_until": until, "next_at": next_at, "updated_at": now, **changes}
        try:
            (kept,) = await self._store.move([Move(task.id, Event.TAKE, task.epoch, changes=fields)])
            if not kept:
                found = await self._store.get(task.id)
                if found is not None and found.state is State.REPORTING and found.in_flight_until is not None:
                    await self._store.move([Move(task.id, Event.TAKE, found.epoch, changes=fields)])
        except StoreError as error:
            self._journal.write("delivery_not_recorded", task=task, level=Level.WARNING, error=str(error))
