"""Requests are timed by their route, and hand the caller's trace on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from litestar.testing import AsyncTestClient

from tests.web.auth.access_lab import open_access
from tests.web.conftest import Client, Stub
from web.app import create_app

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_request_is_told_by_its_route_and_status(stub: Stub) -> None:
    seen: list[tuple[str, str, int]] = []

    def observe(method: str, route: str, status: int, seconds: float) -> None:
        assert seconds >= 0
        seen.append((method, route, status))

    app = create_app(replace(stub.dependencies(open_access()), observe=observe))
    async with AsyncTestClient(app, raise_server_exceptions=False) as client:
        for path in ("/tasks/one/status", "/tasks/two/status", "/health/live", "/tasks/?limit=0"):
            await client.get(path)
        await client.post("/tasks/submit", json={})
        await client.request("BREW", "/health/live")
        await client.get("/no/such/page")
    assert seen == [
        ("GET", "/tasks/{task_id}/status", 404),
        ("GET", "/tasks/{task_id}/status", 404),
        ("GET", "/health/live", 200),
        ("GET", "/tasks", 400),
        ("POST", "/tasks/submit", 400),
    ]


@pytest.mark.parametrize("header", [CALLER, None, "nonsense"])
async def test_a_submission_has_its_callers_trace(client: Client, stub: Stub, header: str | None) -> None:
    body = {"task_id": "t1", "worker_id": "w1", "topic": "charge_card"}
    answer = await client.post("/tasks/submit", json=body, headers={} if header is None else {"traceparent": header})
    assert answer.status_code == 202
    assert [submission.trace for submission in stub.submitted] == [header]
