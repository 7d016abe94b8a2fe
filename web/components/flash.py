"""A message about what was just done, shown once on the next page: in a signed cookie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from litestar import Request, Response

from web.auth.signed_cookie import SignedCookie

LIVE: Final = "x-live"
"""The header of a page's own refetch, which does not show the message, and so leaves it in the cookie."""

_COOKIE: Final = SignedCookie("flash", seconds=60)

Level = Literal["done", "note", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Flash:
    """A text as marked by `msg`, and the values that stand in it: `Flash(msg("%(count)s tasks"), {"count": 3})`."""

    text: str
    values: Mapping[str, str | int] = field(default_factory=dict)
    level: Level = "done"


def add_flash(response: Response[Any], request: Request[Any, Any, Any], flash: Flash, *, insecure: bool) -> None:
    """Show `flash` on the next page; do nothing without a login."""
    _COOKIE.write(response, request, [flash.level, flash.text, dict(flash.values)], insecure=insecure)


def flash_of(request: Request[Any, Any, Any], *, insecure: bool) -> Flash | None:
    """Return the message to show; None without one that this session has signed."""
    found = None if LIVE in request.headers else _COOKIE.read(request, insecure=insecure)
    if found is None:
        return None
    level, message, values = found
    return Flash(message, values, level)


def drop_flash(response: Response[Any], *, insecure: bool) -> None:
    """Delete the cookie, after its message was shown."""
    _COOKIE.drop(response, insecure=insecure)
