"""How long a fetch may wait at the engine: less where a proxy cuts waiting calls, or no engine node wakes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from bridge.ports.clock import Clock
from bridge.ports.journal import Journal, Level

NONE: Final = timedelta(0)


class Why(StrEnum):
    """Why a fetch waits for less than it is set to."""

    CUT = "something between the gateway and the engine ends calls that wait longer"
    NOT_WOKEN = "another node of the engine makes tasks, of which the node that holds the call learns at its end only"


@dataclass(frozen=True, slots=True)
class PollWaitPolicy:
    """`least` is the shortest wait after cuts, and `interval` the least time from one waiting call to the next while
    the engine doesn't hold calls, or doesn't wake them. After a cut a longer wait is tried after `grow_after`, and
    less and less often, up to `grow_most`, while that is cut too.

    A task is `late` when it was created while a call waited, and came that long after, at the call's end. So many
    `proofs` within `proof_life` make calls `short`: with 0.8 s, 95 of 100 tasks are fetched within a second. Long calls
    come back when `woken` calls in a row were answered before their end and `proof_life` is over, or when no task came
    for `quiet`.
    """

    least: timedelta = timedelta(milliseconds=500)
    interval: timedelta = timedelta(milliseconds=500)
    grow_after: timedelta = timedelta(minutes=1)
    grow_most: timedelta = timedelta(hours=1)
    late: timedelta = timedelta(milliseconds=500)
    short: timedelta = timedelta(milliseconds=800)
    proofs: int = 2
    proof_life: timedelta = timedelta(minutes=10)
    woken: int = 20
    quiet: timedelta = timedelta(hours=1)


class PollWait:
    """Adapts the wait by each call that waited. `most` is the setting (POLL_WAIT).

    Ages of tasks are by the engine's own clock: from a task's creation to its lock.
    """

    def __init__(
        self, most: timedelta, clock: Clock, journal: Journal, policy: PollWaitPolicy = PollWaitPolicy()
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._policy = policy
        self._most = most
        self._uncut = most
        self._grow_at: datetime | None = None
        self._grow_after = policy.grow_after
        self._early = 0
        self._wakes = True
        self._proofs: list[datetime] = []
        self._needed = policy.proofs
        self._woken = 0
        self._task_at: datetime | None = None
        self._began_at: datetime | None = None
        self._last_logged = most

    @property
    def now(self) -> timedelta:
        """How long the next call may wait."""
        return min(self._uncut, self._most if self._wakes else self._policy.short)

    def due_in(self) -> timedelta:
        """Return the time until the next waiting call may begin: an engine that answers at once is asked less often."""
        if self._began_at is None or (self._wakes and not self._early):
            return NONE
        return max(NONE, self._began_at + self._policy.interval - self._clock.now())

    def begin(self) -> timedelta:
        """Count a waiting call that begins now, and return how long it may wait."""
        now = self._clock.now()
        if self._grow_at is not None and now >= self._grow_at:
            self._grow(now)
        if not self._wakes and self._task_at is not None and now - self._task_at >= self._policy.quiet:
            self._lengthen()
        self._began_at = now
        return self.now

    def cut(self, waited: timedelta, took: timedelta) -> bool:
        """Record that a call that might have waited so long ended after `took`, without an answer of the engine.

        Return False where calls are as short as they can be already: then a long wait is not the cause.
        """
        self._early = max(self._early, 1)
        if waited > self._uncut:  # it began before the one by which that was learned
            return True
        if self._uncut <= self._policy.least:
            return False
        self._uncut = max(self._policy.least, min(waited, took) / 2)
        self._grow_at = self._clock.now() + self._grow_after
        self._grow_after = min(2 * self._grow_after, self._policy.grow_most)
        self._tell(Why.CUT, took)
        return True

    def answered(self, waited: timedelta, took: timedelta, ages: Sequence[timedelta], tasks: int) -> None:
        """Record the engine's answer: the number of tasks, and the ages of those that never were locked before."""
        if waited <= NONE:
            return
        self._early = self._early + 1 if not tasks and took < waited / 2 else 0
        if self._early == _EARLY:
            self._journal.write("polls_not_held", level=Level.WARNING, waited=waited.total_seconds())
        now = self._clock.now()
        if tasks:
            self._task_at = now
        if took >= waited >= self._most:
            self._grow_after = self._policy.grow_after
        meanwhile = [age for age in ages if age < took]
        if not meanwhile:  # made before the call began: that tells nothing
            return
        late = min(self._policy.late, waited / 4)
        if took < waited:
            self._woken += 1
        elif max(meanwhile) >= late:
            self._woken = 0
            self._proofs.append(now)
        self._proofs = [at for at in self._proofs if now - at < self._policy.proof_life]
        if self._wakes and len(self._proofs) >= self._needed:
            self._wakes, self._woken = False, 0
            self._tell(Why.NOT_WOKEN, max(meanwhile))
        elif not self._wakes and not self._proofs and self._woken >= self._policy.woken:
            self._lengthen()

    def _grow(self, now: datetime) -> None:
        self._uncut = min(2 * self._uncut, self._most)
        self._grow_at = None if self._uncut == self._most else now + self._policy.grow_after
        self._tell(None)

    def _lengthen(self) -> None:
        # A trial: the first task that comes late ends it.
        self._wakes, self._needed, self._woken, self._proofs = True, 1, 0, []
        self._tell(None)

    def _tell(self, why: Why | None, after: timedelta = NONE) -> None:
        """Log the first shortening, and the return to the setting; not each step between."""
        before, self._last_logged = self._last_logged, self.now
        wait = self.now.total_seconds()
        if self.now < self._most and before == self._most and why is not None:
            seconds = round(after.total_seconds(), 1)
            self._journal.write("poll_shortened", level=Level.WARNING, wait=wait, why=why.value, after=seconds)
        elif self.now == self._most and before < self._most:
            self._journal.write("poll_lengthened", wait=wait)


_EARLY: Final = 3
"""After so many calls in a row that were answered at once without tasks the engine counts as holding no calls."""
