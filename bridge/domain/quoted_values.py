"""Takes the values of a task's variables out of text that may quote them, such as a handler's error."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from bridge.domain.redaction import MASK
from bridge.domain.secret_text import REACH
from bridge.domain.task import Variables

SHORTEST: Final = 6
"""Characters from which on a value is taken for one that is quoted; shorter ones are parts of any text."""
MOST: Final = 2_000
MOST_LOOKED: Final = 200_000_000
"""Characters that are looked through for all values together: a longer text is cut before."""
LEAST_LOOKED: Final = 1_000
"""Characters of a text that are looked through however many values there are."""


def without_values(text: str, variables: Variables) -> str:
    """Return `text` with `***` in the place of each variable's value, and of each value within it."""
    found = {
        form
        for variable in variables.values()
        for value in islice(_leaves(variable.value, 0), MOST)
        for form in (value, repr(value)[1:-1], json.dumps(value)[1:-1])
    }
    most = max(MOST_LOOKED // max(1, len(found)), LEAST_LOOKED)
    is_cut = len(text) > most
    text = text[:most]
    for value in sorted(found, key=len, reverse=True):
        text = text.replace(value, MASK)
    # A value that the cut goes through is no longer known as one: what stands right before the cut isn't shown.
    return f"{text[: -min(REACH, most // 2)]}…" if is_cut else text


def _leaves(value: Any, depth: int) -> Iterator[str]:
    """Yield the text of every value within; what is JSON itself is looked into, and taken as a whole, too."""
    if depth > 16 or value is None or isinstance(value, bool):
        return
    match value:
        case str():
            if len(value) >= SHORTEST:
                yield value
            if value[:1] in {"{", "["}:
                try:
                    inner = json.loads(value)
                except (ValueError, RecursionError):
                    return
                yield from _leaves(inner, depth + 1)
        case Mapping():
            for item in value.values():
                yield from _leaves(item, depth + 1)
        case list() | tuple():
            for item in value:
                yield from _leaves(item, depth + 1)
        case _:
            text = str(value)
            if len(text) >= SHORTEST:
                yield text
