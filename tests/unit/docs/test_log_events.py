"""docs/reference/log-events.md lists each event that the code writes, at its levels, and nothing else."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from bridge.ports.journal import FORMER_NAMES, Level

ROOT: Final = Path(__file__).parents[3]
PAGE: Final = (ROOT / "docs" / "reference" / "log-events.md").read_text(encoding="utf-8")
Written = tuple[str, frozenset[str] | None]
"""An event and its levels; None where they are computed."""


@pytest.fixture(scope="module")
def written() -> Mapping[str, frozenset[str] | None]:
    return _written()


def test_each_event_is_listed_with_its_levels(written: Mapping[str, frozenset[str] | None]) -> None:
    listed = dict(re.findall(r"^\| `(\w+)` \| ((?:\w+)(?: or \w+)*) \|", PAGE, re.MULTILINE))
    assert listed.keys() == written.keys()
    wrong = {
        event: levels
        for event, levels in written.items()
        if levels is not None and levels != set(listed[event].split(" or "))
    }
    assert wrong == {}


def test_each_former_name_is_listed_and_written_no_more(written: Mapping[str, frozenset[str] | None]) -> None:
    listed = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", PAGE, re.MULTILINE))
    assert listed == FORMER_NAMES
    assert FORMER_NAMES.keys() <= written.keys()
    assert not written.keys() & set(FORMER_NAMES.values())


def _written() -> Mapping[str, frozenset[str] | None]:
    found: defaultdict[str, list[frozenset[str] | None]] = defaultdict(list)
    for package in ("bridge", "web", "gateway"):
        for file in sorted((ROOT / package).rglob("*.py")):
            for event, levels in _events(ast.parse(file.read_text(encoding="utf-8"))):
                found[event].append(levels)
    return {
        event: None if None in levels else frozenset().union(*(some for some in levels if some is not None))
        for event, levels in found.items()
    }


def _events(tree: ast.Module) -> Iterator[Written]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=journal, attr="write"), args=[event]) if _is_journal(journal):
                for name in _texts(event):
                    yield name, _levels(node)
            # The view of the engine writes the event that its caller names.
            case ast.Call(func=ast.Attribute(attr="of"), args=[_, ast.Constant(value=str(name))]) if "_not_" in name:
                yield name, frozenset({Level.WARNING})
            case ast.Call(
                func=ast.Attribute(value=ast.Call(func=ast.Attribute(attr="get_logger")), attr=level),
                args=[ast.Constant(value=str(name))],
            ):
                yield name, frozenset({level})
            case ast.Call(func=ast.Subscript(), args=[ast.Constant(value=str(name))]) if "_writers" in ast.dump(node):
                yield name, frozenset({Level.WARNING})
            case _:
                pass


def _is_journal(value: ast.expr) -> bool:
    return ast.unparse(value).endswith("journal")


def _texts(event: ast.expr) -> Iterator[str]:
    match event:
        case ast.Constant(value=str(name)):
            yield name
        case ast.IfExp(body=body, orelse=other):
            yield from _texts(body)
            yield from _texts(other)
        case ast.Name(id="event" | "unanswered"):  # passed on: the caller has the name
            pass
        case _:
            raise AssertionError(f"an event is a name in the line that writes it: {ast.unparse(event)}")


def _levels(call: ast.Call) -> frozenset[str] | None:
    level = next((keyword.value for keyword in call.keywords if keyword.arg == "level"), None)
    if level is None:
        return frozenset({Level.INFO})
    named = {level.attr for level in ast.walk(level) if isinstance(level, ast.Attribute)} & Level.__members__.keys()
    return frozenset(Level[name] for name in named) if named else None
