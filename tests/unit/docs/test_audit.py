"""Which licences `make audit` lets pass, and which packages it looks at."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import pytest

PATH = Path(__file__).parents[3] / "requirements" / "audit.py"


@pytest.fixture(scope="module")
def audit() -> Any:
    return SimpleNamespace(**run_path(str(PATH)))


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True), ("GPL-3.0-only", False), ("", False),
        ("MIT OR GPL-3.0-only", True), ("MIT AND GPL-3.0-only", False),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True), ("MIT AND (Apache-2.0 OR GPL-2.0-only)", False),
        ("License :: OSI Approved :: BSD License", True), ("License :: Other/Proprietary License", False),
    ],
)  # fmt: skip
def test_a_licence_is_allowed_by_its_expression(audit: Any, expression: str, allowed: bool) -> None:
    assert audit.is_allowed(expression) is allowed


def test_only_what_is_locked_for_production_is_looked_at(audit: Any) -> None:
    bill = {
        "components": [
            {"name": "Py_Thing", "version": "1", "licenses": [{"license": {"id": "GPL-3.0-only"}}]},
            {"name": "pytest", "version": "9", "licenses": []},
            {"name": "bare", "version": "2"},
        ]
    }
    names = audit.locked("py-thing==1 \\\n    --hash=sha256:00\nbare==2\n")
    found = audit.read_components(bill, names)
    assert [(one.name, one.licences, one.is_allowed) for one in found] == [
        ("py-thing", ("GPL-3.0-only",), False),
        ("bare", (), False),
    ]
