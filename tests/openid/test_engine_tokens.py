"""Tokens for the engine, from a real provider."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from bridge.adapters.camunda.oauth import ClientAuthentication, ClientCredentials, OAuthClient
from bridge.domain.errors import TokenUnavailable
from tests.openid.server import CLIENT, SECRET, Provider


async def test_a_token_is_given_and_renewed(provider: Provider) -> None:
    credentials = ClientCredentials(OAuthClient(f"{provider.issuer}/token", CLIENT, SecretStr(SECRET)))
    token = await credentials.current()
    assert await credentials.current() == token
    assert await credentials.replace("one before it") == token


async def test_a_wrong_secret_is_told_and_not_shown(provider: Provider) -> None:
    wrong = SecretStr("an0ther secret & more+%")
    credentials = ClientCredentials(OAuthClient(f"{provider.issuer}/token", CLIENT, wrong))
    with pytest.raises(TokenUnavailable, match="refuses the gateway: invalid_client") as raised:
        await credentials.current()
    assert "an0ther" not in str(raised.value)


async def test_the_secret_may_go_in_the_body(provider: Provider) -> None:
    client = OAuthClient(
        f"{provider.issuer}/token", CLIENT, SecretStr(SECRET), authentication=ClientAuthentication.POST
    )
    assert await ClientCredentials(client).current()
