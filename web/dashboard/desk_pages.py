"""The pages of topics, workers, bulk operations and the audit, put together."""

from __future__ import annotations

from litestar.handlers import HTTPRouteHandler

from web.dashboard.audit import audit_routes
from web.dashboard.desk_operations import OperationsDesk
from web.dashboard.operations import operations_routes
from web.dashboard.preview import preview_routes
from web.dashboard.topics import topics_routes
from web.dashboard.workers import workers_routes


def operations_desk_routes(door: OperationsDesk) -> tuple[HTTPRouteHandler, ...]:
    """Return the routes of these pages, to be mounted under /dashboard."""
    return (
        *topics_routes(door),
        *workers_routes(door),
        *preview_routes(door),
        *operations_routes(door),
        *audit_routes(door),
    )
