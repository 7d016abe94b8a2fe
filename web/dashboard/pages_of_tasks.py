"""All routes of the overview, of tasks and of failures."""

from __future__ import annotations

from litestar.handlers import HTTPRouteHandler

from web.dashboard.desk_tasks import TasksDesk
from web.dashboard.failures import failures_routes
from web.dashboard.overview import overview_routes
from web.dashboard.task import task_routes
from web.dashboard.task_forms import task_form_routes
from web.dashboard.tasks import task_list_routes
from web.dashboard.tasks_export import export_routes


def task_pages(desk: TasksDesk) -> tuple[HTTPRouteHandler, ...]:
    """Return the routes, to be mounted under /dashboard."""
    return (
        *overview_routes(desk),
        *task_list_routes(desk),
        *export_routes(desk),
        *task_routes(desk),
        *task_form_routes(desk),
        *failures_routes(desk),
    )
