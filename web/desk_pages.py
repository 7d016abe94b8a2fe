"""The pages of topics, workers, bulk operations and the audit, put together."""

from __future__ import annotations

from litestar.handlers import HTTPRouteHandler

from web.audit_page import audit_routes
from web.desk_operations import OperationsDesk
from web.operations_page import operations_routes
from web.preview_page import preview_routes
from web.topics_page import topics_routes
from web.workers_page import workers_routes


def operations_desk_routes(door: OperationsDesk) -> tuple[HTTPRouteHandler, ...]:
    """Return the routes of these pages, to be mounted under /dashboard."""
    return (
        *topics_routes(door),
        *workers_routes(door),
        *preview_routes(door),
        *operations_routes(door),
        *audit_routes(door),
    )
