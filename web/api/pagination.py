"""The opaque cursor of a listing: where the next page starts, and for which filter that holds."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import asdict
from datetime import datetime

from bridge.ports.reader import TaskFilter
from bridge.search.moments import is_text, read_instant

MAX_LENGTH = 512
MAX_ID_LENGTH = 255


class CursorError(ValueError):
    """A cursor that can't be used; the message says why and what to do."""


def write_cursor(wanted: TaskFilter, after: tuple[datetime, str]) -> str:
    """Return the cursor that continues the listing of `wanted` behind `after` (a task's creation and id)."""
    created_at, task_id = after
    text = json.dumps([created_at.isoformat(), task_id, _digest(wanted)], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode("ascii")


def read_cursor(cursor: str, wanted: TaskFilter) -> tuple[datetime, str]:
    """Return the position that `cursor` stands for.

    Raises `CursorError` when it is not one of ours, or belongs to a listing with another filter.
    """
    position = _unpack(cursor)
    if position is None:
        raise CursorError("not a cursor of this gateway; pass `next` of the last answer unchanged, or leave it out")
    created_at, task_id, digest = position
    if digest != _digest(wanted):
        raise CursorError("the cursor belongs to another filter; keep the filter while paging, or start without it")
    return created_at, task_id


def _unpack(cursor: str) -> tuple[datetime, str, str] | None:
    if not cursor.isascii() or len(cursor) > MAX_LENGTH:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        match parts:
            case [str(moment), str(task_id), str(digest)] if 0 < len(task_id) <= MAX_ID_LENGTH and is_text(task_id):
                created_at = read_instant(moment)
            case _:
                return None
    except (binascii.Error, ValueError, RecursionError):
        return None
    return None if created_at is None else (created_at, task_id, digest)


def _digest(wanted: TaskFilter) -> str:
    """Hash a filter; the order in which states and topics were named doesn't matter."""
    fields = asdict(wanted) | {"states": sorted(set(wanted.states)), "topics": sorted(set(wanted.topics))}
    canonical = json.dumps(fields, sort_keys=True, default=datetime.isoformat)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
