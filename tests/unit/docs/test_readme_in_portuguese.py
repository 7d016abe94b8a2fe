"""README.pt-BR.md follows README.md: the same headings, commands, images and links, in the same order."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
PORTUGUESE = (ROOT / "README.pt-BR.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def headings(text: str) -> list[int]:
    """Return the level of each heading."""
    return [len(marks) for marks in re.findall(r"^(#+) ", BLOCK.sub("", text), re.MULTILINE)]


def commands(text: str) -> list[tuple[str, list[str]]]:
    """Return the language and the lines of each code block, without comments, which are translated."""
    return [
        (language, [re.sub(r" *# .*", "", line) for line in code.splitlines()])
        for language, code in BLOCK.findall(text)
    ]


def images(text: str) -> list[tuple[str, str]]:
    return re.findall(r"!\[[^\]]*\]\(([^)]+)\)|<img [^>]*src=\"([^\"]+)\"", text)


def links(text: str) -> list[str]:
    """Return where the text leads, but for its first line, which leads to the other language."""
    return re.findall(r"(?<!!)\[[^\]]*\]\(([^)]+)\)", BLOCK.sub("", text.partition("\n")[2]))


@pytest.mark.parametrize("parts", [headings, commands, images, links])
def test_the_portuguese_readme_follows_the_english_one(parts: Callable[[str], Sequence[object]]) -> None:
    assert parts(PORTUGUESE) == parts(ENGLISH) != []


def test_each_readme_leads_to_the_other_in_its_first_line() -> None:
    assert "(README.pt-BR.md)" in ENGLISH.partition("\n")[0]
    assert "(README.md)" in PORTUGUESE.partition("\n")[0]
