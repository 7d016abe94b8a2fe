"""Times requests by their route's template, so that neither ids nor addresses become labels."""

from __future__ import annotations

import time
from collections.abc import Callable

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

Observe = Callable[[str, str, int, float], None]
"""Gets the method, the route, the status and the seconds."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metering(ASGIMiddleware):
    """Tells `observe` of each request that found a route; a stream counts until its first byte."""

    def __init__(self, observe: Observe) -> None:
        self._observe = observe

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Watch for the start of the answer."""
        if scope["type"] != ScopeType.HTTP:
            await next_app(scope, receive, send)
            return
        began = time.perf_counter()

        async def watching(message: Message) -> None:
            if message["type"] == "http.response.start" and scope["type"] == ScopeType.HTTP:
                method = scope["method"] if scope["method"] in _METHODS else "other"
                template = scope.get("path_template") or "unknown"
                self._observe(method, template, message["status"], time.perf_counter() - began)
            await send(message)

        await next_app(scope, receive, watching)
