"""How what was found is ordered and turned into pages."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from bridge.search.grammar import to_text
from bridge.search.moments import is_text, read_instant
from bridge.search.query import Node

MAX_CURSOR: Final = 512


class SortKey(StrEnum):
    """By what tasks may be sorted. By `finished` only those are listed that have ended."""

    UPDATED = "updated"
    CREATED = "created"
    FINISHED = "finished"
    ATTEMPTS = "attempts"
    PRIORITY = "priority"


SORTED_BY: Final[Mapping[SortKey, str]] = {
    SortKey.UPDATED: "updated_at",
    SortKey.CREATED: "created_at",
    SortKey.FINISHED: "finished_at",
    SortKey.ATTEMPTS: "attempts",
    SortKey.PRIORITY: "priority",
}
"""The attribute of `Task` behind each."""
MOMENTS: Final = frozenset({SortKey.UPDATED, SortKey.CREATED, SortKey.FINISHED})


@dataclass(frozen=True, slots=True)
class Sort:
    """An order, with the task's id as the last word; written `-updated` when it descends."""

    key: SortKey = SortKey.UPDATED
    descending: bool = True

    def __str__(self) -> str:
        return f"{'-' if self.descending else ''}{self.key}"

    @classmethod
    def read(cls, text: str) -> Sort:
        """Raises `ValueError` for what can't be sorted by."""
        return cls(SortKey(text.removeprefix("-")), text.startswith("-"))


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ends: the value sorted by, and the id, of its last task. That one need not exist any more."""

    value: datetime | int
    task_id: str


class PositionError(ValueError):
    """A cursor that can't be used; the message says why and what to do."""


def write_cursor(query: Node, sort: Sort, position: Position) -> str:
    """Return the cursor that goes on behind the position."""
    value = position.value.isoformat() if isinstance(position.value, datetime) else position.value
    text = json.dumps([value, position.task_id, _digest(query, sort)], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode("ascii")


def read_cursor(cursor: str, query: Node, sort: Sort) -> Position:
    """Return the position that a cursor stands for. Raises `PositionError`."""
    found = _unpack(cursor, sort)
    if found is None:
        raise PositionError("not a cursor of this gateway: start from the first page")
    position, digest = found
    if digest != _digest(query, sort):
        raise PositionError("the cursor belongs to another search or order: start from the first page")
    return position


def _unpack(cursor: str, sort: Sort) -> tuple[Position, str] | None:
    if not cursor.isascii() or len(cursor) > MAX_CURSOR:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        match json.loads(base64.b64decode(padded, altchars=b"-_", validate=True)):
            case [str(moment), str(task_id), str(digest)] if sort.key in MOMENTS and is_text(task_id):
                value = read_instant(moment)
                return None if value is None else (Position(value, task_id), digest)
            case [bool(), *_]:  # a number too, to Python
                return None
            case [int(number), str(task_id), str(digest)] if sort.key not in MOMENTS and is_text(task_id):
                return (Position(number, task_id), digest) if abs(number) < 1 << 63 else None
            case _:
                return None
    except (binascii.Error, ValueError, RecursionError):
        return None


def _digest(query: Node, sort: Sort) -> str:
    return hashlib.sha256(f"{sort}\n{to_text(query)}".encode()).hexdigest()[:16]
