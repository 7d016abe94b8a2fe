"""Whether a time zone is that of the engine, told by moments that the engine wrote in its own offset. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

FAMILIAR: Final = (
    "UTC", "America/Sao_Paulo", "America/Manaus", "America/Rio_Branco", "America/Noronha", "Europe/Lisbon",
    "Europe/Berlin", "Europe/Athens", "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles",
    "Asia/Kolkata", "Asia/Shanghai", "Asia/Tokyo", "Australia/Sydney",
)  # fmt: skip
"""Zones to suggest, where several have the engine's offset. It is a suggestion: the JVM's own setting decides."""


def agrees(zone: ZoneInfo, moments: Sequence[datetime]) -> bool:
    """Return whether the zone has each moment's own offset at that moment."""
    return all(moment.astimezone(zone).utcoffset() == moment.utcoffset() for moment in moments)


def suggested(moments: Sequence[datetime]) -> str:
    """Return a zone that has the offsets of the moments: a familiar one, or else the fixed offset of the last."""
    for name in FAMILIAR:
        try:
            if agrees(ZoneInfo(name), moments):
                return name
        except ZoneInfoNotFoundError:  # a machine without the whole database of zones
            continue
    hours = (moments[0].utcoffset() or timedelta(0)) // timedelta(hours=1)
    return f"Etc/GMT{-hours:+d}"


def offset_of(moment: datetime) -> str:
    """Return the moment's offset as `-03:00`."""
    return f"{moment:%z}"[:3] + ":" + f"{moment:%z}"[3:5]
