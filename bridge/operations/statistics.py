"""Counts runs and ends of tasks for the dashboard: in memory by minute and topic, and from there into the store.

A process that is killed loses counts that were not flushed: two seconds of statistics. A flush whose answer is lost is
sent again, so that after a broken connection the counts may be too high by one flush.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from bridge.domain.errors import StoreError
from bridge.domain.fingerprint import SAMPLE
from bridge.domain.histogram import bucket_of
from bridge.domain.lifecycle import Event
from bridge.domain.statistics import SLOT, Count, Failures, Rollup, Step
from bridge.domain.task import Task
from bridge.ports.clock import Clock
from bridge.ports.dashboard import Statistics
from bridge.ports.journal import Journal, Level

MOST: Final = 5000
"""The most rows that are held while the store is away; then the oldest are dropped."""


@dataclass(slots=True)
class _Sums:
    counts: Counter[Count] = field(default_factory=Counter)
    waiting: Counter[int] = field(default_factory=Counter)
    running: Counter[int] = field(default_factory=Counter)

    def add(self, other: _Sums) -> None:
        self.counts.update(other.counts)
        self.waiting.update(other.waiting)
        self.running.update(other.running)


_Key = tuple[datetime, str]


class StatisticsCollector:
    """Holds the counts of this process until `flush`."""

    def __init__(self, statistics: Statistics, clock: Clock) -> None:
        self._statistics = statistics
        self._clock = clock
        self._sums: dict[_Key, _Sums] = {}
        self._failures: dict[tuple[str, datetime], Failures] = {}
        self._minute = Step.MINUTE.floor(clock.now())
        self.dropped = 0

    def count(self, topic: str, what: Count, by: int = 1) -> None:
        self._now(topic).counts[what] += by

    def started(self, task: Task) -> None:
        """Count a run and, for a task's first run, how long the task had waited."""
        sums = self._now(task.topic)
        sums.counts[Count.STARTED] += 1
        if task.attempts == 1 and task.claimed_at is not None:
            sums.waiting[bucket_of((task.claimed_at - task.created_at).total_seconds())] += 1

    def ran(self, task: Task) -> None:
        """Count how long a run that ended now has taken."""
        if task.claimed_at is not None:
            taken = self._clock.now() - task.claimed_at
            self._now(task.topic).running[bucket_of(taken.total_seconds())] += 1

    def failed(self, task: Task, message: str) -> None:
        """Count a failure in its group."""
        if task.error_fp is None:
            return
        now = self._clock.now()
        hour = Step.HOUR.floor(now)
        key = (task.error_fp, hour + (now - hour) // SLOT * SLOT)
        known = self._failures.get(key)
        first, count = (now, 0) if known is None else (known.first, known.count)
        sample = message if len(message) <= SAMPLE else f"{message[: SAMPLE - 1]}…"
        error = task.error_type or ""
        self._failures[key] = Failures(task.error_fp, task.topic, error, sample, first, now, count + 1)

    async def flush(self) -> None:
        """Add the counts to the store; counts that it doesn't take are kept for the next flush, within bounds."""
        if not self._sums and not self._failures:
            return
        sums, self._sums = self._sums, {}
        failures, self._failures = self._failures, {}
        try:
            await self._statistics.add({step: _rollups(sums, step) for step in Step}, tuple(failures.values()))
        except StoreError:
            self._keep(sums, failures)
            raise

    def _keep(self, sums: dict[_Key, _Sums], failures: dict[tuple[str, datetime], Failures]) -> None:
        for key, newer in self._sums.items():
            sums.setdefault(key, _Sums()).add(newer)
        for slot, failed in self._failures.items():
            older = failures.get(slot)
            failures[slot] = failed if older is None else _sum(older, failed)
        self.dropped += max(0, len(sums) - MOST) + max(0, len(failures) - MOST)
        self._sums = dict(list(sums.items())[-MOST:])
        self._failures = dict(list(failures.items())[-MOST:])

    def _now(self, topic: str) -> _Sums:
        # Each task comes here several times, and a minute is long.
        now = self._clock.now()
        if not timedelta(0) <= now - self._minute < Step.MINUTE.value:
            self._minute = Step.MINUTE.floor(now)
        key = (self._minute, topic)
        found = self._sums.get(key)
        if found is None:
            found = self._sums[key] = _Sums()
        return found


class StatisticsJournal:
    """A journal that counts events and passes them on to another: the flow writes each event once."""

    def __init__(self, journal: Journal, collector: StatisticsCollector) -> None:
        self._journal = journal
        self._collector = collector
        self._events: Mapping[str, Callable[[Task, Mapping[str, Any]], None]] = {
            "submission_accepted": lambda task, _: collector.count(task.topic, Count.RECEIVED),
            "handler_started": lambda task, _: collector.started(task),
            "handler_completed": lambda task, _: collector.ran(task),
            "handler_raised_bpmn_error": self._bpmn_error,
            "handler_failed": self._failed,
            "claim_limit_reached": lambda task, values: collector.failed(task, str(values["message"])),
            "outcome_undeliverable": lambda task, values: collector.failed(task, str(values["message"])),
            "claim_expired": lambda task, _: collector.count(task.topic, Count.LOST),
            "outcome_settled": self._settled,
            "failure_taken": lambda task, values: collector.count(task.topic, Count.RETRIED, int(values["kept"])),
        }

    def write(self, event: str, *, task: Task | None = None, level: Level = Level.INFO, **values: object) -> None:
        """As the port says."""
        if task is not None:
            act = self._events.get(event)
            if act is not None:
                act(task, values)
        elif event == "tasks_received":
            topics: Any = values["topics"]
            for topic, count in topics.items():
                self._collector.count(topic, Count.RECEIVED, count)
        self._journal.write(event, task=task, level=level, **values)

    def _bpmn_error(self, task: Task, _: Mapping[str, Any]) -> None:
        self._collector.ran(task)
        self._collector.count(task.topic, Count.BPMN_ERRORS)

    def _failed(self, task: Task, values: Mapping[str, Any]) -> None:
        self._collector.ran(task)
        self._collector.count(task.topic, Count.FAILED)
        self._collector.failed(task, str(values["message"]))

    def _settled(self, task: Task, values: Mapping[str, Any]) -> None:
        what = _SETTLED.get(values["how"])
        if what is not None and values["kept"]:
            self._collector.count(task.topic, what)
            if values.get("thrown"):
                self._collector.count(task.topic, Count.BPMN_ERRORS)


_SETTLED: Final[Mapping[str, Count]] = {
    Event.DELIVERED_COMPLETION.value: Count.COMPLETED,
    Event.ENDED_BY_US.value: Count.COMPLETED,
    Event.DELIVERED_RETRY.value: Count.RETRIED,
    Event.DELIVERED_INCIDENT.value: Count.INCIDENTS,
    Event.UNDELIVERABLE.value: Count.INCIDENTS,
    Event.GONE.value: Count.CANCELLED,
    Event.END_UNKNOWN.value: Count.UNKNOWN,
    Event.SUPERSEDE.value: Count.SUPERSEDED,
}


def _rollups(sums: Mapping[_Key, _Sums], step: Step) -> list[Rollup]:
    merged: dict[_Key, _Sums] = {}
    for (minute, topic), some in sums.items():
        merged.setdefault((step.floor(minute), topic), _Sums()).add(some)
    return [Rollup(at, topic, some.counts, some.waiting, some.running) for (at, topic), some in merged.items()]


def _sum(older: Failures, newer: Failures) -> Failures:
    return Failures(
        newer.fingerprint,
        newer.topic,
        newer.error,
        newer.sample,
        older.first,
        newer.last,
        older.count + newer.count,
    )
