"""The routes of all pages that show tasks, topics, workers, bulk operations and the audit."""

from __future__ import annotations

from litestar.handlers import HTTPRouteHandler

from web.dashboard.audit import audit_routes
from web.dashboard.dependencies import DashboardDependencies
from web.dashboard.failures import failures_routes
from web.dashboard.operations import operations_routes
from web.dashboard.overview import overview_routes
from web.dashboard.preview import preview_routes
from web.dashboard.task import task_routes
from web.dashboard.task_forms import task_form_routes
from web.dashboard.tasks import task_list_routes
from web.dashboard.tasks_export import export_routes
from web.dashboard.topics import topics_routes
from web.dashboard.workers import workers_routes


def dashboard_pages(dependencies: DashboardDependencies) -> tuple[HTTPRouteHandler, ...]:
    """Return the routes, to be mounted under /dashboard."""
    return (
        *overview_routes(dependencies),
        *task_list_routes(dependencies),
        *export_routes(dependencies),
        *task_routes(dependencies),
        *task_form_routes(dependencies),
        *failures_routes(dependencies),
        *topics_routes(dependencies),
        *workers_routes(dependencies),
        *preview_routes(dependencies),
        *operations_routes(dependencies),
        *audit_routes(dependencies),
    )
