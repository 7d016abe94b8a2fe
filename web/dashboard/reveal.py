"""What somebody may see unmasked for a moment: named in a cookie that only his own session can have written.

The secret itself is never in it. Who reveals something says why, and that is in the audit before anything is shown.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import datetime, timedelta
from typing import Any, Final

from litestar import Request, Response
from litestar.datastructures import Cookie

from bridge.domain.access import same
from web.auth.guard import session_secret_of

LASTS: Final = timedelta(minutes=2)
_PURPOSE: Final = b"worker-api-gateway reveal"
_LONGEST: Final = 2000


def reveal_name(*, insecure: bool) -> str:
    """Return the cookie's name."""
    return "reveal" if insecure else "__Host-reveal"


def add_reveal(
    response: Response[Any], request: Request[Any, Any, Any], task_id: str, what: str, now: datetime, *, insecure: bool
) -> None:
    """Let the pages of this session show `what` of a task until `LASTS` is over."""
    secret = session_secret_of(request)
    if secret is None:
        return
    body = json.dumps([task_id, what, (now + LASTS).timestamp()], separators=(",", ":")).encode()
    value = f"{_seal(secret, body)}.{base64.urlsafe_b64encode(body).decode()}"
    response.set_cookie(
        Cookie(
            key=reveal_name(insecure=insecure),
            value=value,
            path="/",
            max_age=int(LASTS.total_seconds()),
            httponly=True,
            secure=not insecure,
            samesite="strict",
        )
    )


def revealed_of(request: Request[Any, Any, Any], task_id: str, now: datetime, *, insecure: bool) -> frozenset[str]:
    """Return what of the task may be shown unmasked now."""
    text, secret = request.cookies.get(reveal_name(insecure=insecure), ""), session_secret_of(request)
    seal, _, encoded = text.partition(".")
    if not encoded or secret is None or len(text) > _LONGEST:
        return frozenset()
    try:
        body = base64.b64decode(encoded, altchars=b"-_", validate=True)
    except ValueError:
        return frozenset()
    if not same(seal, _seal(secret, body)):
        return frozenset()
    named, what, until = json.loads(body)
    return frozenset({what}) if named == task_id and now.timestamp() < until else frozenset()


def _seal(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), _PURPOSE + body, hashlib.sha256).hexdigest()
