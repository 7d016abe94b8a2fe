"""A task's result as plain JSON."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import date
from typing import Any

from bridge.domain.errors import VariableError
from bridge.domain.task import TypedValue, Variables
from bridge.domain.variables import decode
from bridge.search.moments import is_text
from bridge.topic import File


def plain_result(result: Variables | None) -> dict[str, Any] | None:
    """Return the variables as plain JSON by name; one that can't be decoded is shown in Camunda's typed form."""
    return None if result is None else {name: _plain_variable(name, value) for name, value in result.items()}


def _plain_variable(name: str, value: TypedValue) -> Any:
    try:
        return plain(decode({name: value})[name])
    except VariableError:
        return {"type": value.type, "value": plain(value.value)}


def plain(value: object) -> Any:  # noqa: PLR0911 - one for each kind of value
    """Return `value` as JSON can carry it: bytes as base64, a file as its name and type, moments in ISO 8601."""
    match value:
        case str():
            return printable(value)
        case None | bool() | int() | float():
            return value
        case bytes() | bytearray():
            return base64.b64encode(value).decode("ascii")
        case File():
            return {"name": value.name, "mime_type": value.mime_type, "encoding": value.encoding}
        case Mapping():
            return {printable(str(key)): plain(inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(inner) for inner in value]
        case _:
            return value.isoformat() if isinstance(value, date) else str(value)


def printable(text: str) -> str:
    """Return text that can be written as UTF-8: half a surrogate pair, which JSON escapes can name, is replaced."""
    if is_text(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
