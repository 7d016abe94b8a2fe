"""How values are written for a reader of either language."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from web.components.format import NONE, Formatter
from web.i18n.texts import LANGUAGES, locale_of

NOW = datetime(2026, 3, 18, 17, 4, 12, 480_000, tzinfo=UTC)
SAO_PAULO = ZoneInfo("America/Sao_Paulo")


def writer(language: str = "en", zone: Any = SAO_PAULO) -> Formatter:
    return Formatter(locale_of(language), zone, NOW)


@pytest.mark.parametrize("name", ["number", "compact", "capped", "percent", "size", "moment", "brief", "clock", "day"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_a_dash(language: str, name: str) -> None:
    assert getattr(writer(language), name)(None) == NONE


def test_nothing_of_the_other_kinds() -> None:
    write = writer()
    assert [write.utc(None), write.relative(None), write.duration(None), write.age(None)] == [NONE] * 4
    assert write.iso(None) == ""


@pytest.mark.parametrize(
    ("language", "written"),
    [
        ("en", ["12,840", "0.5", "10,000+", "9,999", "1.3%", "48.2 kB", "12.8K"]),
        ("pt-BR", ["12.840", "0,5", "10.000+", "9.999", "1,3%", "48,2 kB", "12,8\xa0mil"]),
    ],
)
def test_numbers(language: str, written: list[str]) -> None:
    write = writer(language)
    found = [write.number(12_840), write.number(0.5), write.capped(10_000), write.capped(9_999)]
    assert [*found, write.percent(0.0132), write.size(48_213), write.compact(12_840)] == written


@pytest.mark.parametrize(
    ("language", "moment", "brief", "ago"),
    [
        ("en", "Mar 18, 2026 14:02:12 -03:00", "14:02:12", "2 minutes ago"),
        ("pt-BR", "18 de mar. de 2026 14:02:12 -03:00", "14:02:12", "há 2 minutos"),
    ],
)
def test_a_moment_is_local_with_its_offset(language: str, moment: str, brief: str, ago: str) -> None:
    write, then = writer(language), NOW - timedelta(minutes=2)
    assert write.moment(then) == moment
    assert write.brief(then) == brief
    assert write.relative(then) == ago
    assert write.utc(then) == "2026-03-18 17:02:12 UTC"
    assert write.iso(then) == "2026-03-18T17:02:12.480Z"
    assert write.clock(then) == "14:02"
    assert write.offset() == "-03:00"


def test_other_days_and_years_have_their_day() -> None:
    write = writer()
    assert write.brief(NOW - timedelta(days=1)) == "Mar 17 14:04"
    assert write.brief(NOW - timedelta(days=400)) == "Feb 11, 2025 14:04"
    # 01:00 UTC is still the evening before in São Paulo.
    assert write.day(datetime(2026, 3, 18, 1, tzinfo=UTC)) == "Mar 17, 2026"


def test_a_moment_without_a_zone_is_in_utc() -> None:
    naive = NOW.replace(tzinfo=None)
    write = writer()
    assert write.moment(naive) == write.moment(NOW)
    assert (write.utc(naive), write.iso(naive), write.relative(naive)) == (
        write.utc(NOW),
        write.iso(NOW),
        write.relative(NOW),
    )


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0 s"),
        (0.0004, "0.4 ms"),
        (0.012, "12 ms"),
        (0.9991, "999 ms"),
        (0.9996, "1 s"),
        (1.26, "1.3 s"),
        (42.4, "42 s"),
        (59.96, "1 min"),
        (72, "1 min 12 s"),
        (3_600, "1 h"),
        (3_605, "1 h"),
        (90_061, "1 d 1 h"),
        (-2, "−2 s"),
    ],
)
def test_durations(seconds: float, written: str) -> None:
    assert writer().duration(seconds) == written
    assert writer().duration(timedelta(seconds=seconds)) == written


def test_nothing_is_younger_than_zero() -> None:
    assert writer().age(NOW + timedelta(seconds=3)) == "0 s"
    assert writer("pt-BR").age(NOW - timedelta(seconds=1.5)) == "1,5 s"


def test_an_axis_says_the_time_of_short_spans_and_the_day_of_long_ones() -> None:
    assert writer().axis(NOW, timedelta(hours=24)) == "14:04"
    assert writer().axis(NOW, timedelta(days=7)) == "Mar 18"
    assert writer("pt-BR").axis(NOW, timedelta(days=7)) == "18/03"


def test_the_hour_that_comes_twice_is_told_apart_by_its_offset() -> None:
    first = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    told = Formatter(locale_of("en"), ZoneInfo("America/New_York"), first)
    assert told.moment(first) == "Nov 1, 2026 01:30:00 -04:00"
    assert told.moment(first + timedelta(hours=1)) == "Nov 1, 2026 01:30:00 -05:00"


def test_lists_and_json() -> None:
    assert writer("pt-BR").listed(["a", "b", "c"]) == "a, b e c"
    assert writer().json({"ã": [1], "at": timedelta(0)}) == '{\n  "ã": [\n    1\n  ],\n  "at": "0:00:00"\n}'
