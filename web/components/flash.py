"""A word about what was just done, shown once on the next page: in a cookie that only this session can have written."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from litestar import Request, Response
from litestar.datastructures import Cookie

from bridge.domain.access import same
from web.auth.guard import session_secret_of

LIVE: Final = "x-live"
"""The header of a page's own refetch: it shows nobody anything, and so uses nothing up."""

_SECONDS: Final = 60
_LONGEST: Final = 3000
_PURPOSE: Final = b"worker-api-gateway flash"

Level = Literal["done", "note", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Flash:
    """A text as marked by `msg`, and the values that stand in it: `Flash(msg("%(count)s tasks"), {"count": 3})`."""

    text: str
    values: Mapping[str, str | int] = field(default_factory=dict)
    level: Level = "done"


def flash_name(*, insecure: bool) -> str:
    """Return the cookie's name."""
    return "flash" if insecure else "__Host-flash"


def add_flash(response: Response[Any], request: Request[Any, Any, Any], flash: Flash, *, insecure: bool) -> None:
    """Have the next page say `flash`; nothing where nobody is logged in."""
    secret = session_secret_of(request)
    if secret is None:
        return
    body = json.dumps([flash.level, flash.text, dict(flash.values)], separators=(",", ":")).encode()
    value = f"{_seal(secret, body)}.{base64.urlsafe_b64encode(body).decode()}"
    if len(value) <= _LONGEST:
        response.set_cookie(_cookie(value, _SECONDS, insecure=insecure))


def flash_of(request: Request[Any, Any, Any], *, insecure: bool) -> Flash | None:
    """Return what is to be said; None for nothing, and for what this session has not written."""
    text, secret = request.cookies.get(flash_name(insecure=insecure), ""), session_secret_of(request)
    seal, _, encoded = text.partition(".")
    if not encoded or secret is None or LIVE in request.headers or len(text) > _LONGEST:
        return None
    try:
        body = base64.b64decode(encoded, altchars=b"-_", validate=True)
    except ValueError:
        return None
    if not same(seal, _seal(secret, body)):
        return None
    level, message, values = json.loads(body)
    return Flash(message, values, level)


def drop_flash(response: Response[Any], *, insecure: bool) -> None:
    """Take the cookie away, now that it was shown."""
    response.set_cookie(_cookie("", 0, insecure=insecure))


def _seal(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), _PURPOSE + body, hashlib.sha256).hexdigest()


def _cookie(value: str, seconds: int, *, insecure: bool) -> Cookie:
    return Cookie(
        key=flash_name(insecure=insecure),
        value=value,
        path="/",
        max_age=seconds,
        httponly=True,
        secure=not insecure,
        samesite="lax",
    )
