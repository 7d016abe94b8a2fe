"""How a handler ends its run other than by a result: the exceptions that it raises, checked where it raises them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from typing import Any, Final

LONGEST_DELAY: Final = timedelta(days=366)
"""How far off a retry may be asked for: a later moment is more often a slip in the unit than intended."""


class Retry(Exception):
    """Raise it when the work can't be done now: the task is tried again `after` seconds (or our growing delay).

    A time that is past is now. Raises `TypeError` where `after` is no time, and `ValueError` for one that is no
    number or more than a year.
    """

    def __init__(
        self, message: object = "retry asked for by the handler", *, after: float | timedelta | None = None
    ) -> None:
        super().__init__(as_text(message))
        self.after = None if after is None else checked_delay(after)


class Fail(Exception):
    """Raise it when trying again is of no use: an incident is raised at once."""


class BpmnError(Exception):
    """Raise it to throw a BPMN error with `code` at the task's activity, with optional variables.

    Code and message become text: 404 is "404", and an Enum is its value. Raises `ValueError` without a code: the
    engine has no error without one.
    """

    def __init__(self, code: object, message: object = "", variables: Mapping[str, Any] | None = None) -> None:
        self.code = as_text(code)
        if not self.code.strip():
            raise ValueError("BpmnError has no code: name the error that the model catches, as in BpmnError('REFUSED')")
        self.message = as_text(message)
        super().__init__(self.message or self.code)
        self.variables = dict(variables or {})


def as_text(value: object) -> str:
    """Return a code or a message as text: an Enum as its value, what UTF-8 can't write as question marks."""
    while isinstance(value, Enum):
        value = value.value
    return "" if value is None else str(value).encode("utf-8", "replace").decode()


def checked_delay(after: object) -> timedelta:
    """Return a delay given in seconds or as a timedelta; raises as `Retry` says."""
    if isinstance(after, bool) or not isinstance(after, int | float | timedelta):
        raise TypeError(f"Retry(after=...) takes seconds or a timedelta, not a {type(after).__name__}")
    seconds = after.total_seconds() if isinstance(after, timedelta) else after
    if isinstance(seconds, float) and not math.isfinite(seconds):
        raise ValueError(f"Retry(after={seconds}) is no time: it takes seconds")
    if seconds > LONGEST_DELAY.total_seconds():
        raise ValueError("Retry(after=...) is more than a year: it takes seconds, not milliseconds")
    return timedelta(seconds=max(0, seconds))
