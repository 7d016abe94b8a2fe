"""uvicorn's HTTP/1.1 protocol with limits: no client holds more than its share of connections, memory and time."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from bridge.runtime.http_limits import Connections, Refused

_STATUS: Final = {
    Refused.TOO_MANY: HTTPStatus.SERVICE_UNAVAILABLE,
    Refused.TOO_MANY_OF_ADDRESS: HTTPStatus.SERVICE_UNAVAILABLE,
    Refused.HEAD_TOO_LARGE: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    Refused.HEAD_TOO_SLOW: HTTPStatus.REQUEST_TIMEOUT,
    Refused.BODY_TOO_SLOW: HTTPStatus.REQUEST_TIMEOUT,
    Refused.BODIES_TOO_LARGE: HTTPStatus.SERVICE_UNAVAILABLE,
    Refused.TOO_MANY_PIPELINED: HTTPStatus.TOO_MANY_REQUESTS,
}
_RETRY_AFTER: Final = 5


class BoundedConfig(uvicorn.Config):
    """Uvicorn's settings, and the limits of its connections."""

    def __init__(self, app: Any, connections: Connections, **options: Any) -> None:
        # No route speaks WebSocket; a request to upgrade is answered as a plain request (RFC 9110, 7.8).
        super().__init__(app, http=BoundedProtocol, ws="none", **options)
        self.connections = connections


class BoundedProtocol(HttpToolsProtocol):
    """One connection. The server calls `enforce` once a second; nothing is timed request by request.

    A refused connection is answered, where the answer can't be taken for that of another request, and is closed.
    """

    def __init__(
        self,
        config: BoundedConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._all = config.connections
        self._limits = config.connections.limits
        self._address: str | None = None
        self._is_refused = False
        self._has_head = False
        self._has_begun = False
        self._head_bytes = 0
        self._unclaimed = 0
        """Bytes of a line or trailer that doesn't end: those since the parser's last event of a head or a body."""
        self._body_bytes = 0
        self._due: float | None = None
        """When what the client is to send next must be there; None while the server is at work, or keeps it alive."""
        self._unsent = 0
        self._unsent_since = 0.0

    # -- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._due = self.loop.time() + self._limits.head_within
        address = "" if self.client is None else self.client[0]
        refused = self._all.admit(address)
        if refused is None:
            self._address = address
        else:
            self._refuse(refused)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._address is not None:
            self._all.release(self._address)
            self._address = None
        self._release_body()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._has_begun = True
        self._unclaimed += len(data)
        super().data_received(data)
        if self._unclaimed > self._limits.head_bytes:
            self._refuse(Refused.HEAD_TOO_LARGE)
        elif self._due is None and not self._is_working():
            self._due = self.loop.time() + self._limits.head_within

    def enforce(self, now: float) -> None:
        """Close the connection where the client is slower than the limits allow; called once a second."""
        unsent = self.transport.get_write_buffer_size()
        if self._unsent == 0 or unsent < self._unsent:
            self._unsent_since = now
        self._unsent = unsent
        if unsent and now - self._unsent_since >= self._limits.unread_for:
            self._all.observe(Refused.ANSWER_UNREAD)
            self.transport.abort()
        elif self._due is not None and now >= self._due and not self._is_refused:
            if self._has_head and self._is_held_up():
                self._due = now + self._limits.body_within
            else:
                self._refuse(Refused.BODY_TOO_SLOW if self._has_head else Refused.HEAD_TOO_SLOW)

    # -- the parser's calls: those after a refusal, from what it has yet to read, are for nobody

    def on_message_begin(self) -> None:
        if not self._is_refused:
            self._has_head, self._head_bytes = False, 0
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._is_refused and self._fits(len(url)):
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_refused or self._has_head:  # a trailer is no header (RFC 9110, 6.5.1)
            return
        if len(self.headers) >= self._limits.header_lines:
            self._refuse(Refused.HEAD_TOO_LARGE)
        elif self._fits(len(name) + len(value)):
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._is_refused:
            return
        if len(self.pipeline) >= self._limits.pipelined:
            self._refuse(Refused.TOO_MANY_PIPELINED)
            return
        self._has_head, self._unclaimed = True, 0
        self._due = self.loop.time() + self._limits.body_within
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._is_refused:
            return
        self._unclaimed = 0
        if self.cycle.response_complete:  # nobody reads it; it is to end soon
            return
        size = len(body)
        self._body_bytes += size
        self._all.body_bytes += size
        if self._all.body_bytes > self._limits.bodies and self._body_bytes > self._limits.small_body:
            self._refuse(Refused.BODIES_TOO_LARGE)
            return
        if self._due is not None:
            self._due += size / self._limits.body_rate
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._is_refused:
            self._unclaimed, self._due, self._has_head, self._has_begun = 0, None, False, False
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self._release_body()
        super().on_response_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing of what any client can ask for."""

    # -- refusals

    def _fits(self, size: int) -> bool:
        self._head_bytes += size
        if self._head_bytes > self._limits.head_bytes:
            self._refuse(Refused.HEAD_TOO_LARGE)
        return not self._is_refused

    def _is_working(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _is_held_up(self) -> bool:
        """Return whether it is the server that reads no more of a body for now."""
        return self._is_working() and (self.flow.read_paused or self.cycle.waiting_for_100_continue)

    def _refuse(self, reason: Refused) -> None:
        if self._is_refused:
            return
        self._is_refused, self._due = True, None
        self._all.observe(reason)
        if self.transport.is_closing():
            return
        is_working = self._is_working()
        is_answered_here = not is_working or (self._has_head and not self.cycle.response_started)
        if not self.pipeline and is_answered_here and (self._has_begun or self._address is None):
            self.transport.write(_answer(_STATUS[reason]))
        self.pipeline.clear()
        if is_working:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _release_body(self) -> None:
        self._all.body_bytes -= self._body_bytes
        self._body_bytes = 0


def _answer(status: HTTPStatus) -> bytes:
    again = f"retry-after: {_RETRY_AFTER}\r\n" if status in {503, 429} else ""
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n"
        f"content-length: {len(status.phrase)}\r\n{again}connection: close\r\n\r\n{status.phrase}"
    ).encode("ascii")
