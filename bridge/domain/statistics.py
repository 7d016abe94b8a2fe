"""Numbers of the past: what is counted by topic and time, and how that is added up for a page. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum
from typing import Final

from bridge.domain.histogram import Buckets, merged, quantiles


class Count(StrEnum):
    """What is counted. `failed` counts runs, the others from `completed` on what became of tasks.

    A BPMN error completes a task: it is in both `bpmn_errors` and `completed`. `lost` counts claims whose process
    ended. `incidents` counts those raised.
    """

    RECEIVED = "received"
    STARTED = "started"
    FAILED = "failed"
    BPMN_ERRORS = "bpmn_errors"
    LOST = "lost"
    COMPLETED = "completed"
    RETRIED = "retried"
    INCIDENTS = "incidents"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    UNKNOWN = "unknown"


class Step(Enum):
    """How finely time is divided; each is kept on its own, so that a long range doesn't read many rows."""

    MINUTE = timedelta(minutes=1)
    TEN_MINUTES = timedelta(minutes=10)
    HOUR = timedelta(hours=1)

    def floor(self, moment: datetime) -> datetime:
        """Return the beginning of the step in which the moment lies."""
        return moment - (moment - _EPOCH) % self.value


class Range(StrEnum):
    """How far back a page looks."""

    HOUR = "1h"
    SIX_HOURS = "6h"
    DAY = "24h"
    WEEK = "7d"

    @property
    def span(self) -> timedelta:
        return _SPANS[self][0]

    @property
    def step(self) -> Step:
        return _SPANS[self][1]


SLOT: Final = timedelta(minutes=5)
"""How finely failures are counted: what a group failed in the last hour is off by so much at most."""

WEEK: Final = timedelta(days=7)
"""How far back failures are counted."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SPANS: Final[Mapping[Range, tuple[timedelta, Step]]] = {
    Range.HOUR: (timedelta(hours=1), Step.MINUTE),
    Range.SIX_HOURS: (timedelta(hours=6), Step.TEN_MINUTES),
    Range.DAY: (timedelta(days=1), Step.TEN_MINUTES),
    Range.WEEK: (timedelta(days=7), Step.HOUR),
}


@dataclass(frozen=True, slots=True)
class Rollup:
    """What happened to a topic's tasks in one step of time. `waiting` is the time from acceptance to the first run."""

    at: datetime
    topic: str
    counts: Mapping[Count, int] = field(default_factory=dict)
    waiting: Buckets = field(default_factory=dict)
    running: Buckets = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failures:
    """How often one cause failed in one slot of time, and what a group needs to be shown."""

    fingerprint: str
    topic: str
    error: str
    sample: str
    first: datetime
    last: datetime
    count: int


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures of one cause. `hours` has the counts of the last week by hour, without those that are 0."""

    fingerprint: str
    topic: str
    error: str
    sample: str
    first_seen: datetime
    last_seen: datetime
    total: int
    last_hour: int = 0
    last_day: int = 0
    last_week: int = 0
    hours: Mapping[datetime, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Times:
    """Quantiles in seconds, each off by at most a tenth of itself; None where nothing was measured."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """One step of a chart."""

    at: datetime
    counts: Mapping[Count, int]
    waiting: Times
    running: Times


@dataclass(frozen=True, slots=True)
class Overview:
    """A range of time, of one topic or all. `points` has every step, also those in which nothing happened."""

    range: Range
    topic: str | None
    counts: Mapping[Count, int]
    waiting: Times
    running: Times
    points: tuple[Point, ...]
    by_topic: Mapping[str, TopicFigures]

    @property
    def failed_share(self) -> float | None:
        """The part of the runs that failed; None where none ended."""
        return _failed_share(self.counts)

    @property
    def per_second(self) -> float:
        """How many tasks were completed a second."""
        return self.counts[Count.COMPLETED] / self.range.span.total_seconds()


@dataclass(frozen=True, slots=True)
class TopicFigures:
    """A topic's part of a range. `series` is what it completed in each step."""

    counts: Mapping[Count, int]
    waiting: Times
    running: Times
    series: tuple[int, ...]

    @property
    def failed_share(self) -> float | None:
        """The part of the runs that failed; None where none ended."""
        return _failed_share(self.counts)


def beginning(wanted: Range, now: datetime) -> datetime:
    """Return when the first step of a range begins."""
    return wanted.step.floor(now) - wanted.span + wanted.step.value


def overview(
    rows: Iterable[Rollup], wanted: Range, topic: str | None, now: datetime, *, split: bool = True
) -> Overview:
    """Return what the rows of a range add up to; `by_topic` is empty where they are not to be `split`."""
    first, step = beginning(wanted, now), wanted.step
    moments = [first + place * step.value for place in range(wanted.span // step.value)]
    by_moment: dict[datetime, list[Rollup]] = {moment: [] for moment in moments}
    by_topic: dict[str, list[Rollup]] = {}
    for row in rows:
        if row.at in by_moment and topic in {None, row.topic}:
            by_moment[row.at].append(row)
            if split:
                by_topic.setdefault(row.topic, []).append(row)
    figures = {name: _sum_of(some) for name, some in sorted(by_topic.items())}
    points = {moment: _sum_of(some) for moment, some in by_moment.items()}
    total = _sum_of(points.values())
    completed = {
        name: Counter({row.at: row.counts.get(Count.COMPLETED, 0) for row in by_topic[name]}) for name in figures
    }
    return Overview(
        range=wanted,
        topic=topic,
        counts=total.counts,
        waiting=total.waiting_times,
        running=total.running_times,
        points=tuple(Point(moment, one.counts, one.waiting_times, one.running_times) for moment, one in points.items()),
        by_topic={
            name: TopicFigures(
                one.counts, one.waiting_times, one.running_times, tuple(completed[name][moment] for moment in moments)
            )
            for name, one in figures.items()
        },
    )


def reach(within: timedelta, now: datetime) -> datetime:
    """Return after when an hour begins of which a part lies in the time `within` before now."""
    return now - within - Step.HOUR.value


def counted(group: FailureGroup, slots: Mapping[datetime, int], now: datetime) -> FailureGroup:
    """Return the group with what it counted in each slot added up."""
    hour, day, week = 0, 0, 0
    last_hour, last_day, last_week = now - timedelta(hours=1), now - timedelta(days=1), now - WEEK
    hours: Counter[datetime] = Counter()
    for at, count in slots.items():
        if at > last_week:
            week += count
            day += count if at > last_day else 0
            hour += count if at > last_hour else 0
            hours[Step.HOUR.floor(at)] += count
    return replace(group, last_hour=hour, last_day=day, last_week=week, hours=dict(sorted(hours.items())))


@dataclass(frozen=True, slots=True)
class _Sum:
    counts: Mapping[Count, int]
    waiting: Buckets
    running: Buckets

    @property
    def waiting_times(self) -> Times:
        return _times(self.waiting)

    @property
    def running_times(self) -> Times:
        return _times(self.running)


def _sum_of(rows: Collection[Rollup | _Sum]) -> _Sum:
    return _Sum(
        {count: sum(row.counts.get(count, 0) for row in rows) for count in Count},
        merged(row.waiting for row in rows),
        merged(row.running for row in rows),
    )


def _times(buckets: Buckets) -> Times:
    return Times(*quantiles(buckets, (0.5, 0.95, 0.99)))


def _failed_share(counts: Mapping[Count, int]) -> float | None:
    # what completed includes BPMN errors; runs that are neither failed nor completed yet are left out
    ended = counts[Count.FAILED] + counts[Count.COMPLETED]
    return counts[Count.FAILED] / ended if ended else None
