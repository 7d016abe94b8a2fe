"""What Excel takes for the end of a cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from web.i18n.texts import PORTUGUESE

_SEPARATORS: Final[Mapping[str, str]] = {PORTUGUESE: ";"}


def separator_of(language: str) -> str:
    """Return what Excel takes for the end of a cell in a system of this language: a comma may stand in its numbers."""
    return _SEPARATORS.get(language, ",")
