"""A server that answers as a test tells it to, in the engine's place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.domain.errors import ForeignAnswer

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Stub:
    """A server that keeps each request and its JSON body, and answers as told."""

    def __init__(self) -> None:
        self.requests: list[tuple[web.Request, Any]] = []
        self.answer: Answer = self._no_content
        self.calls: list[tuple[str, int | None]] = []
        self.foreign: list[tuple[str, int]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request, orjson.loads(body) if body else None))
        return await self.answer(request)

    def observe(self, operation: str, status: int | None, seconds: float) -> None:
        assert seconds >= 0
        self.calls.append((operation, status))

    def observe_foreign(self, operation: str, error: ForeignAnswer) -> None:
        self.foreign.append((operation, error.status))

    @staticmethod
    async def _no_content(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    def answers(self, status: int, body: Any = None, kind: str | None = None, **headers: str) -> None:
        """Answer all calls so: bytes as they are, of the content type `kind`, and anything else as JSON."""

        async def answer(_request: web.Request) -> web.StreamResponse:
            if isinstance(body, bytes):
                return web.Response(status=status, body=body, content_type=kind, headers=headers)
            return web.Response(
                status=status, body=orjson.dumps(body), content_type=kind or "application/json", headers=headers
            )

        self.answer = answer


@asynccontextmanager
async def stub_engine(stub: Stub) -> AsyncIterator[str]:
    """Serve the stub; give the address of its REST interface."""
    app = web.Application(client_max_size=10**8)
    app.router.add_route("*", "/{path:.*}", stub.handle)
    async with TestServer(app) as server:
        yield str(server.make_url("/engine-rest"))
