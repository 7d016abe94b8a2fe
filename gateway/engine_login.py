"""How the settings say that the gateway logs in at the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from bridge.adapters.camunda.client import Tokens
from bridge.adapters.camunda.login import authorization, parse_headers
from bridge.domain.errors import SetupError
from bridge.domain.messages import Message
from gateway.settings import Settings
from gateway.tls import TlsFiles, tls_context


@dataclass(frozen=True, slots=True)
class EngineLogin:
    """What goes with each call: a fixed Authorization header or tokens that are renewed, and headers."""

    credentials: str | None
    tokens: Tokens | None
    headers: Mapping[str, str]


def engine_login(settings: Settings, on_failure: Callable[[Message], None]) -> EngineLogin:
    """Return the login; `on_failure` gets why a token could not be renewed.

    Raises `SetupError` for a login that is incomplete, or for two of them.
    """
    credentials = authorization(settings.camunda_username, settings.camunda_password, settings.camunda_token)
    client = _client(settings)
    headers = parse_headers(settings.camunda_headers)
    if client is not None and credentials is not None:
        raise SetupError(
            "CAMUNDA_OAUTH_TOKEN_URL and CAMUNDA_TOKEN or CAMUNDA_USERNAME/CAMUNDA_PASSWORD: set one kind, not both"
        )
    if (client or credentials) and "authorization" in {name.lower() for name in headers}:
        raise SetupError("CAMUNDA_HEADERS has Authorization, which another setting of the engine's login gives, too")
    tokens = None if client is None else _tokens(*client, settings, on_failure)
    return EngineLogin(credentials, tokens, headers)


def _client(settings: Settings) -> tuple[str, str, SecretStr] | None:
    """Return the token endpoint's address, and the client's id and secret; None where there is no such login."""
    if settings.camunda_oauth_token_url is None:
        parts = ("client_id", "client_secret", "scope", "audience", "ca_file")
        given = [name for part in parts if getattr(settings, name := f"camunda_oauth_{part}") is not None]
        if given:
            raise SetupError(f"{', '.join(given).upper()}: CAMUNDA_OAUTH_TOKEN_URL is missing, so there is no login")
        return None
    if settings.camunda_oauth_client_id is None or settings.camunda_oauth_client_secret is None:
        raise SetupError("CAMUNDA_OAUTH_TOKEN_URL needs CAMUNDA_OAUTH_CLIENT_ID and CAMUNDA_OAUTH_CLIENT_SECRET")
    return (
        settings.camunda_oauth_token_url,
        settings.camunda_oauth_client_id,
        settings.camunda_oauth_client_secret,
    )


def _tokens(
    url: str, client_id: str, secret: SecretStr, settings: Settings, on_failure: Callable[[Message], None]
) -> Tokens:
    # Imported where it is asked for: Authlib and what it needs take a twentieth of the start.
    from bridge.adapters.camunda.oauth import (  # noqa: PLC0415
        ClientAuthentication,
        ClientCredentials,
        OAuthClient,
    )

    client = OAuthClient(
        url,
        client_id,
        secret,
        settings.camunda_oauth_scope,
        settings.camunda_oauth_audience,
        ClientAuthentication(settings.camunda_oauth_client_authentication),
    )
    tls = tls_context(TlsFiles("CAMUNDA_OAUTH", settings.camunda_oauth_ca_file), url, "https")
    return ClientCredentials(client, tls=tls, on_failure=on_failure)
