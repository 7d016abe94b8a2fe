"""The attributes that all cookies of the gateway have."""

from __future__ import annotations

from typing import Literal

from litestar.datastructures import Cookie


def host_name(name: str, *, insecure: bool) -> str:
    """Return a cookie's full name; by `__Host-` the browser itself refuses it from anywhere but this host."""
    return name if insecure else f"__Host-{name}"


def host_cookie(
    name: str, value: str, seconds: int, *, insecure: bool, samesite: Literal["lax", "strict"] = "lax"
) -> Cookie:
    """Return a cookie that no script reads; zero `seconds` take it away."""
    return Cookie(
        key=host_name(name, insecure=insecure),
        value=value,
        path="/",
        max_age=seconds,
        httponly=True,
        secure=not insecure,
        samesite=samesite,
    )
