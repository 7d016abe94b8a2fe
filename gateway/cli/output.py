"""What commands print: JSON, a table on a terminal, and lines with tabs in a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import typer

STYLES: Final[Mapping[str, str]] = {
    "completed": "green", "done": "green", "failed": "red", "retrying": "yellow", "paused": "yellow",
    "unreadable": "red", "running": "cyan", "set": "green",
}  # fmt: skip
"""The colours of states, which their words say as well."""
_GAP: Final = 2
_LEAST: Final = 12
_MOST: Final = 40


def print_json(document: Mapping[str, Any]) -> None:
    """Print one document; its names are those of the API."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


def printable(value: object) -> str:
    """Return a value as one line; a control character, which could steer the terminal, stands as its escape."""
    text = "" if value is None else str(value)
    return "".join(sign if sign.isprintable() else " " if sign in "\n\t" else repr(sign)[1:-1] for sign in text)


def moment(text: str | None) -> str:
    """Return a moment of the API to the second."""
    return "" if text is None else f"{text[:19].replace('T', ' ')}Z"


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their columns, the most important first; a narrow terminal gets as many as it has room for."""
    found = [[printable(value) for value in row] for row in rows]
    if not sys.stdout.isatty():
        for line in [list(columns), *found]:
            typer.echo("\t".join(line))
        return
    from rich.console import Console  # noqa: PLC0415 - for a terminal alone
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    widths = column_widths(columns, found, console.width)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for name, wide in zip(columns, widths, strict=False):
        table.add_column(name, no_wrap=True, overflow="ellipsis", width=wide)
    for row in found:
        table.add_row(*(Text(value, style=STYLES.get(value, "")) for value in row[: len(widths)]))
    console.print(table)


def column_widths(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return the widths of the first columns, as many as there is room for.

    The first has what it needs, as ids are copied; the others at most `_MOST`, and the last of them what is left, which
    is no less than `_LEAST`.
    """
    widths: list[int] = []
    left = width
    for place, name in enumerate(columns):
        widest = max([len(name), *(len(row[place]) for row in rows)])
        if widths and left < min(widest, _LEAST):
            break
        wanted = widest if place in {0, len(columns) - 1} else min(widest, _MOST)
        widths.append(max(1, min(wanted, left)))
        left -= widths[-1] + _GAP
    return widths


def print_fields(fields: Mapping[str, object]) -> None:
    """Print values beside their names; those that are empty are left out."""
    widest = max(map(len, fields), default=0)
    for name, value in fields.items():
        if value not in {None, ""}:
            typer.echo(f"{name:{widest}}  {printable(value)}")


def note(text: str) -> None:
    """Say something beside the result: on standard error, so that a pipe has the result alone."""
    typer.echo(text, err=True)
