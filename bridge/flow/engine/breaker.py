"""A circuit breaker for the engine: while the engine doesn't answer, one trial call at a time is made."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from enum import StrEnum
from typing import TypeVar

from bridge.domain.errors import AnswerTooLarge, CallCut, CallNotMade, EngineRejected, EngineUnavailable, PayloadRefused
from bridge.domain.messages import Message, message
from bridge.ports.journal import Journal, Level
from bridge.runtime.loop import delay_after

T = TypeVar("T")

_WEIGHT = 0.05
"""The weight of one call in the moving error rate."""


class Circuit(StrEnum):
    """CLOSED: calls go through. OPEN: no call does. HALF_OPEN: one trial call does."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Opens after `limit` calls in a row without an answer; makes a trial call after a growing, spread delay.

    While the circuit is open only the trial counts: calls that were under way when it opened neither lengthen the
    delay nor close it, and calls that outlast the outage don't open it again. There is one trial at a time; a trial
    that takes longer than `trial_within` is given up for the next, and counts no more: an outcome may be waited for
    much longer.

    Any answer of the engine to the trial closes the circuit, an error of the engine as well: a refusal is an answer.
    A foreign answer is no answer, with two exceptions that say nothing of the engine: a 413, which is about one
    request, and an answer that is too large to be read. `error_rate` counts answers of an engine in trouble (5xx, but
    not optimistic locking), and calls without an answer.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        limit: int = 5,
        first_delay: timedelta = timedelta(milliseconds=500),
        most_delay: timedelta = timedelta(seconds=15),
        trial_within: timedelta = timedelta(seconds=60),
        monotonic: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self._journal = journal
        self._limit = limit
        self._delays = (first_delay, most_delay)
        self._trial_within = trial_within.total_seconds()
        self._monotonic = monotonic
        self._chance = chance or random.Random()  # noqa: S311 - it spreads load, it keeps no secret
        self._failures = 0
        self._trials = 0
        self._try_at = 0.0
        self._last = Message("")
        self._phase = 0
        self._closed_again: list[Callable[[], None]] = []
        self.circuit = Circuit.CLOSED
        self.error_rate = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether the circuit is closed: as far as is known, the engine answers."""
        return self.circuit is Circuit.CLOSED

    def when_closed(self, act: Callable[[], None]) -> None:
        """Call `act` each time that the circuit closes."""
        self._closed_again.append(act)

    async def guard(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make the call, or raise `EngineUnavailable` at once while the circuit is open."""
        phase = self._admit()
        try:
            result = await call()
        except (PayloadRefused, CallCut, AnswerTooLarge):  # about one request or answer, or too long a call for a proxy
            raise
        except EngineUnavailable as error:
            self._failed(phase, error)
            raise
        except EngineRejected as error:
            self._answered(phase, bad=error.status >= 500 and not error.transient)
            raise
        else:
            self._answered(phase, bad=False)
            return result
        finally:
            # The trial was cancelled. Nothing is known, and the next call may be the trial.
            if phase == self._phase and self.circuit is Circuit.HALF_OPEN:
                self._enter(Circuit.OPEN)
                self._try_at = self._monotonic()

    def _admit(self) -> int:
        """Return the phase in which the call begins: once that phase is over, the call's end no longer counts."""
        if self.circuit is not Circuit.CLOSED:
            now = self._monotonic()
            if now < self._try_at:
                raise CallNotMade(message("engine.waiting", error=self._last))
            self._enter(Circuit.HALF_OPEN)
            self._try_at = now + self._trial_within
        return self._phase

    def _enter(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self._phase += 1

    def _answered(self, phase: int, *, bad: bool) -> None:
        self.error_rate += _WEIGHT * (bad - self.error_rate)
        if phase != self._phase:
            return
        self._failures = 0
        if self.circuit is Circuit.CLOSED:
            return
        self._enter(Circuit.CLOSED)
        self._trials = 0
        self._journal.write("circuit_closed", level=Level.WARNING)
        for act in self._closed_again:
            act()

    def _failed(self, phase: int, error: EngineUnavailable) -> None:
        self._last = error.message
        self.error_rate += _WEIGHT * (1 - self.error_rate)
        if phase != self._phase:
            return
        self._failures += 1
        if self.circuit is Circuit.CLOSED and self._failures < self._limit:
            return
        if self.circuit is Circuit.CLOSED:
            self._journal.write("circuit_opened", level=Level.ERROR, failures=self._failures, error=self._last)
        self._trials += 1
        self._enter(Circuit.OPEN)
        self._try_at = self._monotonic() + delay_after(self._trials, *self._delays, self._chance).total_seconds()
