"""A reverse proxy before the engine that spoils some of its answers, as logins, proxies and bad lines do."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import aiohttp
from aiohttp import web
from yarl import URL

_PASSED_ON: Final = ("Content-Type", "Content-Disposition", "Date")
_PAGE: Final = "<!DOCTYPE html><title>Sign in</title><form method=post><input name=user></form>"


class Kind(StrEnum):
    """What comes in place of the engine's answer."""

    PAGE = "200 with a login page"
    LOGIN = "401"
    REDIRECT = "302"
    FORBIDDEN = "403 with a page"
    MISSING = "404 with a page"
    ELSEWHERE = "404 with another service's JSON"
    BROKEN = "500 with a page"
    LIMITED = "429"
    BAD_GATEWAY = "502"
    TIMED_OUT = "504"
    TRUNCATED = "an answer that ends early"
    RESET = "a reset connection"


@dataclass(frozen=True, slots=True)
class Spoiled:
    """A spoiled answer: whether its call had reached the engine, and which call it was."""

    kind: Kind
    is_passed_on: bool
    operation: str


Choose = Callable[[str], tuple[Kind, bool] | None]
"""Says for a call, by the last part of its path, how its answer is spoiled, and whether the engine is to have it."""


def at_random(share: float, seed: int) -> Choose:
    """Spoil this share of all answers."""
    chance = random.Random(seed)  # noqa: S311 - it must be repeatable, it keeps no secret

    def choose(_operation: str) -> tuple[Kind, bool] | None:
        if chance.random() >= share:
            return None
        return chance.choice(list(Kind)), chance.random() < 0.5

    return choose


class EngineProxy:
    """Listens on a port of its own and passes on to the engine at `url`; use it as a context.

    `spoiled` has each answer that was, and `passed` counts the others. Where the engine is away connections are cut.
    """

    def __init__(self, url: str, choose: Choose) -> None:
        self._target = URL(url)
        self._choose = choose
        self._server = web.Server(self._handle)
        self._runner = web.ServerRunner(self._server)
        self._session: aiohttp.ClientSession | None = None
        self.spoiled: list[Spoiled] = []
        self.passed = 0
        self.port = 0

    async def __aenter__(self) -> EngineProxy:
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(auto_decompress=False, connector=connector)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._runner.cleanup()
        assert self._session is not None
        await self._session.close()

    @property
    def url(self) -> str:
        """The engine's URL, by way of the proxy."""
        return str(self._target.with_port(self.port))

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        operation = request.path.rpartition("/")[2]
        kind, is_passed_on = self._choose(operation) or (None, True)
        body, answer = await request.read(), web.Response()
        if is_passed_on:
            try:
                answer = await self._pass_on(request, body)
            except aiohttp.ClientError:
                _cut(request)
                return answer
        if kind is None:
            self.passed += 1
            return answer
        self.spoiled.append(Spoiled(kind, is_passed_on, operation))
        return await _spoil(request, kind)

    async def _pass_on(self, request: web.BaseRequest, body: bytes) -> web.Response:
        assert self._session is not None
        url = self._target.with_path(request.path).with_query(request.query)
        headers = {name: value for name, value in request.headers.items() if name not in {"Host", "Content-Length"}}
        async with self._session.request(request.method, url, data=body or None, headers=headers) as answer:
            kept = {name: answer.headers[name] for name in _PASSED_ON if name in answer.headers}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)


async def _spoil(request: web.BaseRequest, kind: Kind) -> web.StreamResponse:
    match kind:
        case Kind.REDIRECT:
            return web.Response(status=302, headers={"Location": "/login"})
        case Kind.LIMITED:
            return web.Response(status=429)
        case Kind.ELSEWHERE:
            return web.json_response({"status": 404, "error": "Not Found", "path": request.path}, status=404)
        case Kind.TRUNCATED:
            response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
            with suppress(ConnectionError):  # whoever asked may have been killed
                await response.prepare(request)
                await response.write(b'[{"id": "')
            _cut(request)
            return response
        case Kind.RESET:
            _cut(request)
            return web.Response()
        case _:
            return web.Response(status=_STATUSES[kind], text=_PAGE, content_type="text/html")


def _cut(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()


_STATUSES: Final = {
    Kind.PAGE: 200,
    Kind.LOGIN: 401,
    Kind.FORBIDDEN: 403,
    Kind.MISSING: 404,
    Kind.BROKEN: 500,
    Kind.BAD_GATEWAY: 502,
    Kind.TIMED_OUT: 504,
}
