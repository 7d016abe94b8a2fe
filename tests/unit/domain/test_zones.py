"""The engine's zone is told by the offsets that it writes."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from bridge.domain.time_zones import agrees, offset_of, suggested

SUMMER, WINTER = "2018-12-09T10:00:00.000-0200", "2018-07-09T10:00:00.000-0300"


def moments(*texts: str) -> list[datetime]:
    return [datetime.fromisoformat(text) for text in texts]


@pytest.mark.parametrize(
    ("zone", "texts", "does"),
    [
        ("America/Sao_Paulo", (SUMMER, WINTER), True),
        ("Etc/GMT+3", (SUMMER, WINTER), False),
        ("Etc/GMT+3", (WINTER,), True),
        ("UTC", ("2026-01-01T00:00:00.000+0000",), True),
        ("UTC", (WINTER,), False),
    ],
)
def test_a_zone_agrees_where_it_has_each_offset_at_its_moment(zone: str, texts: tuple[str, ...], does: bool) -> None:
    assert agrees(ZoneInfo(zone), moments(*texts)) is does


@pytest.mark.parametrize(
    ("texts", "zone"),
    [
        ((SUMMER, WINTER), "America/Sao_Paulo"),
        (("2026-01-09T00:00:00.000-0300",), "America/Sao_Paulo"),
        (("2026-01-09T00:00:00.000+0000",), "UTC"),
        (("2026-07-09T00:00:00.000+0100",), "Europe/Lisbon"),
        (("2026-01-09T00:00:00.000+1200",), "Etc/GMT-12"),
    ],
)
def test_a_zone_is_suggested_that_agrees(texts: tuple[str, ...], zone: str) -> None:
    assert suggested(moments(*texts)) == zone
    assert agrees(ZoneInfo(zone), moments(*texts))


def test_an_offset_is_written_with_a_colon() -> None:
    assert [offset_of(moment) for moment in moments(SUMMER, "2026-01-01T00:00:00+05:30")] == ["-02:00", "+05:30"]
