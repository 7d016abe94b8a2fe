"""The tutorial's commands, as they stand in `docs/tutorial/index.md`."""

from __future__ import annotations

import re
from typing import Final

from tests.unit.packaging.installation import ROOT

TEXT: Final = (ROOT / "docs" / "tutorial" / "index.md").read_text(encoding="utf-8")
_ELSEWHERE: Final = ("python3 -m venv", ". .venv", "pip install")
"""What makes the environment, which a test has already, and asks a package index."""


def blocks(step: int, language: str = "sh") -> list[str]:
    """Return the blocks of a step, by the number in its heading."""
    section = re.search(rf"^## {step}\. [^\n]+\n(.*?)(?=^## )", TEXT, re.MULTILINE | re.DOTALL)
    assert section is not None, step
    return re.findall(rf"^```{language}\n(.*?)^```$", section[1], re.MULTILINE | re.DOTALL)


def without_servers() -> str:
    """Return the commands of the steps that need no server, and no package index."""
    lines = "".join(block for step in (1, 2, 3) for block in blocks(step)).splitlines()
    return "\n".join(line for line in lines if not line.startswith(_ELSEWHERE))
