"""The trace that a task belongs to, as a `traceparent` (W3C Trace Context): kept on the task, sent with messages."""

from __future__ import annotations

import re
import secrets
from typing import Final

from bridge.task import Variables

VARIABLE: Final = "traceparent"
"""The process variable that a trace is continued from."""

_PARENT: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


def trace_of(variables: Variables) -> str:
    """Return the trace that the process carries in its variable, or a new one."""
    given = variables.get(VARIABLE)
    if given is not None and isinstance(given.value, str) and _PARENT.fullmatch(given.value):
        return given.value
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def trace_id(traceparent: str | None) -> str | None:
    """Return the id of the trace in 32 hexadecimal digits; None where there is none."""
    found = None if traceparent is None else _PARENT.fullmatch(traceparent)
    return None if found is None else found[1]
