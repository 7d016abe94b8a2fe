"""Login and logout in a browser: which cookie there is, where it leads, and what a stranger is told."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from bridge.domain.access import Role, new_secret
from tests.web.auth.access_lab import LIFETIME, PASSWORD, AccessLab, browser, company_login, with_token
from web.app import create_app
from web.dashboard.login import safe_next
from web.dashboard.mount import dashboard_router

CREDENTIALS = {"name": "ada", "password": PASSWORD}


@pytest.fixture
async def lab() -> AccessLab:
    lab = AccessLab()
    await lab.accounts.add_user("ada", Role.OPERATOR, PASSWORD)
    return lab


@pytest.fixture
def app(lab: AccessLab, stub: Any) -> Litestar:
    return create_app(stub.dependencies(lab.dependencies), [dashboard_router(lab.dependencies)])


@pytest.fixture
async def client(app: Litestar) -> AsyncIterator[AsyncTestClient[Litestar]]:
    async with browser(app) as client:
        yield client


def cookie_of(response: Any) -> Any:
    (morsel,) = SimpleCookie(response.headers["set-cookie"]).values()
    return morsel


async def test_from_the_login_to_the_dashboard_and_out_again(client: Any, lab: AccessLab) -> None:
    assert "<form" in (await client.get("/dashboard/login")).text
    response = await client.post("/dashboard/login", data=CREDENTIALS)
    assert (response.status_code, response.headers["location"]) == (303, "/dashboard")
    page = await client.get("/dashboard")
    assert page.status_code == 200
    assert "ada" in page.text
    assert (await client.get("/dashboard/login")).headers["location"] == "/dashboard"
    token = re.search(r'name="csrf_token" value="(\w+)"', page.text)
    assert token is not None
    cookie = client.cookies["__Host-session"]
    response = await client.post("/dashboard/logout", data={"csrf_token": token[1]})
    assert (response.status_code, response.headers["location"]) == (303, "/dashboard/login")
    assert cookie_of(response)["max-age"] == "0"
    client.cookies.set("__Host-session", cookie)
    assert (await client.get("/dashboard")).status_code == 303, "the session itself has ended, not only its cookie"
    assert lab.journal.events() == ["user_added", "login", "logout"]


@pytest.mark.parametrize("insecure", [False, True])
async def test_the_cookie(stub: Any, insecure: bool) -> None:
    lab = AccessLab(insecure_cookies=insecure)
    await lab.accounts.add_user("ada", Role.VIEWER, PASSWORD)
    app = create_app(stub.dependencies(lab.dependencies), [dashboard_router(lab.dependencies)])
    async with browser(app) as client:
        morsel = cookie_of(await client.post("/dashboard/login", data=CREDENTIALS))
        assert morsel.key == ("session" if insecure else "__Host-session")
        assert bool(morsel["secure"]) is not insecure
        assert morsel["httponly"]
        assert morsel["samesite"].lower() == "lax"
        assert (morsel["path"], morsel["domain"]) == ("/", "")
        assert timedelta(seconds=int(morsel["max-age"])) == LIFETIME
    other = "__Host-session" if insecure else "session"
    async with browser(app, morsel.value, other) as client:
        assert (await client.get("/dashboard")).status_code == 303


async def test_a_planted_session_does_not_survive_the_login(app: Litestar, lab: AccessLab) -> None:
    planted = new_secret()
    for before in (planted, (await lab.session_service.login("ada", PASSWORD, address="x", agent="")).secret):
        async with browser(app, before) as client:
            response = await client.post("/dashboard/login", data=CREDENTIALS)
            assert response.status_code == 303
            after = cookie_of(response).value
        assert after != before
        assert await lab.session_service.by_session(before) is None
        assert await lab.session_service.by_session(after) is not None


async def test_a_session_ends_by_itself(app: Litestar, lab: AccessLab) -> None:
    async with browser(app, await lab.session(Role.VIEWER)) as client:
        assert (await client.get("/dashboard")).status_code == 200
        lab.clock.moment += LIFETIME
        assert (await client.get("/dashboard?range=1h")).headers[
            "location"
        ] == "/dashboard/login?next=/dashboard%3Frange%3D1h"


async def test_a_stranger_learns_nothing_from_the_answer(client: Any, lab: AccessLab) -> None:
    await lab.accounts.add_user("gone", Role.VIEWER, PASSWORD)
    await lab.accounts.disable("gone")
    answers, work = set(), []
    for name, password in (("ada", "wrong"), ("nobody", "wrong"), ("gone", PASSWORD), ("", ""), ("$ne", "x")):
        before = len(lab.passwords.compared)
        response = await client.post("/dashboard/login", data={"name": name, "password": password})
        work.append(len(lab.passwords.compared) - before)
        answers.add(
            (response.status_code, re.sub(r'nonce="[\w-]+"', "", response.text), "set-cookie" in response.headers)
        )
    assert len(answers) == 1
    assert work == [1] * 5


async def test_too_many_tries_are_told_to_wait(client: Any, lab: AccessLab) -> None:
    for _ in range(5):
        assert (await client.post("/dashboard/login", data=CREDENTIALS | {"password": "x"})).status_code == 401
    response = await client.post("/dashboard/login", data=CREDENTIALS)
    assert (response.status_code, response.headers["retry-after"]) == (429, "2")
    assert "2 s" in response.text
    lab.clock.pass_(seconds=2)
    assert (await client.post("/dashboard/login", data=CREDENTIALS)).status_code == 303


@pytest.mark.parametrize(
    "data",
    [
        {"name[$ne]": "", "password[$ne]": ""},
        {"name": ["ada", "bob"], "password": PASSWORD},
        {**CREDENTIALS, "role": "admin"},
        {"name": "a" * 257, "password": "x"},
        {"name": "ada", "password": "x" * 1025},
    ],
)
async def test_a_form_has_its_own_fields_and_no_others(client: Any, lab: AccessLab, data: dict[str, Any]) -> None:
    response = await client.post("/dashboard/login", data=data)
    assert response.status_code == 400
    assert "set-cookie" not in response.headers
    assert lab.passwords.compared == []


@pytest.mark.parametrize("body", [{"name": {"$ne": None}, "password": {"$ne": None}}, {"$where": "1"}, [], "x"])
async def test_a_body_that_is_no_form_is_refused(client: Any, lab: AccessLab, body: Any) -> None:
    assert (await client.post("/dashboard/login", json=body)).status_code == 400
    assert lab.passwords.compared == []


async def test_a_form_that_is_too_large_is_refused(client: Any) -> None:
    response = await client.post("/dashboard/login", data={"name": "x" * 20_000})
    assert response.status_code == 413


async def test_a_file_is_no_form_field(client: Any) -> None:
    response = await client.post("/dashboard/login", files={"name": b"ada", "password": b"x"})
    assert response.status_code == 400


FOREIGN = [
    "https://evil.example/dashboard",
    "//evil.example/dashboard",
    "///evil.example",
    "///dashboard",
    "///dashboard/tasks?q=x",
    "//dashboard",
    "////dashboard",
    "/%2fdashboard",
    "/.//dashboard",
    ":///dashboard",
    "///dashboard@evil.example",
    "/\\dashboard",
    "\\\\dashboard",
    "/\t/dashboard",
    "\t/dashboard",
    " /dashboard",
    "dashboard",
    "/\\evil.example",
    "/dashboard\\..\\evil",
    "/dashboard/../\\evil.example",
    "/dashboard/..//evil.example",
    "/dashboard/%2e%2e/tasks",
    "/dashboardx",
    "/tasks",
    "javascript:alert(1)",
    "/dashboard\r\nSet-Cookie: a=b",
    "/dashboard\n",
    "/dashboard\t",
    "\u2028/dashboard",
    "/dashboard/login",
    "/dashboard/login?next=/dashboard/login",
    "/dashboard/login/company",
    "/dashboard/logout",
    "",
]


@pytest.mark.parametrize("target", FOREIGN)
async def test_the_login_leads_nowhere_else(app: Litestar, target: str) -> None:
    assert safe_next(target) == "/dashboard"
    async with browser(app) as client:
        response = await client.post("/dashboard/login", data=CREDENTIALS | {"next": target})
        assert (response.status_code, response.headers["location"]) == (303, "/dashboard")
        response = await client.get("/dashboard/login", params={"next": target})
        assert response.headers["location"] == "/dashboard"


@pytest.mark.parametrize(
    "target", ["/dashboard", "/dashboard/tasks?q=state:failed&sort=-updated", "/dashboard/tasks/t1"]
)
async def test_the_login_leads_to_what_was_wanted(client: Any, target: str) -> None:
    page = await client.get("/dashboard/login", params={"next": target})
    assert f'value="{target.replace("&", "&amp;")}"' in page.text
    response = await client.post("/dashboard/login", data=CREDENTIALS | {"next": target})
    assert response.headers["location"] == target


async def test_an_address_of_many_slashes_leads_to_no_other_host(client: Any) -> None:
    response = await client.request("GET", "https://testserver.local///dashboard/tasks")
    assert response.headers.get("location", "/dashboard/login").startswith("/dashboard/login")


async def test_the_password_is_hidden_where_the_company_logs_in_and_is_there_in_an_emergency(stub: Any) -> None:
    lab = AccessLab(openid=company_login(hide_password=True))
    await lab.accounts.add_user("ada", Role.ADMIN, PASSWORD)
    app = create_app(stub.dependencies(lab.dependencies), [dashboard_router(lab.dependencies)])
    async with browser(app) as client:
        page = (await client.get("/dashboard/login")).text
        assert "/dashboard/login/company" in page
        assert 'name="password"' not in page
        assert 'name="password"' in (await client.get("/dashboard/login?password=yes")).text
        assert (await client.post("/dashboard/login", data=CREDENTIALS)).status_code == 303
        token = with_token(client.cookies["__Host-session"])
        left = await client.post("/dashboard/logout", data=token)
        assert (left.status_code, left.headers["location"]) == (303, "/dashboard/login")


async def test_what_is_typed_comes_back_nowhere(client: Any) -> None:
    hostile = '"><script>alert(1)</script>'
    response = await client.get("/dashboard/login", params={"next": f"/dashboard/{hostile}"})
    assert "<script>" not in response.text
    response = await client.post("/dashboard/login", data={"name": hostile, "password": hostile, "next": hostile})
    assert "alert(1)" not in response.text


async def test_the_login_speaks_the_browsers_language(client: Any) -> None:
    for accepted, word, language in (
        ("pt-BR,pt;q=0.9,en;q=0.8", "Senha", "pt-BR"),
        ("en;q=0.8,pt;q=0.5", "Password", "en"),
        ("de", "Password", "en"),
        (";;q=x,,", "Password", "en"),
    ):
        page = await client.get("/dashboard/login", headers={"accept-language": accepted})
        assert word in page.text
        assert f'<html lang="{language}"' in page.text


async def test_a_change_of_somebody_logged_out_must_be_sent_again(app: Litestar) -> None:
    secret = new_secret()
    async with browser(app, secret) as client:
        response = await client.post("/dashboard/logout", data=with_token(secret))
    assert (response.status_code, response.headers["location"]) == (303, "/dashboard/login")
