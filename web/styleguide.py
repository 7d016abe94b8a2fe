"""A page that shows every macro with made-up data: for who works on the look, and for the tests that look at it."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from bridge.access import Scope
from web.guard import needs
from web.page import render


def styleguide_routes() -> tuple[HTTPRouteHandler, ...]:
    """Return the route of the page; it is mounted where DEBUG is set."""

    @get("/styleguide", opt=needs(Scope.READ))
    async def styleguide(request: Request[Any, Any, Any]) -> Response[str]:
        return render(request, "styleguide.html")

    return (styleguide,)
