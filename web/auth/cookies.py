"""The attributes that all cookies of the gateway have."""

from __future__ import annotations

from typing import Literal

from litestar.datastructures import Cookie


def host_name(name: str, *, insecure: bool) -> str:
    """Return a cookie's full name; with `__Host-` the browser takes the cookie from this host alone."""
    return name if insecure else f"__Host-{name}"


def host_cookie(
    name: str, value: str, seconds: int, *, insecure: bool, samesite: Literal["lax", "strict"] = "lax"
) -> Cookie:
    """Return a cookie that no script can read; zero `seconds` delete it."""
    return Cookie(
        key=host_name(name, insecure=insecure),
        value=value,
        path="/",
        max_age=seconds,
        httponly=True,
        secure=not insecure,
        samesite=samesite,
    )
