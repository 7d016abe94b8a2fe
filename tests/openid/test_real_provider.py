"""People log in and out at a real identity provider."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from bridge.adapters.openid_provider import OpenIdProvider
from bridge.domain.access import Role
from bridge.domain.openid import ClaimMapping
from bridge.domain.records import AuditEntry
from tests.openid.server import CLIENT, PUBLIC, SECRET, Provider, ProviderBrowser, new_key
from tests.web.auth.access_lab import PASSWORD, AccessLab, browser, with_token
from web.app import create_app
from web.dashboard.mount import dashboard_router
from web.dependencies import OpenIdConfig

ROLES: Mapping[Role, frozenset[str]] = {
    Role.OPERATOR: frozenset({"gateway-operators"}),
    Role.ADMIN: frozenset({"gateway-admins"}),
}
COOKIE = "__Host-session"


class Gate:
    """The gateway's pages before the provider, and what the audit was told."""

    def __init__(self, provider: Provider, stub: Any) -> None:
        self.audit: list[AuditEntry] = []
        self.adapter = OpenIdProvider(
            provider.issuer, CLIENT, SECRET,
            redirect_uri=f"{PUBLIC}/dashboard/login/callback", after_logout=f"{PUBLIC}/dashboard/login",
            scopes="openid profile email",
        )  # fmt: skip
        mapping = ClaimMapping("preferred_username", "groups", ROLES, "topics")
        self.lab = AccessLab(openid=OpenIdConfig(self.adapter, mapping), audit=self._keep)
        self.app: Litestar = create_app(
            stub.dependencies(self.lab.dependencies), [dashboard_router(self.lab.dependencies)]
        )

    async def _keep(self, entry: AuditEntry) -> None:
        self.audit.append(entry)


@pytest.fixture
def gate(provider: Provider, stub: Any) -> Gate:
    return Gate(provider, stub)


@pytest.fixture
async def person() -> AsyncIterator[ProviderBrowser]:
    person = ProviderBrowser()
    yield person
    await person.close()


async def come_in(client: AsyncTestClient[Litestar], person: ProviderBrowser, account: str, path: str = "") -> Any:
    """Go through the whole login, and return the gateway's answer at its end."""
    begun = await client.get(f"/dashboard/login/company{path}")
    assert begun.status_code == 303, begun.text[:500]
    back = await person.log_in(begun.headers["location"], account)
    return await client.get(back.removeprefix(PUBLIC))


async def test_in_and_out_with_the_companys_account(gate: Gate, person: ProviderBrowser) -> None:
    async with browser(gate.app) as client:
        assert "/dashboard/login/company?next=%2Fdashboard%2Fsettings" in html.unescape(
            (await client.get("/dashboard/login?next=/dashboard/settings")).text
        )
        answer = await come_in(client, person, "sub-ana", "?next=/dashboard/settings")
        assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/settings")
        assert "ana" in (await client.get("/dashboard/settings")).text
        user = await gate.lab.accounts.user("ana")
        assert user is not None
        assert (user.role, user.topics, user.password) == (Role.OPERATOR, frozenset({"charge_card"}), "")
        secret = client.cookies[COOKIE]
        left = await client.post("/dashboard/logout", data=with_token(secret))
        assert left.status_code == 200
        away = re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', left.text)
        assert away is not None
        client.cookies.set(COOKIE, secret)
        assert (await client.get("/dashboard")).status_code == 303, "the session here has ended"
    back = await person.log_out(html.unescape(away[1]))
    assert back.partition("?")[0] == f"{PUBLIC}/dashboard/login"
    login, logout = gate.audit
    assert (login.action, login.who, login.role) == ("login", "ana", "operator")
    assert login.after["topics"] == ["charge_card"]
    assert logout.action == "logout"


async def test_roles_are_taken_anew_at_each_login_and_their_loss_ends_the_sessions(
    gate: Gate, provider: Provider
) -> None:
    secrets = []
    for groups in (["gateway-admins"], ["gateway-operators"], ["staff"]):
        provider.accounts["sub-root"] = {"preferred_username": "chief", "groups": groups, "topics": ["*"]}
        await provider.stop()
        await provider.start(new_key())  # with another key: one that is unknown is fetched again
        person = ProviderBrowser()
        async with browser(gate.app) as client:
            answer = await come_in(client, person, "sub-root")
            secrets.append(client.cookies.get(COOKIE))
        await person.close()
        first = await gate.lab.session_service.by_session(secrets[0] or "")
        if groups == ["staff"]:
            assert answer.status_code == 403
            assert "gives no access here" in answer.text
            assert [await gate.lab.session_service.by_session(secret) for secret in secrets[:2] if secret] == [
                None,
                None,
            ]
        else:
            assert answer.status_code == 303
            assert first is not None
            assert first.role == (Role.ADMIN if groups == ["gateway-admins"] else Role.OPERATOR)
    assert gate.audit[-1].action == "login.failed"


async def test_a_name_of_somebody_else_opens_nothing(gate: Gate, person: ProviderBrowser) -> None:
    await gate.lab.accounts.add_user("chief", Role.ADMIN, PASSWORD)
    async with browser(gate.app) as client:
        answer = await come_in(client, person, "sub-root")
        assert answer.status_code == 403
        assert COOKIE not in client.cookies
        answer = await client.post("/dashboard/login", data={"name": "chief", "password": PASSWORD})
        assert answer.status_code == 303, "the way by a password is there for emergencies"


async def test_a_code_opens_once_and_in_its_own_browser_only(gate: Gate, person: ProviderBrowser) -> None:
    async with browser(gate.app) as client:
        begun = await client.get("/dashboard/login/company")
        for part in ("httponly", "secure", "samesite=lax"):
            assert part in begun.headers["set-cookie"].lower()
        kept = dict(client.cookies)
        back = (await person.log_in(begun.headers["location"], "sub-ana")).removeprefix(PUBLIC)
        client.cookies.clear()
        assert (await client.get(back)).status_code == 401, "no login was begun in a browser without the cookie"
        await client.get("/dashboard/login/company")
        assert (await client.get(back)).status_code == 401, "the state is of another login"
        for status in (303, 401):  # the provider takes a code once
            client.cookies.clear()
            for name, value in kept.items():
                client.cookies.set(name, value)
            assert (await client.get(back)).status_code == status


async def test_a_provider_that_is_away_is_told(gate: Gate, provider: Provider) -> None:
    await provider.stop()
    async with browser(gate.app) as client:
        answer = await client.get("/dashboard/login/company")
        assert answer.status_code == 503
        assert "try again later" in answer.text.lower()
        assert 'name="password"' in answer.text
