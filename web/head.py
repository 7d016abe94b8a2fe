"""HEAD wherever GET works: the same answer without its body (RFC 9110, 9.3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from litestar import Litestar
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
