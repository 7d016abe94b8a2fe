"""Failures of one cause, as a reader asks for them: those of a range of time, in an order. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from bridge.domain.statistics import FailureGroup, Range, Step


class FailureOrder(StrEnum):
    """Which groups come first: those that failed most in the range, last, or for the first time latest."""

    COUNT = "count"
    LAST = "last"
    NEW = "new"


def failures_within(group: FailureGroup, wanted: Range, now: datetime) -> int:
    """Return how often a group failed in the range that ends now."""
    match wanted:
        case Range.HOUR:
            return group.last_hour
        case Range.DAY:
            return group.last_day
        case Range.WEEK:
            return group.last_week
        case Range.SIX_HOURS:
            since = Step.HOUR.floor(now - wanted.span)
            return sum(count for hour, count in group.hours.items() if hour >= since)
        case _:
            assert_never(wanted)


def is_new(group: FailureGroup, wanted: Range, now: datetime) -> bool:
    """Return whether a group failed for the first time in the range."""
    return now - group.first_seen < wanted.span


def ordered(
    groups: Iterable[FailureGroup], order: FailureOrder, wanted: Range, now: datetime, *, most: int | None = None
) -> list[FailureGroup]:
    """Return the groups, `most` of them, in that order."""

    def rank(group: FailureGroup) -> tuple[int, datetime]:
        match order:
            case FailureOrder.LAST:
                return 0, group.last_seen
            case FailureOrder.NEW:
                return 0, group.first_seen
            case FailureOrder.COUNT:
                return failures_within(group, wanted, now), group.last_seen
            case _:
                assert_never(order)

    return sorted(groups, key=rank, reverse=True)[:most]
