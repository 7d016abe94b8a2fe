"""A collector that takes whatever it is sent: what tracing costs a gateway, without what a collector costs."""

from __future__ import annotations

import os

import uvloop
from aiohttp import web


async def _take(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(content_type="application/x-protobuf")


def main() -> None:
    """Serve until the process is ended."""
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_post("/v1/traces", _take)
    web.run_app(app, host="127.0.0.1", port=int(os.environ["BENCH_PORT"]), print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main()
