"""Puts the web application together; the composition root hands in what it depends on."""

from __future__ import annotations

from collections.abc import Sequence

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.types import ControllerRouterHandler

from web.api.filters import given_filter
from web.api.openapi import ClosedModels, docs_routes, openapi_config
from web.api.problems import answer
from web.api.query import OFFLOAD, JsonRequest
from web.api.routes import api_router, probes_router
from web.auth.guard import Guard, given_principal
from web.auth.security import add_headers
from web.dependencies import WebDependencies
from web.head import HeadAsGet, allow_head
from web.metering import Metering


def create_app(
    dependencies: WebDependencies, mounted: Sequence[ControllerRouterHandler] = (), *, api: bool = True
) -> Litestar:
    """Return the application on `dependencies`. `mounted` are routers beside the API, such as the one under /dashboard.

    Without `api` only health and metrics are served, for the probes of a process that has no other use for HTTP.

    Logging is the caller's to set up. Raises `SetupError` when the files of /docs are missing.
    """
    return HeadAsGet(
        route_handlers=[api_router(), *docs_routes(), *mounted] if api else [probes_router()],
        dependencies={
            "dependencies": Provide(lambda: dependencies, sync_to_thread=False),
            "principal": Provide(given_principal, sync_to_thread=False),
            "wanted": Provide(given_filter, sync_to_thread=False),
        },
        guards=[Guard(dependencies.access).check],
        before_send=[add_headers, allow_head],
        middleware=[Metering(dependencies.observe)],
        exception_handlers={Exception: answer},
        openapi_config=openapi_config(dependencies.version),
        plugins=[ClosedModels()],
        request_class=JsonRequest,
        request_max_body_size=dependencies.body_limit,
        logging_config=None,
        state=State({OFFLOAD: dependencies.offload}),
        debug=dependencies.debug,
    )
