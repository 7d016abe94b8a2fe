"""HEAD answers as GET does, without a body."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.domain.access import Role, Scope
from tests.web.auth.access_lab import AccessLab, browser
from web.app import create_app
from web.dashboard.mount import dashboard_router

OPEN = ["/health", "/health/live", "/metrics", "/docs", "/schema/openapi.json"]


@pytest.mark.parametrize("path", OPEN)
async def test_an_open_route(client: Any, path: str) -> None:
    got, head = await client.get(path), await client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert head.headers["content-length"] == got.headers["content-length"]


async def test_who_asks_is_looked_at_as_ever(stub: Any, new_task: Any) -> None:
    lab = AccessLab()
    stub.reader.tasks = [new_task("t1")]
    app = create_app(stub.dependencies(lab.dependencies), [dashboard_router(lab.dependencies)])
    async with browser(app) as client:
        assert (await client.head("/tasks/t1/status")).status_code == 401
        assert (await client.head("/dashboard")).status_code == 303
        headers = {"x-api-key": await lab.key(Scope.READ)}
        assert (await client.head("/tasks/t1/status", headers=headers)).status_code == 200
        assert (await client.head("/tasks/submit", headers=headers)).status_code == 405


@pytest.mark.parametrize("method", ["DELETE", "OPTIONS"])
async def test_head_is_named_where_get_is(client: Any, method: str) -> None:
    named = {path: (await client.request(method, path)).headers["allow"] for path in ("/tasks", "/tasks/submit")}
    assert named == {"/tasks": "GET, HEAD, OPTIONS", "/tasks/submit": "OPTIONS, POST"}
    assert "allow" not in (await client.get("/health/live")).headers


async def test_a_stream_ends_with_its_head(stub: Any) -> None:
    lab = AccessLab()
    app = create_app(stub.dependencies(lab.dependencies), [dashboard_router(lab.dependencies)])
    async with browser(app, await lab.session(Role.VIEWER)) as client, asyncio.timeout(10):
        response = await client.head("/dashboard/events")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"].startswith("text/event-stream")
