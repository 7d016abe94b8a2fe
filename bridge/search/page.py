"""How what was found is ordered and turned into pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from bridge.domain.messages import Message, message
from bridge.search import cursor
from bridge.search.grammar import to_text
from bridge.search.query import Node


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

    def __init__(self, message: Message) -> None:
        super().__init__(message)
        self.message = message


def write_cursor(query: Node, sort: Sort, position: Position) -> str:
    """Return the cursor that goes on behind the position."""
    return cursor.write_cursor(position.value, position.task_id, _digest(query, sort))


def read_cursor(text: str, query: Node, sort: Sort) -> Position:
    """Return the position that a cursor stands for. Raises `PositionError`."""
    digest = _digest(query, sort)
    try:
        if sort.key in MOMENTS:
            return Position(*cursor.read_cursor(text, datetime, digest))
        return Position(*cursor.read_cursor(text, int, digest))
    except cursor.NotACursor:
        raise PositionError(message("parameter.no_cursor")) from None
    except cursor.AnotherListing:
        raise PositionError(message("parameter.other_cursor")) from None


def _digest(query: Node, sort: Sort) -> str:
    return cursor.digest_of(f"{sort}\n{to_text(query)}")
