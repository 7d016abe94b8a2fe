"""The dashboard on stubs, served to a real browser: one browser and one server a session, one context a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest_asyncio
from litestar import Request, Response, get
from playwright.async_api import expect

from bridge.domain.access import Role, Scope
from tests.browser.chromium import Surfer, Watched, surfer
from tests.browser.serving import served, visited
from tests.web.auth.access_lab import AccessLab
from tests.web.conftest import Stub
from web.app import create_app
from web.auth.guard import needs
from web.components.live import LiveConfig
from web.components.page import PageConfig, pages_of, render
from web.dashboard.mount import dashboard_router, home
from web.dashboard.styleguide import samples


@dataclass
class TokensByHand:
    """Tokens that a test sets; `asked` is set at each question."""

    marks_now: dict[str, str] = field(default_factory=lambda: {"tasks": "0"})
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def change_tokens(self) -> Mapping[str, str]:
        self.asked.set()
        return dict(self.marks_now)

    def touch(self, name: str = "tasks") -> None:
        """Let it be seen that something has changed."""
        self.marks_now[name] = str(int(self.marks_now.get(name, "0")) + 1)


@dataclass
class Site:
    """The server, and what stands behind it."""

    url: str
    lab: AccessLab
    changes: TokensByHand
    secret: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    fetched: int = 0

    @asynccontextmanager
    async def visit(
        self, surfer: Surfer, path: str, *, stranger: bool = False, **options: Any
    ) -> AsyncIterator[Watched]:
        """Yield a page of somebody logged in, at `path`; at the end its browser must not have complained."""
        async with visited(surfer, self.url, path, None if stranger else self.secret, **options) as watched:
            yield watched


def row(number: int, state: str = "running") -> dict[str, Any]:
    """Return a row of the list that tests look at."""
    updated = datetime.now(UTC) - timedelta(minutes=number)
    key = f"order-{number}"
    return {
        "id": f"t{number}",
        "state": state,
        "topic": "t",
        "key": key,
        "attempts": 1,
        "updated": updated,
        "error": None,
    }


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def browser() -> AsyncIterator[Surfer]:
    expect.set_options(timeout=30_000)  # what is waited for comes at once, but for a machine with much else to do
    async with surfer() as found:
        yield found


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def server() -> AsyncIterator[Site]:
    lab, changes = AccessLab(insecure_cookies=True), TokensByHand()
    lab.clock.moment = datetime.now(UTC)
    site = Site("", lab, changes, await lab.session(Role.ADMIN, "ada"))

    @get("/rows", opt=needs(Scope.READ))
    async def rows(request: Request[Any, Any, Any]) -> Response[str]:
        site.fetched += 1
        return render(
            request, "styleguide.html", **{**samples(pages_of(request).now()), "rows": site.rows, "flash": None}
        )

    page_config, ending = PageConfig("staging", "1.2.3", debug=True), asyncio.Event()
    live_config = LiveConfig(every=timedelta(milliseconds=20))
    router = dashboard_router(
        lab.dependencies, page_config, changes=changes, ending=ending, live_config=live_config, mounted=[home, rows]
    )
    app = create_app(Stub().dependencies(lab.dependencies), [router])
    async with served(app, ending) as site.url:
        yield site


@pytest_asyncio.fixture(loop_scope="session")
async def site(server: Site) -> Site:
    """Return the server as it is before any test."""
    server.rows, server.fetched = [row(number) for number in range(1, 6)], 0
    return server
