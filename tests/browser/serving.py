"""What the tests of pages share: an application on a server, a visit by somebody logged in, and what no page may do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import uvicorn
from litestar import Litestar
from playwright.async_api import Page, expect

from tests.browser.chromium import Surfer, Watched

WIDE: Final = {"width": 1440, "height": 900}
NARROW: Final = {"width": 390, "height": 844}


@asynccontextmanager
async def served(app: Litestar, ending: asyncio.Event) -> AsyncIterator[str]:
    """Yield the address of a server; `ending` is what the application's own streams end at."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ending.set()
        server.should_exit = True
        await serving


@asynccontextmanager
async def visited(surfer: Surfer, url: str, path: str, secret: str | None, **options: Any) -> AsyncIterator[Watched]:
    """Yield a page at `path`, of whoever has the session; at the end its browser must not have complained."""
    async with surfer.page(**options) as watched:
        if secret is not None:
            await watched.page.context.add_cookies([{"name": "session", "value": secret, "url": url}])
        await watched.page.goto(url + path)
        yield watched
        watched.check()


async def ready(page: Page) -> None:
    """Wait until the scripts have taken hold."""
    await expect(page.locator("html")).to_have_attribute("data-ready", "")


async def check_unfolded(page: Page) -> None:
    """Fail where what asks before a change, unfolded as it is without JavaScript, is not all on the screen."""
    size, found = page.viewport_size, await page.locator("main .confirm").all()
    assert size is not None
    assert found
    for confirm in found:
        await confirm.locator("summary").click()
        box = await confirm.locator(".confirm-panel").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= size["width"]
        assert box["width"] >= 280, box
        await confirm.locator("summary").click()


async def check_page(surfer: Surfer, page: Page) -> None:
    """Fail where the page keeps somebody out, or is wider than the screen."""
    await ready(page)
    assert await surfer.barriers(page) == [], page.url
    width = await page.evaluate("document.documentElement.scrollWidth")
    size = page.viewport_size
    assert size is not None
    assert width <= size["width"], f"something of {page.url} is wider than the screen"


async def check_fits(page: Page, selector: str) -> None:
    """Fail where something has to be scrolled sideways to be seen whole."""
    await ready(page)
    cut = await page.locator(selector).evaluate("(element) => element.scrollWidth - element.clientWidth")
    assert cut <= 0, f"{selector} is {cut} px wider than its place"
