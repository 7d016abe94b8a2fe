"""HEAD wherever GET works: the same answer without its body (RFC 9110, 9.3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from litestar import Litestar
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType

if TYPE_CHECKING:
    from litestar.types import (
        HTTPReceiveMessage,
        HTTPScope,
        LifeSpanReceive,
        LifeSpanScope,
        LifeSpanSend,
        Message,
        Receive,
        Scope,
        Send,
    )


async def allow_head(message: Message, _scope: Scope) -> None:
    """Name HEAD in `Allow` wherever GET is named (RFC 9110, 10.2.1): before the start of an answer is sent."""
    if message["type"] != "http.response.start":
        return
    headers = MutableScopeHeaders.from_message(message)
    allowed = headers.get("allow")
    if allowed is not None:
        methods = {method.strip() for method in allowed.split(",")}
        headers["allow"] = ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


class HeadAsGet(Litestar):
    """The application, whose routes are asked for GET where a client sends HEAD."""

    async def __call__(
        self, scope: Scope | LifeSpanScope, receive: Receive | LifeSpanReceive, send: Send | LifeSpanSend
    ) -> None:
        """Handle a request."""
        if scope["type"] != ScopeType.HTTP or cast("HTTPScope", scope)["method"] != "HEAD":
            await super().__call__(scope, receive, send)
            return
        answer = _WithoutBody(cast("Receive", receive), cast("Send", send))
        as_get = cast("HTTPScope", {**scope, "method": "GET"})
        await super().__call__(as_get, answer.receive, answer.send)


class _WithoutBody:
    """Lets an answer begin, and ends it: what would be streamed learns that nobody listens."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._done = False

    async def receive(self) -> HTTPReceiveMessage:
        if self._done:
            return {"type": "http.disconnect"}
        return cast("HTTPReceiveMessage", await self._receive())

    async def send(self, message: Message) -> None:
        if self._done:
            return
        if message["type"] == "http.response.body":
            self._done = True
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await self._send(message)
