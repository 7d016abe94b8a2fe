"""By which names the gateway may be asked: a page whose name resolves to this machine reads nothing that is open."""

from __future__ import annotations

from typing import Any

import pytest
from litestar.testing import AsyncTestClient

from bridge.domain.access import Role
from bridge.domain.errors import WrongHost
from gateway.settings import Settings
from tests.web.auth.access_lab import AccessLab, browser
from web.app import create_app
from web.dashboard.mount import dashboard_router
from web.hosts import AllowedHosts

ALLOWED = [
    None,
    "",
    "localhost",
    "LOCALHOST:8000",
    "localhost.",
    "127.0.0.1:8000",
    "[::1]:8000",
    "10.1.2.3",
    "gateway.example",
    "a.b.tasks.example:443",
]
REFUSED = [
    "evil.example",
    "evil.example:8000",
    "localhost.evil.example",
    "evillocalhost",
    "tasks.example",
    "evil.example@localhost",
    "localhost:x",
    "localhost/evil",
    "[::1",
    "127.0.0.1.evil.example",
    "localhost,evil.example",
]


@pytest.mark.parametrize("host", ALLOWED)
def test_allowed(host: str | None) -> None:
    AllowedHosts(["localhost", "Gateway.example", "*.tasks.example"]).check(host)


@pytest.mark.parametrize("host", REFUSED)
def test_refused(host: str) -> None:
    with pytest.raises(WrongHost, match="ALLOWED_HOSTS"):
        AllowedHosts(["localhost", "gateway.example", "*.tasks.example"]).check(host)
    AllowedHosts(None).check(host)
    AllowedHosts(["*"]).check(host)


def test_where_nobody_is_asked_the_default_is_this_machine() -> None:
    assert Settings(auth="required").hosts is None
    assert Settings(auth="open", host="gateway").hosts == ("localhost", "gateway")
    assert Settings(auth="open", allowed_hosts="a.example, *.b.example").hosts == ("a.example", "*.b.example")


async def test_no_route_answers_another_name(stub: Any, check_problem: Any) -> None:
    lab = AccessLab(open_api=True, allowed_hosts=AllowedHosts(["localhost"]))
    app = create_app(stub.dependencies(lab.dependencies), [dashboard_router(lab.dependencies)])
    async with AsyncTestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        assert (await client.get("/tasks")).status_code == 200
        for path in ("/tasks", "/metrics", "/health", "/schema/openapi.json"):
            refused = await client.get(path, headers={"host": "evil.example"})
            assert "evil.example" in check_problem(refused, 421, "wrong-host")["detail"]
        sent = await client.post("/tasks/t1/retry", headers={"host": "evil.example", "sec-fetch-site": "same-origin"})
        check_problem(sent, 421, "wrong-host")
        assert stub.retried == []
    async with browser(app, await lab.session(Role.VIEWER)) as client:
        page = await client.get("/dashboard", headers={"host": "evil.example"})
        assert (page.status_code, page.headers["content-type"]) == (421, "text/html; charset=utf-8")
