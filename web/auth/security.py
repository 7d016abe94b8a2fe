"""Protection of browsers: security headers, the policy of pages, and the checks of a form's origin and token."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie, MutableScopeHeaders
from litestar.types import Message, Scope

from bridge.domain.access import csrf_token, same
from bridge.domain.errors import ForeignPage
from bridge.domain.messages import message
from web.alpine import Alpine
from web.auth.cookies import host_cookie, host_name

FORM_FIELD: Final = "csrf_token"
FORM_HEADER: Final = "x-csrf-token"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

NOTHING: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The policy of whatever is no page: nothing in it is ever loaded or run."""

_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": NOTHING,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
_HSTS: Final = "max-age=31536000"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_FOREIGN: Final = message("request.foreign_page")


async def add_headers(message: Message, scope: Scope) -> None:
    """Add to every answer, errors too, the security headers that it hasn't set itself."""
    if message["type"] != "http.response.start":
        return
    headers = MutableScopeHeaders.from_message(message)
    for name, value in _HEADERS.items():
        if name not in headers:
            headers[name] = value
    if scope.get("scheme") == "https":
        headers["Strict-Transport-Security"] = _HSTS


def new_nonce() -> str:
    """Return the nonce that marks the scripts of one answer as the gateway's own."""
    return secrets.token_urlsafe(18)


def page_policy(nonce: str, alpine: Alpine) -> str:
    """Return the Content-Security-Policy of a page: scripts by nonce, no inline style, nothing evaluated."""
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}' {alpine.source}; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def cookie_name(*, insecure: bool) -> str:
    """Return the session cookie's name."""
    return host_name("session", insecure=insecure)


def session_cookie(secret: str, *, insecure: bool, seconds: int) -> Cookie:
    """Return the cookie that carries a session; zero `seconds` and no secret end it."""
    return host_cookie("session", secret, seconds, insecure=insecure)


def require_own_page(connection: ASGIConnection[Any, Any, Any, Any], *, insecure: bool) -> None:
    """Raise `ForeignPage` unless, by the browser's headers, a page of this origin sent the request.

    `Sec-Fetch-Site` decides where it is there: no page can set it. Older browsers, and any over plain http, send
    `Origin` with what is no GET.
    """
    site = connection.headers.get("sec-fetch-site")
    if site is not None:
        if site != "same-origin":
            raise ForeignPage(_FOREIGN)
    elif not _own_origin(connection.headers.get("origin"), connection.headers.get("host"), insecure=insecure):
        raise ForeignPage(_FOREIGN)


def refuse_foreign_page(connection: ASGIConnection[Any, Any, Any, Any], *, insecure: bool) -> None:
    """Raise `ForeignPage` where, by the browser's headers, another site's page sent the request; programs send none."""
    if "sec-fetch-site" in connection.headers or "origin" in connection.headers:
        require_own_page(connection, insecure=insecure)


async def require_form_token(connection: ASGIConnection[Any, Any, Any, Any], session_secret: str) -> None:
    """Raise `ForeignPage` unless the request carries the token of its own session, as a header or in the form."""
    given = connection.headers.get(FORM_HEADER)
    if given is None and isinstance(connection, Request):
        field = (await connection.form()).get(FORM_FIELD)
        given = field if isinstance(field, str) else None
    if given is None or not same(given, csrf_token(session_secret)):
        raise ForeignPage(_FOREIGN)


def _own_origin(origin: str | None, host: str | None, *, insecure: bool) -> bool:
    if origin is None or host is None:
        return False
    parts = urlsplit(origin)
    if parts.netloc.lower() != host.lower():
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and (insecure or parts.hostname in _LOOPBACK))
