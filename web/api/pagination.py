"""The opaque cursor of a listing: where the next page starts, and for which filter that holds."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime

from bridge.domain.messages import message
from bridge.ports.reader import TaskFilter
from bridge.search import cursor


class CursorError(ValueError):
    """A cursor that can't be used; the message says why and what to do."""


def write_cursor(wanted: TaskFilter, after: tuple[datetime, str]) -> str:
    """Return the cursor that continues the listing of `wanted` behind `after` (a task's creation and id)."""
    return cursor.write_cursor(*after, _digest(wanted))


def read_cursor(text: str, wanted: TaskFilter) -> tuple[datetime, str]:
    """Return the position that a cursor stands for.

    Raises `CursorError` when it is not one of ours, or belongs to a listing with another filter.
    """
    try:
        return cursor.read_cursor(text, datetime, _digest(wanted))
    except cursor.NotACursor:
        raise CursorError(message("parameter.no_cursor")) from None
    except cursor.AnotherListing:
        raise CursorError(message("parameter.other_cursor")) from None


def _digest(wanted: TaskFilter) -> str:
    """Hash a filter; the order in which states and topics were named doesn't matter."""
    fields = asdict(wanted) | {"states": sorted(set(wanted.states)), "topics": sorted(set(wanted.topics))}
    canonical = json.dumps(fields, sort_keys=True, default=datetime.isoformat)
    return cursor.digest_of(canonical)
