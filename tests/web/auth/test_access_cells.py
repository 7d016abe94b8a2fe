"""Cells of an export: nothing that came from outside is run by who opens it."""

from __future__ import annotations

import csv
import io

import pytest

from web.components.csv_cells import cell


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1", '=HYPERLINK("http://evil.example")', "=1;=2"],
)
def test_a_formula_is_kept_as_text(text: str) -> None:
    out = io.StringIO()
    csv.writer(out).writerow([cell(text)])
    ((read,),) = csv.reader(io.StringIO(out.getvalue(), newline=""))
    assert read == f"'{text}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), ("", ""), ("a=b", "a=b"), ("order-17", "order-17"), (-5, "-5"), (1.5, "1.5"), ("'=1", "'=1")],
)
def test_what_is_no_formula_stays(value: str | float | None, shown: str) -> None:
    assert cell(value) == shown
