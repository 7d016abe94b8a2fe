"""Formats numbers, times and durations for a reader, in their language and time zone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final

from babel import Locale
from babel.dates import format_datetime, format_skeleton, format_timedelta
from babel.lists import format_list
from babel.numbers import format_compact_decimal, format_decimal, format_percent

from web.components.charts import Plot, Rect

NONE: Final = "–"
"""The sign for a missing value."""

_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_SHORT: Final = len("Mar 18")
_SIZES: Final = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Column:
    """A chart's column as it is written: what it stands for (`at` is None where that is no moment), and its values."""

    rect: Rect
    label: str
    at: datetime | None
    values: list[tuple[str, str]]


class Formatter:
    """Writes values for one reader. Every method takes None, and writes a dash for it."""

    def __init__(self, locale: Locale, zone: tzinfo, now: datetime) -> None:
        self.locale = locale
        self.zone = zone
        self.now = now
        self._named = str(locale)

    # -- numbers

    def number(self, value: float | None, digits: int = 1) -> str:
        """Write a number with the separators of the language, and at most so many `digits` after the point."""
        if value is None:
            return NONE
        return _decimal(value, digits, self._named)

    def compact(self, value: float | None) -> str:
        """Write a large number short, as 12K or 12 mil."""
        if value is None:
            return NONE
        return format_compact_decimal(value, locale=self.locale, fraction_digits=0 if abs(value) < 1000 else 1)

    def capped(self, value: int | None, cap: int = 10_000) -> str:
        """Write a count that stops at `cap`: 10,000+ from there on."""
        if value is None:
            return NONE
        return self.number(value, 0) if value < cap else f"{self.number(cap, 0)}+"

    def percent(self, share: float | None) -> str:
        """Write a share of one as a percentage."""
        return NONE if share is None else format_percent(share, format="#,##0.#%", locale=self.locale)

    def size(self, count: int | None) -> str:
        """Write a number of bytes."""
        if count is None:
            return NONE
        value, unit = float(count), 0
        while value >= 1000 and unit < len(_SIZES) - 1:
            value, unit = value / 1000, unit + 1
        return f"{self.number(value)} {_SIZES[unit]}"

    # -- moments

    def local(self, moment: datetime) -> datetime:
        """Return the moment in the reader's zone; one that names no zone is taken for UTC.

        At the edge of the calendar, where the reader's zone has no such year, it stays as it is.
        """
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        try:
            return aware.astimezone(self.zone)
        except OverflowError:
            return aware

    def moment(self, moment: datetime | None) -> str:
        """Write day, time and offset from UTC, in the reader's zone."""
        if moment is None:
            return NONE
        local = self.local(moment)
        return f"{self._skeleton('yMMMd', local)} {self._pattern('HH:mm:ss xxx', local)}"

    def brief(self, moment: datetime | None) -> str:
        """Write the time of today's moments, the day and time of others: for tables, beside the whole in `title`."""
        if moment is None:
            return NONE
        local, today = self.local(moment), self.local(self.now)
        time = self._pattern("HH:mm:ss", local)
        if local.date() == today.date():
            return time
        pattern = "MMMd" if local.year == today.year else "yMMMd"
        return f"{self._skeleton(pattern, local)} {time[:5]}"

    def clock(self, moment: datetime | None) -> str:
        """Write hours and minutes."""
        return NONE if moment is None else self._pattern("HH:mm", self.local(moment))

    def axis(self, moment: datetime, span: timedelta) -> str:
        """Write a moment under a chart's axis that is so long: the time, or the day where it's longer than two days.

        Five of them stand side by side on a phone: a month whose name takes too much room is a number.
        """
        if span <= timedelta(days=2):
            return self.clock(moment)
        local = self.local(moment)
        named = self._skeleton("MMMd", local)
        return named if len(named) <= _SHORT else self._skeleton("Md", local)

    def day(self, moment: datetime | None) -> str:
        """Write the day."""
        return NONE if moment is None else self._skeleton("yMMMd", self.local(moment))

    def utc(self, moment: datetime | None) -> str:
        """Write a moment in UTC, as logs have it."""
        return NONE if moment is None else f"{self._in_utc(moment):%Y-%m-%d %H:%M:%S} UTC"

    def iso(self, moment: datetime | None) -> str:
        """Write a moment for machines: ISO 8601 in UTC."""
        if moment is None:
            return ""
        return self._in_utc(moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def relative(self, moment: datetime | None) -> str:
        """Write how long ago a moment was, or how far off it is."""
        if moment is None:
            return NONE
        delta = moment - self.now if moment.tzinfo else moment.replace(tzinfo=UTC) - self.now
        return format_timedelta(delta, add_direction=True, threshold=1.0, locale=self.locale)

    def offset(self) -> str:
        """Write how the reader's zone differs from UTC now."""
        return self._pattern("xxx", self.local(self.now))

    # -- durations

    def duration(self, value: timedelta | float | None) -> str:
        """Write a duration (a number is of seconds) by its two greatest units; below a minute, with a fraction."""
        if value is None:
            return NONE
        seconds = value.total_seconds() if isinstance(value, timedelta) else value
        sign, seconds = ("−" if seconds < 0 else ""), abs(seconds)
        if 0 < seconds < 0.9995:
            return f"{sign}{self.number(seconds * 1000, 0 if seconds >= 0.01 else 1)} ms"
        if seconds < 59.95:
            return f"{sign}{self.number(seconds, 1 if seconds < 10 else 0)} s"
        rest = round(seconds)
        parts: list[tuple[int, str]] = []
        for unit, length in _UNITS:
            count, rest = divmod(rest, length)
            if count or parts:
                parts.append((count, unit))
        return sign + " ".join(f"{self.number(count, 0)} {unit}" for count, unit in parts[:2] if count)

    def measure(self, value: float | None, unit: str) -> str:
        """Write a value of a chart: a `duration` in seconds, a `percent`, or else a number."""
        match unit:
            case "duration":
                return self.duration(value)
            case "percent":
                return self.percent(value)
            case _:
                return self.number(value)

    def bucket(self, plot: Plot, index: int, unit: str) -> str:
        """Write what a chart's bucket stands for: a moment, or the end of a range of values."""
        return self.axis(plot.moments[index], plot.span) if plot.moments else self.measure(plot.edges[index], unit)

    def columns(self, plot: Plot, unit: str, edge: str) -> list[Column]:
        """Write a chart's columns, each value once: for the pointer that is on one, and for the table."""
        values = [[self.measure(value, unit) for value in series.values] for series in plot.series]
        names = [series.name for series in plot.series]
        return [
            Column(
                rect=rect,
                label=self.bucket(plot, rect.index, edge),
                at=plot.moments[rect.index] if plot.moments else None,
                values=[(name, column[rect.index]) for name, column in zip(names, values, strict=True)],
            )
            for rect in plot.columns
        ]

    def age(self, moment: datetime | None) -> str:
        """Write how long a moment is past; nothing is younger than zero."""
        if moment is None:
            return NONE
        return self.duration(max(timedelta(0), self.now - self.local(moment)))

    # -- texts

    def listed(self, items: Iterable[str]) -> str:
        """Write items as a sentence does: a, b and c."""
        return format_list(list(items), locale=self.locale)

    @staticmethod
    def json(value: Any) -> str:
        """Write a value as JSON that people read; it is text, to be escaped as any other."""
        return json.dumps(value, indent=2, ensure_ascii=False, default=str)

    def _skeleton(self, pattern: str, local: datetime) -> str:
        return _moment(pattern, local.timestamp(), self.zone, self._named, skeleton=True)

    def _pattern(self, pattern: str, local: datetime) -> str:
        return _moment(pattern, local.timestamp(), self.zone, self._named, skeleton=False)

    @staticmethod
    def _in_utc(moment: datetime) -> datetime:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


@lru_cache(4096)
def _decimal(value: float, digits: int, locale: str) -> str:
    """Write a number; charts write hundreds, the same few again and again, and Babel takes its time for each."""
    pattern = "#,##0." + "#" * digits if digits else "#,##0"
    return format_decimal(value, format=pattern, locale=locale)


@lru_cache(16_384)
def _moment(pattern: str, timestamp: float, zone: tzinfo, locale: str, *, skeleton: bool) -> str:
    """Write a moment; of a chart all but the newest are those of the page before, and Babel takes its time for each.

    By the time itself: when clocks are set back, two that are an hour apart look alike.
    """
    try:
        local = datetime.fromtimestamp(timestamp, zone)
    except (ValueError, OverflowError):  # at the edge of the calendar
        zone, local = UTC, datetime.fromtimestamp(timestamp, UTC)
    if skeleton:
        return format_skeleton(pattern, local, locale=locale)
    return format_datetime(local, pattern, tzinfo=zone, locale=locale)
