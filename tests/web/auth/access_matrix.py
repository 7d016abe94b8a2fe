"""Every route with a request that it grants whoever may, and the application in which each finds what it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

from litestar import Litestar, Router
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.testing import AsyncTestClient

from bridge.domain.access import ApiKey, Role, Scope
from bridge.domain.operation import OperationState
from tests.web.auth.access_lab import PASSWORD, AccessLab
from tests.web.conftest import Stub
from tests.web.dashboard.operations_lab import OPERATION, OperationsLab
from web.components.live import LiveConfig
from web.dashboard.mount import dashboard_router
from web.dashboard.pages import dashboard_pages

HELD = "01JYYYYYYYYYYYYYYYYYYYYYYY"
"""An operation that is paused."""
PREVIEW = "/dashboard/operations/preview"
BODY = {"task_id": "t1", "worker_id": "w1", "topic": "charge_card"}


class RouteAccess(NamedTuple):
    """A route, a request that it grants whoever may, and the scope that it needs (None: open to everybody)."""

    route: str
    method: str
    path: str
    scope: Scope | None
    body: dict[str, Any] | None = None
    page: bool = False


TOPIC, ONE = "/dashboard/topics/{name:str}", "/dashboard/operations/{operation_id:str}"
CARD, BEGUN = "/dashboard/topics/charge_card", f"/dashboard/operations/{OPERATION}"
SENT_AGAIN = {"q": "state:failed", "token": OPERATION, "expected": "1"}
OPERATION_PAGES = [
    RouteAccess("/dashboard/topics", "GET", "/dashboard/topics", Scope.READ, page=True),
    RouteAccess(TOPIC, "GET", CARD, Scope.READ, page=True),
    RouteAccess(f"{TOPIC}/pause", "POST", f"{CARD}/pause", Scope.OPERATE, {"reason": "x"}, page=True),
    RouteAccess(f"{TOPIC}/resume", "POST", f"{CARD}/resume", Scope.OPERATE, {"reason": "x"}, page=True),
    RouteAccess("/dashboard/workers", "GET", "/dashboard/workers", Scope.READ, page=True),
    RouteAccess("/dashboard/operations", "GET", "/dashboard/operations", Scope.READ, page=True),
    RouteAccess("/dashboard/operations", "POST", "/dashboard/operations", Scope.OPERATE, SENT_AGAIN, page=True),
    RouteAccess(PREVIEW, "GET", f"{PREVIEW}?q=state:failed", Scope.OPERATE, page=True),
    RouteAccess(PREVIEW, "POST", PREVIEW, Scope.OPERATE, {"q": "state:failed"}, page=True),
    RouteAccess(ONE, "GET", BEGUN, Scope.READ, page=True),
    RouteAccess(f"{ONE}/pause", "POST", f"{BEGUN}/pause", Scope.OPERATE, {"reason": "x"}, page=True),
    RouteAccess(f"{ONE}/resume", "POST", f"{BEGUN}/resume", Scope.OPERATE, {"reason": "x"}, page=True),
    RouteAccess(f"{ONE}/cancel", "POST", f"{BEGUN}/cancel", Scope.OPERATE, {"reason": "x"}, page=True),
    RouteAccess("/dashboard/audit", "GET", "/dashboard/audit", Scope.ADMIN, page=True),
    RouteAccess("/dashboard/audit/export", "POST", "/dashboard/audit/export", Scope.ADMIN, {"who": "x"}, page=True),
]
TASK, T1 = "/dashboard/tasks/{task_id:str}", "/dashboard/tasks/t1"
SEEN = {"state": "failed", "epoch": "1", "updated_at": "2026-01-31T07:59:00+00:00", "reason": "x"}
EDITED = {**SEEN, "variables": '{"amount_cents": 1}'}
LATER = {**SEEN, "at": "2027-01-01T00:00"}
TASK_PAGES = [
    RouteAccess("/dashboard/tasks", "GET", "/dashboard/tasks", Scope.READ, page=True),
    RouteAccess("/dashboard/tasks/columns", "POST", "/dashboard/tasks/columns", Scope.READ, {"query": ""}, page=True),
    RouteAccess("/dashboard/tasks/export", "POST", "/dashboard/tasks/export", Scope.READ, {"format": "csv"}, page=True),
    RouteAccess("/dashboard/tasks/views", "POST", "/dashboard/tasks/views", Scope.OPERATE, {"name": "x"}, page=True),
    RouteAccess(
        "/dashboard/tasks/views/delete", "POST", "/dashboard/tasks/views/delete", Scope.OPERATE, {"id": "x"}, page=True
    ),
    RouteAccess(TASK, "GET", T1, Scope.READ, page=True),
    RouteAccess(f"{TASK}/retry", "POST", f"{T1}/retry", Scope.OPERATE, SEEN, page=True),
    RouteAccess(f"{TASK}/retry-at", "POST", f"{T1}/retry-at", Scope.OPERATE, LATER, page=True),
    RouteAccess(f"{TASK}/retries", "POST", f"{T1}/retries", Scope.OPERATE, {**SEEN, "retries": "3"}, page=True),
    RouteAccess(f"{TASK}/release", "POST", f"{T1}/release", Scope.OPERATE, SEEN, page=True),
    RouteAccess(f"{TASK}/edit", "GET", f"{T1}/edit", Scope.OPERATE, page=True),
    RouteAccess(f"{TASK}/edit", "POST", f"{T1}/edit", Scope.OPERATE, EDITED, page=True),
    RouteAccess(f"{TASK}/reveal", "POST", f"{T1}/reveal", Scope.ADMIN, {"what": "engine:x", "reason": "x"}, page=True),
    RouteAccess("/dashboard/failures", "GET", "/dashboard/failures", Scope.READ, page=True),
]
PEOPLE, BOB = "/dashboard/settings/people", "/dashboard/settings/people/bob"
PERSON, KEYS, KEY = f"{PEOPLE}/{{name:str}}", "/dashboard/settings/keys", "/dashboard/settings/keys/{prefix:str}"
OWN = {"old": "x", "new": "y", "again": "y"}
PREFIX = "abcdefghijkm"
ACCESS_PAGES = [
    RouteAccess(PEOPLE, "GET", PEOPLE, Scope.ADMIN, page=True),
    RouteAccess(PEOPLE, "POST", PEOPLE, Scope.ADMIN, {"name": "eve", "role": "viewer"}, page=True),
    RouteAccess(PERSON, "GET", BOB, Scope.ADMIN, page=True),
    RouteAccess(f"{PERSON}/role", "POST", f"{BOB}/role", Scope.ADMIN, {"role": "admin", "reason": "x"}, page=True),
    RouteAccess(f"{PERSON}/topics", "POST", f"{BOB}/topics", Scope.ADMIN, {"topics": "ship", "reason": "x"}, page=True),
    RouteAccess(f"{PERSON}/password", "POST", f"{BOB}/password", Scope.ADMIN, {"reason": "x"}, page=True),
    RouteAccess(f"{PERSON}/disable", "POST", f"{BOB}/disable", Scope.ADMIN, {"reason": "x"}, page=True),
    RouteAccess(f"{PERSON}/enable", "POST", f"{BOB}/enable", Scope.ADMIN, {"reason": "x"}, page=True),
    RouteAccess(KEYS, "GET", KEYS, Scope.ADMIN, page=True),
    RouteAccess(KEYS, "POST", KEYS, Scope.ADMIN, {"label": "x", "scope": "read"}, page=True),
    RouteAccess(KEY, "GET", f"{KEYS}/{PREFIX}", Scope.ADMIN, page=True),
    RouteAccess(f"{KEY}/revoke", "POST", f"{KEYS}/{PREFIX}/revoke", Scope.ADMIN, {"reason": "x"}, page=True),
]
API_OPERATION = f"/operations/{OPERATION}"
CONFIRMED = {"query": "state:failed", "expected": 1, "reason": "mended", "id": OPERATION}
OPERATIONS = [
    RouteAccess("/operations", "GET", "/operations", Scope.READ),
    RouteAccess("/operations", "POST", "/operations", Scope.OPERATE, CONFIRMED),
    RouteAccess("/operations/preview", "GET", "/operations/preview?q=state:failed", Scope.OPERATE),
    RouteAccess("/operations/{operation_id:str}", "GET", API_OPERATION, Scope.READ),
    RouteAccess("/operations/{operation_id:str}/items", "GET", f"{API_OPERATION}/items", Scope.READ),
    RouteAccess(
        "/operations/{operation_id:str}/pause", "POST", f"{API_OPERATION}/pause", Scope.OPERATE, {"reason": "x"}
    ),
    RouteAccess(
        "/operations/{operation_id:str}/resume", "POST", f"/operations/{HELD}/resume", Scope.OPERATE, {"reason": "x"}
    ),
    RouteAccess(
        "/operations/{operation_id:str}/cancel", "POST", f"{API_OPERATION}/cancel", Scope.OPERATE, {"reason": "x"}
    ),
]
ROUTES = [
    *OPERATIONS,
    RouteAccess("/tasks/search", "GET", "/tasks/search?q=state:failed", Scope.READ),
    RouteAccess("/tasks/{task_id:str}", "GET", "/tasks/t1", Scope.READ),
    RouteAccess("/failures", "GET", "/failures", Scope.READ),
    RouteAccess("/tasks/submit", "POST", "/tasks/submit", Scope.SUBMIT, BODY),
    RouteAccess("/tasks/{task_id:str}/status", "GET", "/tasks/t1/status", Scope.READ),
    RouteAccess("/tasks/{task_id:str}/retry", "POST", "/tasks/t1/retry", Scope.OPERATE),
    RouteAccess("/tasks/statistics", "GET", "/tasks/statistics", Scope.READ),
    RouteAccess("/tasks", "GET", "/tasks", Scope.READ),
    RouteAccess("/dead-letters", "GET", "/dead-letters", Scope.READ),
    RouteAccess("/metrics", "GET", "/metrics", None),
    RouteAccess("/health", "GET", "/health", None),
    RouteAccess("/health/live", "GET", "/health/live", None),
    RouteAccess("/health/ready", "GET", "/health/ready", None),
    RouteAccess("/docs", "GET", "/docs", None),
    RouteAccess("/docs/start.js", "GET", "/docs/start.js", None),
    RouteAccess("/docs/assets/{name:str}", "GET", "/docs/assets/swagger-ui.css", None),
    RouteAccess("/schema", "GET", "/schema", None),
    RouteAccess("/schema/openapi.json", "GET", "/schema/openapi.json", None),
    RouteAccess("/schema/{path:str}", "GET", "/schema/other", None),
    RouteAccess("/dashboard/login", "GET", "/dashboard/login", None, page=True),
    RouteAccess("/dashboard/login", "POST", "/dashboard/login", None, {"name": "x", "password": "y"}, page=True),
    RouteAccess("/dashboard/login/company", "GET", "/dashboard/login/company", None, page=True),
    RouteAccess("/dashboard/login/callback", "GET", "/dashboard/login/callback?code=x&state=y", None, page=True),
    RouteAccess("/dashboard/logout", "POST", "/dashboard/logout", Scope.READ, page=True),
    RouteAccess("/dashboard", "GET", "/dashboard", Scope.READ, page=True),
    RouteAccess("/dashboard/static/{mark:str}/{name:str}", "GET", "/dashboard/static/x/app.css", None, page=True),
    RouteAccess("/dashboard/settings", "GET", "/dashboard/settings", Scope.READ, page=True),
    RouteAccess("/dashboard/settings", "POST", "/dashboard/settings", Scope.READ, {"theme": "dark"}, page=True),
    RouteAccess(
        "/dashboard/settings/sessions", "POST", "/dashboard/settings/sessions", Scope.READ, {"id": "x"}, page=True
    ),
    RouteAccess("/dashboard/settings/password", "POST", "/dashboard/settings/password", Scope.READ, OWN, page=True),
    RouteAccess("/dashboard/{rest:path}", "GET", "/dashboard/no/such/page", Scope.READ, page=True),
    RouteAccess("/dashboard/events", "GET", "/dashboard/events", Scope.READ, page=True),
    *ACCESS_PAGES,
    *OPERATION_PAGES,
    *TASK_PAGES,
]
NOWHERE = "/dashboard/{rest:path}"
"""Who is logged in is told in a page that there is nothing; a stranger must log in first, and learns nothing."""


async def dashboard(lab: AccessLab, stub: Stub | None = None) -> Router:
    """Return all pages; there are operations that they can show, a task that failed, a person and a key.

    The API on `stub` then has the same operations.
    """
    operations = OperationsLab(lab)
    await operations.begin(OPERATION)
    await operations.begin(HELD)
    await operations.bulk.switch(HELD, OperationState.PAUSED)
    if stub is not None:
        stub.store, stub.bulk = operations.dashboard_store, operations.bulk
    await operations.parts.failed("t1")
    await lab.accounts.add_user("bob", Role.VIEWER, PASSWORD)
    await lab.store.add_key(ApiKey(PREFIX, "", "x", frozenset({Scope.READ}), lab.clock.now()))
    at_once = LiveConfig(lifetime=timedelta(0))  # a stream of events would be read to its end
    pages = dashboard_pages(operations.dependencies)
    return dashboard_router(lab.dependencies, live_config=at_once, mounted=pages)


def handlers(app: Litestar) -> Iterator[tuple[str, HTTPRouteHandler]]:
    """Give every route with its path, but for the answers to OPTIONS that Litestar adds."""
    for route in app.routes:
        assert isinstance(route, HTTPRoute), "another kind of route: have the guard and this test learn of it"
        for handler in route.route_handlers:
            if handler.http_methods != {"OPTIONS"}:
                yield route.path, handler


async def send(client: AsyncTestClient[Litestar], asked: RouteAccess, **headers: str) -> Any:
    options: dict[str, Any] = {"data" if asked.page else "json": asked.body} if asked.body else {}
    return await client.request(asked.method, asked.path, headers=headers, **options)
