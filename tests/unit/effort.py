"""How many steps all patterns of a module take for a text: counted, so that it is the same on any machine."""

from __future__ import annotations

import re
from types import ModuleType

import pytest

from tests.unit.regex_steps import CountedPattern

_MOST = 100_000_000


class Effort:
    """Counts in `steps` what the module's patterns are asked, while they go on answering as ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
        self.steps = 0
        for name, value in vars(module).copy().items():
            if isinstance(value, re.Pattern):
                monkeypatch.setattr(module, name, _Watched(value, self))


class _Watched:
    def __init__(self, pattern: re.Pattern[str], effort: Effort) -> None:
        self._pattern = pattern
        self._effort = effort

    def sub(self, new: object, text: str) -> str:
        self._count_all(text)
        return self._pattern.sub(new, text)  # type: ignore[call-overload,no-any-return]

    def search(self, text: str) -> re.Match[str] | None:
        self._count_all(text)
        return self._pattern.search(text)

    def fullmatch(self, text: str) -> re.Match[str] | None:
        counted = CountedPattern(self._pattern, _MOST)
        counted.fullmatch(text)
        self._effort.steps += counted.steps
        return self._pattern.fullmatch(text)

    def _count_all(self, text: str) -> None:
        counted = CountedPattern(self._pattern, _MOST)
        counted.sub(text)
        self._effort.steps += counted.steps
