"""The topics that a key or a person is limited to, as they are typed into one field and shown in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from web.i18n.texts import msg

FIELD: Final = 8000
"""The greatest length of the field, in characters."""

_MOST: Final = 50
_LONGEST: Final = 255
_TYPED: Final = re.compile(r'"((?:[^"\\]++|\\.)*+)(?:"|\\?\Z)|([^\s,;"]+)', re.DOTALL)
"""A name in quotes, or one without. Quotes that nobody closed reach to the end."""


def read_topics(text: str) -> list[str]:
    """Return the topics that were typed, with commas or spaces between them; one that has such is in double quotes."""
    found = _TYPED.findall(text)
    return list(dict.fromkeys(re.sub(r"\\(.)", r"\1", quoted) or plain for quoted, plain in found if quoted or plain))


def write_topics(topics: Iterable[str] | None) -> str:
    """Return what to type for these topics; nothing for all (None)."""
    return " ".join(map(_quoted, sorted(topics or ())))


def fault_of(names: Sequence[str]) -> str | None:
    """Return what is wrong with the topics that were typed."""
    if len(names) > _MOST or any(len(name) > _LONGEST for name in names):
        return msg("Name at most 50 topics, of at most 255 characters each.")
    return None


def _quoted(name: str) -> str:
    if re.fullmatch(r'[^\s,;"\\]+', name):
        return name
    return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
