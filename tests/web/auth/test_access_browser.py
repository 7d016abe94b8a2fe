"""What a browser is told, and what it must prove: headers, policies, and where a form comes from."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient
from structlog.testing import capture_logs

from bridge.domain.access import Role, Scope
from bridge.domain.errors import StoreUnavailable
from tests.web.auth.access_lab import ORIGIN, PASSWORD, AccessLab, browser, with_token
from web.alpine import INTEGRITY, URL, VERSION, Alpine, alpine_from
from web.app import create_app
from web.auth.security import page_policy
from web.dashboard.mount import dashboard_router

PAGE_POLICY = (
    "default-src 'none'; script-src 'nonce-N' https://cdn.jsdelivr.net/npm/@alpinejs/csp@3.17.4/dist/cdn.min.js; "
    "style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
CREDENTIALS = {"name": "ada", "password": PASSWORD}


@pytest.fixture
async def lab() -> AccessLab:
    lab = AccessLab()
    await lab.accounts.add_user("ada", Role.ADMIN, PASSWORD)
    return lab


@pytest.fixture
def app(lab: AccessLab, stub: Any, new_task: Any) -> Litestar:
    stub.reader.tasks = [new_task("t1")]
    return create_app(stub.dependencies(lab.dependencies), [dashboard_router(lab.dependencies)])


@pytest.fixture
async def client(app: Litestar) -> AsyncIterator[AsyncTestClient[Litestar]]:
    async with browser(app) as client:
        yield client


# -- where a change comes from

OWN = [
    {"sec-fetch-site": "same-origin"},
    {"origin": ORIGIN},
    {"origin": "https://evil.example", "sec-fetch-site": "same-origin"},
]
FOREIGN: list[dict[str, str]] = [
    {},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"sec-fetch-site": "cross-site", "origin": ORIGIN},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": ORIGIN + ":8443"},
    {"origin": ORIGIN + ".evil.example"},
    {"origin": ORIGIN.replace("https", "http")},
    {"referer": f"{ORIGIN}/dashboard"},
]
CHANGES = [("/dashboard/logout", {}), ("/tasks/t1/retry", {}), ("/dashboard/login", CREDENTIALS)]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize(("path", "fields"), CHANGES)
async def test_no_other_page_changes_anything(
    app: Litestar, lab: AccessLab, headers: dict[str, str], path: str, fields: dict[str, str]
) -> None:
    secret = await lab.session(Role.ADMIN)
    async with browser(app, secret) as client:
        del client.headers["sec-fetch-site"]
        response = await client.post(path, data=with_token(secret, **fields), headers=headers)
    assert response.status_code == 403
    assert "set-cookie" not in response.headers
    assert await lab.session_service.by_session(secret) is not None


@pytest.mark.parametrize("headers", OWN, ids=str)
async def test_a_page_of_ours_does(app: Litestar, lab: AccessLab, headers: dict[str, str]) -> None:
    secret = await lab.session(Role.ADMIN)
    async with browser(app, secret) as client:
        del client.headers["sec-fetch-site"]
        for path, status in (("/tasks/t1/retry", 202), ("/dashboard/logout", 303)):
            assert (await client.post(path, data=with_token(secret), headers=headers)).status_code == status


async def test_a_form_carries_the_token_of_its_own_session(app: Litestar, lab: AccessLab) -> None:
    secret, others = await lab.session(Role.ADMIN), await lab.session(Role.ADMIN, "mallory")
    async with browser(app, secret) as client:
        for fields in ({}, {"csrf_token": ""}, {"csrf_token": "ä"}, with_token(others), {"csrf_token": secret}):
            for path in ("/dashboard/logout", "/tasks/t1/retry"):
                assert (await client.post(path, data=fields)).status_code == 403, fields
        by_header = {"x-csrf-token": with_token(secret)["csrf_token"]}
        assert (await client.post("/tasks/t1/retry", headers=by_header)).status_code == 202
    assert await lab.session_service.by_session(secret) is not None


async def test_a_key_needs_no_token_and_no_origin(client: Any, lab: AccessLab) -> None:
    del client.headers["sec-fetch-site"]
    headers = {"x-api-key": await lab.key(Scope.OPERATE)}
    assert (await client.post("/tasks/t1/retry", headers=headers)).status_code == 202


async def test_http_is_ours_where_the_settings_say_so(stub: Any) -> None:
    lab = AccessLab(insecure_cookies=True)
    await lab.accounts.add_user("ada", Role.VIEWER, PASSWORD)
    app = create_app(stub.dependencies(lab.dependencies), [dashboard_router(lab.dependencies)])
    async with AsyncTestClient(app, base_url="http://gateway.lan:8000") as client:
        client.follow_redirects = False
        for origin, status in (("http://evil.lan:8000", 403), ("http://gateway.lan:8000", 303)):
            response = await client.post("/dashboard/login", data=CREDENTIALS, headers={"origin": origin})
            assert response.status_code == status


@pytest.mark.parametrize("path", ["/dashboard/logout", "/tasks/t1/retry", "/tasks/submit"])
async def test_no_get_changes_anything(app: Litestar, lab: AccessLab, path: str) -> None:
    async with browser(app, await lab.session(Role.ADMIN)) as client:
        assert (await client.get(path)).status_code == 405


# -- headers


@pytest.mark.parametrize(
    "path",
    ["/dashboard/login", "/dashboard", "/tasks", "/health", "/metrics", "/docs", "/schema/openapi.json", "/nope"],
)
async def test_every_answer_has_its_headers(client: Any, path: str) -> None:
    headers = (await client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["strict-transport-security"].startswith("max-age=")
    assert "camera=()" in headers["permissions-policy"]
    assert headers["cache-control"] == "no-store"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy


async def test_strict_transport_only_over_https(app: Litestar) -> None:
    async with AsyncTestClient(app, base_url="http://testserver.local") as client:
        assert "strict-transport-security" not in (await client.get("/health")).headers


async def test_a_page_has_a_policy_of_its_own(client: Any) -> None:
    policies = [(await client.get("/dashboard/login")).headers["content-security-policy"] for _ in range(2)]
    assert policies[0] != policies[1], "each answer has its own nonce"
    assert {re.sub(r"nonce-[\w-]{24}", "nonce-N", policy) for policy in policies} == {PAGE_POLICY}


def test_alpine_is_one_exact_file() -> None:
    assert f"@{VERSION}/" in URL
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)
    assert INTEGRITY.startswith("sha384-")
    assert alpine_from(None, None) == Alpine(URL, INTEGRITY)
    own = alpine_from("/static/alpine.js", None)
    assert own.integrity is None
    assert "script-src 'nonce-x' 'self';" in page_policy("x", own)
    assert alpine_from("https://cdn.lan/a.js", "sha384-x") == Alpine("https://cdn.lan/a.js", "sha384-x")


# -- failures


async def test_while_the_store_is_away_nobody_comes_in(app: Litestar, lab: AccessLab, check_problem: Any) -> None:
    secret, key = await lab.session(Role.ADMIN), await lab.key(Scope.ADMIN)

    async def away(_: str) -> None:
        raise StoreUnavailable("mongodb://ada:secret@store")

    lab.store.session = lab.store.key = away  # type: ignore[assignment, method-assign]
    with capture_logs():
        async with browser(app, secret) as client:
            response = await client.get("/dashboard")
            assert (response.status_code, response.headers["retry-after"]) == (503, "5")
            assert "secret" not in response.text
            assert "ada" not in response.text
        async with browser(app) as client:
            check_problem(await client.get("/tasks", headers={"x-api-key": key}), 503, "store-unavailable")
            assert (await client.get("/health")).status_code == 200


async def test_no_secret_is_told_or_written_down(app: Litestar, lab: AccessLab) -> None:
    canary = "canary-7f3a-pass"
    await lab.accounts.add_user("carol", Role.ADMIN, canary)
    key = await lab.key(Scope.READ)
    told: list[str] = []
    with capture_logs() as lines:
        async with browser(app) as client:
            for fields in ({"name": canary, "password": canary}, {"name": "carol", "password": canary + "x"}):
                answer = await client.post("/dashboard/login", data=fields)
                told += [answer.text, str(answer.headers)]
            answer = await client.post("/dashboard/login", data={"name": "carol", "password": canary})
            secret = client.cookies["__Host-session"]
            told += [answer.text, (await client.get("/dashboard")).text]
            for path in ("/tasks", "/tasks/submit", "/tasks/none/status", "/nope"):
                answer = await client.get(path, headers={"x-api-key": key})
                told += [answer.text, str(answer.headers)]
            bad = await client.get("/tasks", headers={"x-api-key": key[:-1] + "g"})
            told += [bad.text, str(bad.headers)]
    heard = "\n".join(
        [*told, str(lines), str(lab.journal.told), repr(lab.session_service), repr(await lab.accounts.users())]
    )
    for hidden in (canary, key[-64:], secret):
        assert hidden not in heard
    assert "login_failed" in lab.journal.events()
