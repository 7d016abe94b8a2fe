"""The cursor of a list of a page that is ordered by time, newest first."""

from __future__ import annotations

from datetime import datetime

from bridge.search.cursor import NotACursor, read_cursor, write_cursor


def write_position(at: datetime, last_id: str) -> str:
    """Return the cursor behind the entry with that time and id."""
    return write_cursor(at, last_id)


def read_position(text: str) -> tuple[datetime, str] | None:
    """Return the position of a cursor; None, the beginning, for other text."""
    try:
        return read_cursor(text, datetime)
    except NotACursor:
        return None
