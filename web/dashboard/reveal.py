"""Variables that a person may see unmasked for a short time: named in a signed cookie of their session.

The secret itself is never in the cookie. The audit has the person's reason before anything is shown.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from litestar import Request, Response

from web.auth.signed_cookie import SignedCookie

LASTS: Final = timedelta(minutes=2)
_COOKIE: Final = SignedCookie("reveal", seconds=int(LASTS.total_seconds()), samesite="strict")


def add_reveal(
    response: Response[Any], request: Request[Any, Any, Any], task_id: str, what: str, now: datetime, *, insecure: bool
) -> None:
    """Let the pages of this session show `what` of a task until `LASTS` is over."""
    _COOKIE.write(response, request, [task_id, what, (now + LASTS).timestamp()], insecure=insecure)


def revealed_of(request: Request[Any, Any, Any], task_id: str, now: datetime, *, insecure: bool) -> frozenset[str]:
    """Return what of the task may be shown unmasked now."""
    found = _COOKIE.read(request, insecure=insecure)
    if found is None:
        return frozenset()
    named, what, until = found
    return frozenset({what}) if named == task_id and now.timestamp() < until else frozenset()
