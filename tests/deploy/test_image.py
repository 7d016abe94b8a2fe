"""The image's build finds what it copies: no Docker engine is needed to see that."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
CONTEXT: Final = frozenset(
    line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
)


def copied() -> list[str]:
    """Return the sources that the Dockerfile copies from the build's context."""
    lines = [line.split() for line in (ROOT / "Dockerfile").read_text().splitlines()]
    return [
        source
        for line in lines
        if line[:1] == ["COPY"] and not line[1].startswith("--from")
        for source in line[1:-1]
        if not source.startswith("--")
    ]


@pytest.mark.parametrize("source", copied())
def test_what_is_copied_is_sent_to_the_build(source: str) -> None:
    assert (ROOT / source).exists()
    assert source in CONTEXT


def test_nothing_else_is_sent() -> None:
    assert set(copied()) == CONTEXT
