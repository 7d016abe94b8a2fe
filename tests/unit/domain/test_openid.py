"""What the claims of an identity provider grant, and who is let in by them."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.domain.access import Role
from bridge.domain.errors import Forbidden, Refusal, SetupError, Unauthenticated
from bridge.domain.openid import ClaimMapping, Grant, Identity
from gateway.identity_provider import openid_config
from gateway.settings import Settings, read_settings
from tests.web.auth.access_lab import PASSWORD, AccessLab

ROLES = {Role.VIEWER: frozenset({"v"}), Role.OPERATOR: frozenset({"o", "o2"}), Role.ADMIN: frozenset({"a"})}
WHO = {"address": "10.0.0.1", "agent": "test"}


def identity(subject: str = "s1", **claims: Any) -> Identity:
    return Identity("https://login.example", subject, claims, "token")


@pytest.mark.parametrize(
    ("claims", "granted"),
    [
        ({"name": " Ada@Example.com ", "g": ["v"]}, Grant("ada@example.com", Role.VIEWER)),
        ({"name": "ada", "g": ["x", "o2", "v"]}, Grant("ada", Role.OPERATOR)),
        ({"name": "ada", "g": "a"}, Grant("ada", Role.ADMIN)),
        ({"name": "ada", "g": ["A", "vv"]}, Grant("ada", None)),
        ({"name": "ada"}, Grant("ada", None)),
        ({"name": "ada", "g": {"v": 1}}, Grant("ada", None)),
        ({"name": "ada", "g": [["v"], 1, None]}, Grant("ada", None)),
    ],
)
def test_the_role(claims: dict[str, Any], granted: Grant) -> None:
    assert ClaimMapping("name", "g", ROLES).grant(identity(**claims)) == granted


@pytest.mark.parametrize(
    ("claims", "granted"),
    [
        ({"g": ["o"], "t": ["ship", "mail"]}, Grant("ada", Role.OPERATOR, frozenset({"ship", "mail"}))),
        ({"g": ["o"], "t": "ship"}, Grant("ada", Role.OPERATOR, frozenset({"ship"}))),
        ({"g": ["o"], "t": ["ship", "*"]}, Grant("ada", Role.OPERATOR)),
        ({"g": ["o"], "t": []}, Grant("ada", None, frozenset())),
        ({"g": ["o"]}, Grant("ada", None, frozenset())),
        ({"g": ["a"]}, Grant("ada", Role.ADMIN)),
    ],
)
def test_the_topics(claims: dict[str, Any], granted: Grant) -> None:
    assert ClaimMapping("name", "g", ROLES, "t").grant(identity(name="ada", **claims)) == granted


def test_a_claim_inside_another_and_one_with_dots_in_its_name() -> None:
    nested = identity(name="ada", realm_access={"roles": ["o"]})
    assert ClaimMapping("name", "realm_access.roles", ROLES).grant(nested).role is Role.OPERATOR
    whole = Identity("https://login.example", "s1", {"name": "ada", "https://a.b/roles": ["o"]}, "token")
    assert ClaimMapping("name", "https://a.b/roles", ROLES).grant(whole).role is Role.OPERATOR
    assert ClaimMapping("name", "realm_access.roles.x", ROLES).grant(nested).role is None


@pytest.mark.parametrize(
    "claims", [{}, {"name": ""}, {"name": 7}, {"name": "a b"}, {"name": "<script>"}, {"name": "x" * 65}]
)
def test_a_name_that_is_none(claims: dict[str, Any]) -> None:
    with pytest.raises(Forbidden):
        ClaimMapping("name", "g", ROLES).grant(identity(g=["a"], **claims))


@pytest.mark.parametrize("verified", [None, False, "true"])
def test_an_address_counts_that_is_verified(verified: object) -> None:
    mapping = ClaimMapping("email", "g", ROLES)
    with pytest.raises(Forbidden, match="verified"):
        mapping.grant(identity(email="ada@x", g=["a"], email_verified=verified))
    assert mapping.grant(identity(email="ada@x", g=["a"], email_verified=True)).role is Role.ADMIN


async def test_the_account_decides_who_it_is_and_not_the_name() -> None:
    lab = AccessLab()
    opened = await lab.session_service.admit(identity(), Grant("ada", Role.OPERATOR, frozenset({"ship"})), **WHO)
    renamed = await lab.session_service.admit(identity(), Grant("lovelace", Role.VIEWER), **WHO)
    assert (opened.session.user, renamed.session.user) == ("ada", "ada")
    (user,) = await lab.accounts.users()
    assert (user.name, user.role, user.topics, user.account) == ("ada", Role.VIEWER, None, "https://login.example s1")
    with pytest.raises(Forbidden, match="taken"):
        await lab.session_service.admit(identity("s2"), Grant("ada", Role.ADMIN), **WHO)
    await lab.accounts.add_user("root", Role.ADMIN, PASSWORD)
    with pytest.raises(Forbidden, match="taken"):
        await lab.session_service.admit(identity("s3"), Grant("root", Role.ADMIN), **WHO)
    found = await lab.session_service.by_session(opened.secret)
    assert found is not None
    assert found.role is Role.VIEWER, "a role counts from the next request on, in every browser"


async def test_who_has_lost_the_role_is_out_everywhere() -> None:
    lab = AccessLab()
    opened = await lab.session_service.admit(identity(), Grant("ada", Role.OPERATOR), **WHO)
    with pytest.raises(Forbidden, match="no role"):
        await lab.session_service.admit(identity(), Grant("ada", None), **WHO)
    assert await lab.session_service.by_session(opened.secret) is None
    await lab.session_service.admit(identity(), Grant("ada", Role.VIEWER), **WHO)
    await lab.accounts.disable("ada")
    with pytest.raises(Forbidden, match="disabled"):
        await lab.session_service.admit(identity(), Grant("ada", Role.ADMIN), **WHO)


async def test_whose_account_is_the_companys_has_no_password_here() -> None:
    lab = AccessLab()
    opened = await lab.session_service.admit(identity(), Grant("ada", Role.OPERATOR), **WHO)
    for password in ("", PASSWORD):
        with pytest.raises(Unauthenticated):
            await lab.session_service.login("ada", password, **WHO)
    with pytest.raises(Unauthenticated):
        await lab.session_service.change_password("ada", "", PASSWORD, keep=opened.session.id)
    for change in (
        lab.accounts.set_password("ada", PASSWORD),
        lab.accounts.set_role("ada", Role.ADMIN),
        lab.accounts.set_topics("ada", ["ship"]),
    ):
        with pytest.raises(Refusal, match="company's account"):
            await change
    assert lab.passwords.compared == [None] * 3


OIDC = {
    "oidc_issuer": "https://login.example/realms/x/",
    "oidc_client_id": "gateway",
    "public_url": "https://gateway.example/",
    "oidc_admins": "a, b",
}


def test_the_settings() -> None:
    assert openid_config(Settings()) is None
    openid = openid_config(read_settings(**OIDC, oidc_topic_claim="t"))
    assert openid is not None
    assert openid.mapping == ClaimMapping(
        "preferred_username",
        "groups",
        {Role.ADMIN: frozenset({"a", "b"}), Role.OPERATOR: frozenset(), Role.VIEWER: frozenset()},
        "t",
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"oidc_client_id": None}, "OIDC_CLIENT_ID"),
        ({"public_url": None}, "PUBLIC_URL"),
        ({"oidc_admins": None}, "OIDC_VIEWERS"),
        ({"oidc_scopes": "profile"}, "openid"),
        ({"oidc_issuer": "http://login.example"}, "https"),
        ({"public_url": "gateway.example"}, "https"),
        ({"oidc_issuer": None, "oidc_hide_local_login": True}, "OIDC_HIDE_LOCAL_LOGIN"),
    ],
)
def test_settings_that_do_not_fit(change: dict[str, object], says: str) -> None:
    with pytest.raises(SetupError, match=says):
        read_settings(**{**OIDC, **change})
