"""A reverse proxy before the engine that waits for an answer only so long, as proxies do, and counts what passes."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import aiohttp
from aiohttp import web
from yarl import URL


class TimingOutProxy:
    """Listens on a port of its own and passes on to the engine at `url`; use it as a context.

    A call that takes longer than `time_limit` is answered with 504, while the engine goes on with it. `asked` counts
    the calls by the last part of their paths, `cut` those that were answered so.
    """

    def __init__(self, url: str, time_limit: timedelta) -> None:
        self._target = URL(url)
        self._time_limit = time_limit.total_seconds()
        self._runner = web.ServerRunner(web.Server(self._handle))
        self._session: aiohttp.ClientSession | None = None
        self._calls: set[asyncio.Task[web.Response]] = set()
        self.asked: Counter[str] = Counter()
        self.cut: Counter[str] = Counter()
        self.port = 0

    async def __aenter__(self) -> TimingOutProxy:
        self._session = aiohttp.ClientSession(auto_decompress=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._runner.cleanup()
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        assert self._session is not None
        await self._session.close()

    @property
    def url(self) -> str:
        """The engine's URL, by way of the proxy."""
        return str(self._target.with_port(self.port))

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        operation = request.path.rpartition("/")[2]
        self.asked[operation] += 1
        call = asyncio.create_task(self._pass_on(request, await request.read()))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        await asyncio.wait({call}, timeout=self._time_limit)
        if call.done():
            return call.result()
        self.cut[operation] += 1
        return web.Response(status=504, text="<h1>504 Gateway Time-out</h1>", content_type="text/html")

    async def _pass_on(self, request: web.BaseRequest, body: bytes) -> web.Response:
        assert self._session is not None
        url = self._target.with_path(request.path).with_query(request.query)
        headers = {name: value for name, value in request.headers.items() if name not in {"Host", "Content-Length"}}
        async with self._session.request(request.method, url, data=body or None, headers=headers) as answer:
            kept = {name: answer.headers[name] for name in ("Content-Type", "Date") if name in answer.headers}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)
