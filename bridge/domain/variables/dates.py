"""Moments and days as the engine's Date variables have them: text with an offset, to the millisecond."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

from bridge.domain.messages import message

FIRST: Final = datetime.min.replace(tzinfo=UTC)
LAST: Final = datetime(9999, 12, 31, 23, 59, 59, 999_000, UTC)
"""The first and the last moment of UTC that Python can hold, to the millisecond."""
_AFTER: Final = re.compile(
    r"(?P<year>[1-9]\d{4,8})-(?P<rest>\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:?\d\d)?)", re.ASCII
)
_YEAR_AFTER: Final = 10_000
_LEAP_YEARS: Final = 400
"""After so many years the calendar repeats itself."""


def format_date(moment: datetime) -> str:
    """Return the moment in the form the engine reads, `2026-01-01T00:00:00.000+0000`; naive is taken as UTC.

    One after UTC's year 9999 keeps its own offset, under which it is within that year. Raises `OverflowError` for one
    before UTC's year 1: the engine has no sign for years before it, and would read another moment (seen on 7.24).
    """
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    try:
        return aware.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "+0000"
    except OverflowError:
        if aware.year == 1:
            raise
        return f"{aware.replace(tzinfo=None).isoformat(timespec='milliseconds')}{aware:%z}"


def parse_date(text: str, zone: tzinfo = UTC) -> datetime:
    """Read a moment as the engine writes it; return it in UTC. Raises `ValueError` for what is no moment.

    UTC's years 1 to 9999 don't hold every moment that an engine does. One outside comes in its own offset or in
    `zone`, the engine's, where it is within those years there; else it is the first or the last moment, `FIRST` or
    `LAST`: it is kept for "always" or "never", and its exact value has no form in Python.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _after(text, zone)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return moment


def day_in(zone: tzinfo, moment: datetime) -> date:
    """Return the day of a moment in the zone. One at the edge of the calendar has the day of its own offset."""
    try:
        return moment.astimezone(zone).date()
    except OverflowError:
        return moment.date()


def midnight(day: date, zone: tzinfo) -> datetime:
    """Return when the day begins in the zone. Where clocks skip midnight, that is the moment after the gap."""
    return datetime.combine(day, time(), zone)


def _after(text: str, zone: tzinfo) -> datetime:
    """Read a moment of the years after 9999, which `datetime` can't be asked to."""
    found = _AFTER.fullmatch(text)
    if found is None:
        raise ValueError(message("variable.no_moment", text=repr(text[:40])))
    year = int(found["year"])
    same = year % _LEAP_YEARS + _LEAP_YEARS
    try:
        moment = datetime.fromisoformat(f"{same:04}-{found['rest']}")
    except ValueError as error:
        raise ValueError(message("variable.no_moment", text=repr(text[:40]))) from error
    if year > _YEAR_AFTER:
        return LAST
    ahead = moment.replace(tzinfo=None) - (moment.utcoffset() or timedelta(0)) - datetime(same, 1, 1)  # noqa: DTZ001
    for there in (UTC, zone):
        behind = there.utcoffset(LAST.replace(tzinfo=None)) or timedelta(0)
        if ahead + behind < timedelta(0):
            return datetime.max.replace(tzinfo=there) + (ahead + behind + timedelta.resolution)
    return LAST
