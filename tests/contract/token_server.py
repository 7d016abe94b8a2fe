"""A token endpoint (RFC 6749, 4.4) that counts what it is asked, and answers as a test tells it to."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote_plus

from aiohttp import web
from aiohttp.test_utils import TestServer

CLIENT, SECRET = "the gateway", "s3cret: 100% +/ä"


class TokenServer:
    """Gives the tokens token-1, token-2 …, each good for `life` seconds; `gate` holds answers back."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, str]] = []
        self.life: Any = 300
        self.gate = asyncio.Event()
        self.gate.set()
        self.instead: web.Response | None = None
        self.url = ""

    @property
    def latest(self) -> str:
        """The token that was given last."""
        return f"token-{len(self.asked)}"

    async def handle(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append(form)
        number = len(self.asked)
        await self.gate.wait()
        if self.instead is not None:
            answer, self.instead = self.instead, None
            return answer
        if _client_of(request, form) != (CLIENT, SECRET):
            return web.json_response({"error": "invalid_client", "error_description": "no such client"}, status=401)
        token: dict[str, Any] = {"access_token": f"token-{number}", "token_type": "bearer"}
        return web.json_response(token if self.life is None else {**token, "expires_in": self.life})


def _client_of(request: web.Request, form: Mapping[str, str]) -> tuple[str, str]:
    kind, _, basic = request.headers.get("Authorization", "").partition(" ")
    if kind == "Basic":
        name, _, secret = base64.b64decode(basic).decode().partition(":")
        return unquote_plus(name), unquote_plus(secret)
    return form.get("client_id", ""), form.get("client_secret", "")


@asynccontextmanager
async def token_server() -> AsyncIterator[TokenServer]:
    """Serve the endpoint; its address is its `url`."""
    served = TokenServer()
    app = web.Application()
    app.router.add_post("/token", served.handle)
    async with TestServer(app) as server:
        served.url = str(server.make_url("/token"))
        yield served
