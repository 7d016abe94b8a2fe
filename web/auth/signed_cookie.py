"""The codec of signed cookies: a value that only the session that reads it can have written."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from litestar import Request, Response

from bridge.domain.access import same
from web.auth.cookies import host_cookie, host_name
from web.auth.guard import session_secret_of

_LONGEST: Final = 3000


@dataclass(frozen=True, slots=True)
class SignedCookie:
    """A JSON value in a cookie, signed by the session's secret for this name alone. Its user can read it."""

    name: str
    seconds: int
    samesite: Literal["lax", "strict"] = "lax"

    def write(self, response: Response[Any], request: Request[Any, Any, Any], value: Any, *, insecure: bool) -> None:
        """Set the cookie; nothing where nobody is logged in, or the value is too long for a cookie."""
        secret = session_secret_of(request)
        if secret is None:
            return
        body = json.dumps(value, separators=(",", ":")).encode()
        text = f"{self._sign(secret, body)}.{base64.urlsafe_b64encode(body).decode()}"
        if len(text) <= _LONGEST:
            response.set_cookie(host_cookie(self.name, text, self.seconds, insecure=insecure, samesite=self.samesite))

    def read(self, request: Request[Any, Any, Any], *, insecure: bool) -> Any:
        """Return the value; None where there is none, or this session has not written it."""
        text = request.cookies.get(host_name(self.name, insecure=insecure), "")
        secret = session_secret_of(request)
        signature, _, encoded = text.partition(".")
        if not encoded or secret is None or len(text) > _LONGEST:
            return None
        try:
            body = base64.b64decode(encoded, altchars=b"-_", validate=True)
        except ValueError:
            return None
        return json.loads(body) if same(signature, self._sign(secret, body)) else None

    def drop(self, response: Response[Any], *, insecure: bool) -> None:
        """Take the cookie away."""
        response.set_cookie(host_cookie(self.name, "", 0, insecure=insecure, samesite=self.samesite))

    def _sign(self, secret: str, body: bytes) -> str:
        purpose = f"worker-api-gateway {self.name}".encode()
        return hmac.new(secret.encode(), purpose + body, hashlib.sha256).hexdigest()
