"""The manual's page on the dashboard has every page, every field of the search, and every role."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.domain.access import Role
from bridge.domain.operation import MOST
from bridge.operations.bulk import MOST_RATE
from bridge.search.grammar import parse
from bridge.search.query import Field
from web.components.nav import SECTIONS
from web.dashboard.preview import COUNTED_ABOVE
from web.dashboard.tasks_export import CAP

SECTION = (Path(__file__).parents[2] / "docs" / "reference" / "dashboard.md").read_text(encoding="utf-8")


def first_cells(heading: str) -> list[str]:
    """Return the names in the first column of the table under a heading."""
    part = SECTION.partition(f"\n## {heading}\n")[2].partition("\n## ")[0] if heading else SECTION
    rows = re.findall(r"^\| (`.*?) \|", part.partition("\n## ")[0], re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_every_page_is_there() -> None:
    assert {section.path for section in SECTIONS} <= set(first_cells(""))


def test_every_field_of_the_search_is_there() -> None:
    assert set(first_cells("Searching tasks")) == {*(field.value for field in Field), "var.NAME"}


def test_every_role_is_there() -> None:
    assert first_cells("People and keys") == [role.value for role in Role]


def test_the_bounds_are_those_of_the_code() -> None:
    for number in (MOST, MOST_RATE, COUNTED_ABOVE, CAP):
        assert re.search(rf"\b{number:,}\b", SECTION), number


@pytest.mark.parametrize("line", re.search(r"```\n(.*?)```", SECTION, re.DOTALL)[1].splitlines())  # type: ignore[index]
def test_the_examples_can_be_read(line: str) -> None:
    parse(line)
