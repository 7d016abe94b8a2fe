"""The engine's column for Strings, which holds less in some databases than in others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from bridge.domain.errors import EngineRejected
from bridge.domain.task import Variables
from bridge.domain.variables import STRING_LIMIT, java_length, long_text_as_object

LIMITS: Final = (4000, 2000, 1000)
"""What the column holds: in most databases, in Oracle, and where it counts bytes (DB2) at four a character."""

OnLowered = Callable[[int], None]


class StringColumn:
    """Sends variables so that the column holds each String: a longer one goes as an Object.

    `limit` is the setting. Where the engine refuses a shorter String, as its message tells, the same call is made again
    with long text as Objects; once it took that, later calls are made so at once, and `on_lowered` has the new limit.
    """

    def __init__(self, limit: int = STRING_LIMIT, on_lowered: OnLowered = lambda _limit: None) -> None:
        self._limit = limit
        self._on_lowered = on_lowered

    async def send(self, variables: Variables, call: Callable[[Variables], Awaitable[object]]) -> None:
        """Make the call with the variables; raises what it raises, where shorter Strings are of no help."""
        limit = self._limit
        while True:
            sent = long_text_as_object(variables, limit)
            try:
                await call(sent)
            except EngineRejected as error:
                # The engine rolled the call back as a whole: nothing of it was done.
                lower = _next_below(_longest(sent)) if error.column_too_small else None
                if lower is None:
                    raise
                limit = lower
            else:
                break
        if limit < self._limit:
            self._limit = limit
            self._on_lowered(limit)


def _longest(variables: Variables) -> int:
    """Return the length of the longest text among the Strings."""
    texts = (variable.value for variable in variables.values() if variable.type == "String")
    return max((java_length(text) for text in texts if isinstance(text, str)), default=0)


def _next_below(length: int) -> int | None:
    return next((limit for limit in LIMITS if limit < length), None)
