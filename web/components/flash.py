"""A message about what was just done, shown once on the next page: in a signed cookie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from litestar import Request, Response

from web.auth.signed_cookie import SignedCookie

LIVE: Final = "x-live"
"""The header of a page's own refetch: it shows nobody anything, and so uses nothing up."""

_COOKIE: Final = SignedCookie("flash", seconds=60)

Level = Literal["done", "note", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Flash:
    """A text as marked by `msg`, and the values that stand in it: `Flash(msg("%(count)s tasks"), {"count": 3})`."""

    text: str
    values: Mapping[str, str | int] = field(default_factory=dict)
    level: Level = "done"


def add_flash(response: Response[Any], request: Request[Any, Any, Any], flash: Flash, *, insecure: bool) -> None:
    """Have the next page say `flash`; nothing where nobody is logged in."""
    _COOKIE.write(response, request, [flash.level, flash.text, dict(flash.values)], insecure=insecure)


def flash_of(request: Request[Any, Any, Any], *, insecure: bool) -> Flash | None:
    """Return what is to be said; None for nothing, and for what this session has not written."""
    found = None if LIVE in request.headers else _COOKIE.read(request, insecure=insecure)
    if found is None:
        return None
    level, message, values = found
    return Flash(message, values, level)


def drop_flash(response: Response[Any], *, insecure: bool) -> None:
    """Take the cookie away, now that it was shown."""
    _COOKIE.drop(response, insecure=insecure)
