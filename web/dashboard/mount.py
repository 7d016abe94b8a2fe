"""The router of /dashboard: login, settings, live updates, files, and the pages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from litestar import Request, Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ControllerRouterHandler

from bridge.domain.access import Scope
from bridge.ports.changes import Changes, NoChanges
from web.api.problems import page_answer
from web.auth.guard import PAGES, needs
from web.components.assets import asset_routes
from web.components.live import Live, LiveConfig, live_routes
from web.components.page import PAGES_OPT, PageConfig, Pages, render
from web.dashboard.keys import keys_routes
from web.dashboard.login import HOME, Login, login_routes, to_login
from web.dashboard.openid_login import openid_routes
from web.dashboard.people import people_routes
from web.dashboard.settings import settings_routes
from web.dashboard.styleguide import styleguide_routes
from web.dependencies import AccessDependencies


@get("/", opt=needs(Scope.READ))
async def home(request: Request[Any, Any, Any]) -> Response[str]:
    """Show the first page, where no other is mounted."""
    return render(request, "dashboard.html")


@get("/{rest:path}", opt=needs(Scope.READ))
async def nowhere() -> None:
    """Answer 404 with a page."""
    raise NotFoundException


def dashboard_router(
    access: AccessDependencies,
    page_config: PageConfig | None = None,
    *,
    changes: Changes | None = None,
    ending: asyncio.Event | None = None,
    live_config: LiveConfig | None = None,
    mounted: Sequence[ControllerRouterHandler] = (),
) -> Router:
    """Return the router. `mounted` are its pages; each declares its need, as all routes do.

    `changes` is what live updates watch, `ending` is set when the process is to end.
    """
    live = Live(changes or NoChanges(), ending or asyncio.Event(), live_config, ended=access.session_service.ended)
    pages = Pages(access, page_config, cursor=lambda: live.cursor, spent=live.spend)
    login = Login(access, pages)
    return Router(
        HOME,
        route_handlers=[
            *login_routes(login),
            *openid_routes(access, pages, login),
            *asset_routes(pages.assets),
            *settings_routes(access),
            *people_routes(access),
            *keys_routes(access),
            *live_routes(live),
            *(styleguide_routes() if pages.page_config.debug else ()),
            *mounted,
            *(() if any(_is_home(page) for page in mounted) else (home,)),
            nowhere,
        ],
        opt={**PAGES, PAGES_OPT: pages},
        include_in_schema=False,
        exception_handlers={Exception: page_answer(pages, to_login)},
    )


def _is_home(page: ControllerRouterHandler) -> bool:
    return isinstance(page, HTTPRouteHandler) and "/" in page.paths
