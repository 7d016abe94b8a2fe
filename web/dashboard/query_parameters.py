"""Reads the fields of a page's address: plain text of bounded length, choices and times."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from enum import Enum
from typing import Any, Final, TypeVar

from litestar import Request
from litestar.exceptions import ValidationException

from bridge.domain.messages import message
from bridge.search.moments import read_instant

Choice = TypeVar("Choice", bound=Enum)
_FIRST: Final = datetime(1, 1, 2, tzinfo=UTC)
_LAST: Final = datetime(9999, 12, 31, tzinfo=UTC)


def text_parameter(request: Request[Any, Any, Any], name: str, most: int = 200) -> str:
    """Return a field of the address; empty where it's left out. Raises `ValidationException` where it's too long."""
    text = str(request.query_params.get(name, "")).strip()
    if len(text) > most or "\0" in text:
        problem = {"key": name, "source": "query", "message": message("field.unusable", count=most)}
        raise ValidationException(detail=message("request.fields"), extra=[problem])
    return text


def choice_parameter(request: Request[Any, Any, Any], name: str, kind: type[Choice], other: Choice) -> Choice:
    """Return one of a few values; `other` where the field is left out, or has another value."""
    try:
        return kind(text_parameter(request, name))
    except ValueError:
        return other


def moment_parameter(text: str, zone: tzinfo) -> datetime | None:
    """Return a time; without an offset it is in `zone`.

    None for other text, and for the first and the last day of the calendar, which some zones don't have.
    """
    found = read_instant(text, zone)
    return found if found is not None and _FIRST < found < _LAST else None
