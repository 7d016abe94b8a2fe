"""Values as a spreadsheet may have them: text that it would run as a formula is kept from that."""

from __future__ import annotations

from typing import Final

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def cell(value: str | float | None) -> str:
    """Return a value as a cell of a CSV export; text that begins like a formula gets an apostrophe before it.

    A number that is typed as one stays as it is, also below zero; `csv` still has to quote what comes from here.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        return str(value)
    return f"'{value}" if value.lstrip(" \n\0").startswith(_FORMULA) or value.startswith(_FORMULA) else value
