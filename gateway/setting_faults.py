"""What is wrong with a setting's value, in words that say what to write in its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic.fields import FieldInfo

SECONDS: Final = "seconds"
"""Marks a setting that is a time in seconds."""

_WITH_UNIT: Final = re.compile(
    r"\s*\d[\d_.,]*\s*(ms|s|secs?|seconds?|m|min|minutes?|h|hours?|d|days?)\s*", re.IGNORECASE
)
_NUMBERS: Final = frozenset({"float_parsing", "int_parsing", "int_from_float"})


def fault_text(field: FieldInfo | None, fault: Mapping[str, Any]) -> str:
    """Return what is wrong, as pydantic's error `fault` of the field tells, and what to write; no secret is told."""
    said, given = str(fault["msg"]).removeprefix("Value error, "), fault.get("input")
    in_seconds = field is not None and SECONDS in field.metadata
    match fault["type"]:
        case "bool_parsing" | "bool_type":
            return f"{said}: write true or false"
        case kind if kind in _NUMBERS and isinstance(given, str) and _WITH_UNIT.fullmatch(given):
            return f"{said}: write the number of {'seconds' if in_seconds else 'it'} alone, without a unit"
        case kind if kind in _NUMBERS:
            return f"{said}: write a number, as 30"
        case "less_than_equal" | "less_than" if in_seconds and isinstance(given, str | int | float):
            return f"{said}: times are in seconds; for {given} milliseconds write {float(given) / 1000:g}"
    return said
