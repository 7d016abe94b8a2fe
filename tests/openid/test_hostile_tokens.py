"""An id token that is not good opens nothing, whatever is wrong with it; and what the provider may get wrong."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from bridge.adapters.openid_provider import OpenIdProvider
from bridge.domain.errors import ProviderUnavailable, Unauthenticated
from bridge.domain.openid import LoginRequest

ISSUER, CLIENT, SECRET = "https://login.example/realm", "gateway", "a client's secret of 32 characters"
KEY, OTHER = RSAKey.generate_key(2048, {"kid": "one"}), RSAKey.generate_key(2048, {"kid": "one"})


class FakeProvider:
    """Answers as a provider does, with what a test puts into the token and around it."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/auth",
            "token_endpoint": f"{ISSUER}/token",
            "userinfo_endpoint": f"{ISSUER}/me",
            "jwks_uri": f"{ISSUER}/jwks",
            "end_session_endpoint": f"{ISSUER}/end",
            "id_token_signing_alg_values_supported": ["none", "HS256", "RS256"],
        }
        self.claims: dict[str, Any] = {}
        self.info: Mapping[str, Any] = {"sub": "s1", "groups": ["a"]}
        self.key, self.published, self.header = KEY, KEY, {"alg": "RS256", "kid": "one"}
        self.status = 200
        self.token: dict[str, Any] | None = None
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.adapter = OpenIdProvider(
            ISSUER, CLIENT, SECRET, redirect_uri="https://gateway.example/back", after_logout="https://gateway.example/",
            scopes="openid", transport=httpx2.MockTransport(self.answer),
        )  # fmt: skip

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path.removeprefix("/realm")
        self.asked.append((path, parse_qs(request.content.decode())))
        if path == "/token":
            return httpx2.Response(
                self.status, json=self.token or {"access_token": "x", "token_type": "Bearer", **self.signed()}
            )
        bodies = {
            "/.well-known/openid-configuration": self.metadata,
            "/jwks": {"keys": [self.published.as_dict(private=False)]},
            "/me": self.info,
        }
        return httpx2.Response(200, json=bodies[path])

    def signed(self) -> dict[str, str]:
        now = int(time.time())
        claims = {"iss": ISSUER, "sub": "s1", "aud": CLIENT, "iat": now, "exp": now + 60, "nonce": "n1", **self.claims}
        claims = {name: value for name, value in claims.items() if value is not None}
        return {"id_token": jwt.encode(self.header, claims, self.key, algorithms=["RS256", "HS256"])}

    async def log_in(self) -> Mapping[str, Any]:
        return (await self.adapter.complete("code", LoginRequest("", "s", "n1", "v" * 48))).claims


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider()


async def test_the_flow(provider: FakeProvider) -> None:
    begun = await provider.adapter.begin()
    query = parse_qs(urlsplit(begun.url).query)
    assert query["code_challenge_method"] == ["S256"]
    assert (query["state"], query["nonce"]) == ([begun.state], [begun.nonce])
    assert begun.verifier not in begun.url
    assert min(len(begun.state), len(begun.nonce)) >= 20
    assert len(begun.verifier) >= 43
    claims = await provider.log_in()
    assert (claims["sub"], claims["groups"]) == ("s1", ["a"]), "what user info adds counts"
    sent = next(form for path, form in provider.asked if path == "/token")
    assert (sent["code"], sent["code_verifier"], sent["grant_type"]) == (["code"], ["v" * 48], ["authorization_code"])
    url = await provider.adapter.logout_url("hint")
    assert url is not None
    assert parse_qs(urlsplit(url).query)["id_token_hint"] == ["hint"]
    provider.adapter._client.server_metadata.pop("end_session_endpoint")
    assert await provider.adapter.logout_url("hint") is None


WRONG: Mapping[str, dict[str, Any]] = {
    "issuer": {"iss": "https://evil.example"},
    "no issuer": {"iss": None},
    "audience": {"aud": "another"},
    "audience without us, for us": {"aud": "another", "azp": CLIENT},
    "no audience": {"aud": None},
    "two audiences, meant for the other": {"aud": [CLIENT, "another"], "azp": "another"},
    "expired": {"exp": int(time.time()) - 600},
    "no expiry": {"exp": None},
    "from the future": {"iat": int(time.time()) + 6000, "nbf": int(time.time()) + 6000},
    "nonce": {"nonce": "n2"},
    "no nonce": {"nonce": None},
    "access token of another": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    "no subject": {"sub": None},
    "empty subject": {"sub": ""},
}


@pytest.mark.parametrize("claims", WRONG.values(), ids=WRONG.keys())
async def test_a_claim_that_is_wrong(provider: FakeProvider, claims: dict[str, Any]) -> None:
    provider.claims = claims
    with pytest.raises(Unauthenticated):
        await provider.log_in()


def _unsigned(provider: FakeProvider) -> None:
    head, body, _ = provider.signed()["id_token"].split(".")
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).decode().rstrip("=")
    provider.token = {"access_token": "x", "token_type": "Bearer", "id_token": f"{head}.{body}."}


def _by_the_secret(provider: FakeProvider) -> None:
    provider.key = OctKey.import_key(SECRET)  # type: ignore[assignment]
    provider.header = {"alg": "HS256"}


def _by_the_secret_under_the_keys_name(provider: FakeProvider) -> None:
    _by_the_secret(provider)
    provider.header = {"alg": "HS256", "kid": "one"}


def _by_another_key(provider: FakeProvider) -> None:
    provider.key = OTHER


def _none_at_all(provider: FakeProvider) -> None:
    provider.token = {"access_token": "x", "token_type": "Bearer"}


def _garbage(provider: FakeProvider) -> None:
    provider.token = {"access_token": "x", "token_type": "Bearer", "id_token": "a.b.c"}


def _of_another(provider: FakeProvider) -> None:
    provider.info = {"sub": "s2", "groups": ["admins"]}


def _refused(provider: FakeProvider) -> None:
    provider.status, provider.token = 400, {"error": "invalid_grant"}


HOSTILE = [
    _unsigned,
    _by_the_secret,
    _by_the_secret_under_the_keys_name,
    _by_another_key,
    _none_at_all,
    _garbage,
    _of_another,
    _refused,
]


@pytest.mark.parametrize("spoil", HOSTILE)
async def test_a_token_that_is_no_good(provider: FakeProvider, spoil: Callable[[FakeProvider], None]) -> None:
    spoil(provider)
    with pytest.raises(Unauthenticated) as caught:
        await provider.log_in()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("kid", ["one", "two"])
async def test_another_key_is_fetched_once(provider: FakeProvider, kid: str) -> None:
    await provider.log_in()
    provider.key = provider.published = RSAKey.generate_key(2048, {"kid": kid})
    provider.header = {"alg": "RS256", "kid": kid}
    await provider.log_in()
    assert [path for path, _ in provider.asked].count("/jwks") == 2
    await provider.log_in()
    assert [path for path, _ in provider.asked].count("/jwks") == 2


async def test_another_issuer_at_the_address_is_none(provider: FakeProvider) -> None:
    provider.metadata["issuer"] = "https://evil.example"
    with pytest.raises(ProviderUnavailable, match="OIDC_ISSUER"):
        await provider.adapter.begin()
    provider.metadata["issuer"] = ISSUER
    assert (await provider.adapter.begin()).url, "it is asked again"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"issuer": 1}'])
async def test_what_is_no_provider(provider: FakeProvider, body: bytes) -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=body))
    adapter = OpenIdProvider(
        ISSUER, CLIENT, None, redirect_uri="https://a/", after_logout="https://a/", scopes="openid", transport=transport
    )
    with pytest.raises(ProviderUnavailable):
        await adapter.begin()
