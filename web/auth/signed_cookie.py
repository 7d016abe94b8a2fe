"""The codec of signed cookies: a value that only the session that reads it can have written."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final, Literal

from itsdangerous import BadData, URLSafeTimedSerializer
from litestar import Request, Response

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
        """Set the cookie; do nothing without a login, or where the value is too long for a cookie."""
        secret = session_secret_of(request)
        if secret is None:
            return
        text = str(self._serializer(secret).dumps(value))
        if len(text) <= _LONGEST:
            response.set_cookie(host_cookie(self.name, text, self.seconds, insecure=insecure, samesite=self.samesite))

    def read(self, request: Request[Any, Any, Any], *, insecure: bool) -> Any:
        """Return the value; None without a value that this session has signed."""
        text = request.cookies.get(host_name(self.name, insecure=insecure), "")
        secret = session_secret_of(request)
        if not text or secret is None or len(text) > _LONGEST:
            return None
        try:
            return self._serializer(secret).loads(text, max_age=self.seconds)
        except BadData:
            return None

    def drop(self, response: Response[Any], *, insecure: bool) -> None:
        """Delete the cookie."""
        response.set_cookie(host_cookie(self.name, "", 0, insecure=insecure, samesite=self.samesite))

    def _serializer(self, secret: str) -> URLSafeTimedSerializer:
        salt = f"worker-api-gateway {self.name}"
        signer = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
        return URLSafeTimedSerializer(secret, salt=salt, signer_kwargs=signer)
