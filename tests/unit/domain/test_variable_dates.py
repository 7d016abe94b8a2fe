"""Dates: a moment is a moment everywhere, a day is a day in the engine's zone, and no date stops anybody."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, FutureDate

from bridge.domain.task import TypedValue
from bridge.domain.variables import EngineFormat, decode, encode, format_date, parse_date, read_input
from bridge.domain.variables.dates import FIRST, LAST

SAO_PAULO = ZoneInfo("America/Sao_Paulo")
THREE_BEHIND = timezone(-timedelta(hours=3))


class Due(BaseModel):
    day: date


class Dated(BaseModel):
    day: date | None = Field(default=None, validation_alias="dueDate")
    moment: datetime | None = None
    either: date | datetime | None = None
    ahead: FutureDate | None = None


@pytest.mark.parametrize(
    ("text", "zone", "moment"),
    [
        # what an engine in São Paulo sends, and what one in UTC makes of the same
        ("9999-12-31T23:59:59.000-0300", UTC, datetime(9999, 12, 31, 23, 59, 59, tzinfo=THREE_BEHIND)),
        ("10000-01-01T02:59:59.000+0000", SAO_PAULO, datetime(9999, 12, 31, 23, 59, 59, tzinfo=SAO_PAULO)),
        ("10000-01-01T02:59:59.000+0000", UTC, LAST),
        ("10000-01-01T00:30:00.000+0100", UTC, datetime(9999, 12, 31, 23, 30, tzinfo=UTC)),
        ("10000-01-01T03:00:00.000+0000", SAO_PAULO, LAST),
        ("10000-02-29T00:00:00.000+0000", UTC, LAST),
        ("292278994-08-17T07:12:55.807+0000", SAO_PAULO, LAST),
        ("0001-01-01T00:00:00.000+0100", UTC, datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))),
    ],
)
def test_a_moment_that_utc_does_not_hold_is_read_all_the_same(text: str, zone: ZoneInfo, moment: datetime) -> None:
    assert parse_date(text, zone) == moment
    assert parse_date(text, zone).replace(tzinfo=None) == moment.replace(tzinfo=None)
    assert decode({"until": TypedValue("Date", text)}, zone)["until"] == moment


@given(st.datetimes(), st.integers(-14 * 60, 14 * 60))
def test_every_moment_that_python_has_is_read(naive: datetime, minutes: int) -> None:
    there = timezone(timedelta(minutes=minutes))
    moment = naive.replace(tzinfo=there, microsecond=naive.microsecond // 1000 * 1000)
    text = f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}{moment:%z}"
    assert parse_date(text) == moment


def test_a_moment_after_the_last_of_utc_goes_out_under_its_own_offset() -> None:
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=THREE_BEHIND)
    assert format_date(last) == "9999-12-31T23:59:59.000-0300"
    assert encode({"until": LAST})["until"] == TypedValue("Date", "9999-12-31T23:59:59.999+0000")
    assert encode({"since": FIRST})["since"] == TypedValue("Date", "0001-01-01T00:00:00.000+0000")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-01-09T03:00:00.000+0000", date(2026, 1, 9)),
        ("2026-01-09T00:00:00.000-0300", date(2026, 1, 9)),
        ("2026-01-10T02:59:59.000+0000", date(2026, 1, 9)),
        # summer time, and the night in which clocks skipped midnight
        ("2018-12-09T02:00:00.000+0000", date(2018, 12, 9)),
        ("2018-11-04T03:00:00.000+0000", date(2018, 11, 4)),
        ("9999-12-31T23:59:59.000-0300", date(9999, 12, 31)),
        ("10000-01-01T02:59:59.000+0000", date(9999, 12, 31)),
    ],
)
def test_a_field_for_a_day_gets_the_day_in_the_engines_zone(text: str, day: date) -> None:
    assert read_input(Due, {"day": TypedValue("Date", text)}, SAO_PAULO).day == day


@given(st.dates(), st.sampled_from(["America/Sao_Paulo", "UTC", "Asia/Tokyo", "Europe/Lisbon", "Pacific/Apia"]))
def test_a_day_comes_back_as_it_went_out(day: date, name: str) -> None:
    zone = ZoneInfo(name)
    if day == date(1, 1, 1) or (name == "Pacific/Apia" and day in {date(2011, 12, 30), date(1892, 7, 4)}):
        return  # before the engine's first year in UTC; a day that Apia skipped, and one that it had twice
    encoded = encode({"day": day}, EngineFormat(zone))
    assert read_input(Due, encoded, zone).day == day


def test_a_day_that_goes_out_is_its_midnight_in_the_engines_zone() -> None:
    assert encode({"day": date(2026, 1, 9)}, EngineFormat(SAO_PAULO))["day"].value == "2026-01-09T03:00:00.000+0000"
    assert encode({"day": date(2018, 12, 9)}, EngineFormat(SAO_PAULO))["day"].value == "2018-12-09T02:00:00.000+0000"
    assert encode({"day": {"in": date(2026, 1, 9)}}, EngineFormat(SAO_PAULO))["day"].value == '{"in":"2026-01-09"}'


def test_a_moment_stays_a_moment_and_a_text_a_text() -> None:
    sent = {name: TypedValue("Date", "2026-01-10T02:30:00.000+0000") for name in ("dueDate", "moment", "either")}
    read = read_input(Dated, {**sent, "ahead": TypedValue("Date", "9999-12-31T23:59:59.000-0300")}, SAO_PAULO)
    moment = datetime(2026, 1, 10, 2, 30, tzinfo=UTC)
    assert (read.day, read.moment, read.either) == (date(2026, 1, 9), moment, moment)
    assert read.ahead == date(9999, 12, 31)
    assert read_input(Due, {"day": TypedValue("String", "2026-01-10")}, SAO_PAULO).day == date(2026, 1, 10)
