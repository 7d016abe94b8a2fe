"""What of a task's fields is values of any size, and how much that may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bridge.domain.task import BpmnFault, Completion, Failure

PAYLOAD: Final = frozenset({"variables", "given", "outcome"})
"""The fields of a task that hold values of any size."""
WITHOUT_PAYLOAD: Final[Mapping[str, int]] = dict.fromkeys((*sorted(PAYLOAD), "result", "history"), 0)
"""The projection of lists and sweeps: a hundred tasks with their payloads may be more than a gigabyte."""


def most_bytes_of(changes: Mapping[str, Any]) -> int | None:
    """Return how many bytes the changes' values take at the most; None where only writing them tells.

    It costs much less than that, and is enough to see that most are small.
    """
    try:
        return _most_bytes_of(changes)
    except (AttributeError, TypeError):  # where a text is none, which writing it tells
        return None


def _most_bytes_of(changes: Mapping[str, Any]) -> int | None:
    most = 0
    for name in PAYLOAD & changes.keys():
        value = changes[name]
        if isinstance(value, Failure):
            return None
        if isinstance(value, BpmnFault):
            most += _most_of(value.code) + _most_of(value.message)
        for key, variable in (value.variables if isinstance(value, Completion | BpmnFault) else value or {}).items():
            most += _most_of(key) + _most_of(variable.type) + 96
            match variable.value:
                case str() as text:
                    most += _most_of(text)
                case int() as number:  # as text, where it is beyond 64 bits
                    most += number.bit_length()
                case None | float():
                    pass
                case _:
                    return None
            if variable.value_info:
                return None
    return most


def _most_of(text: str) -> int:
    return len(text) if text.isascii() else 4 * len(text)
