"""An OpenID Connect provider, by Authlib: discovery, the code flow with PKCE, and every check of the id token."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import httpx2
from authlib.integrations.base_client import BaseApp, OAuthError
from authlib.integrations.base_client.async_app import AsyncOAuth2Mixin
from authlib.integrations.base_client.async_openid import AsyncOpenIDMixin
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc.errors import JoseError

from bridge.domain.errors import ProviderUnavailable, Unauthenticated
from bridge.domain.messages import message
from bridge.domain.openid import Identity, LoginRequest
from bridge.domain.tls_faults import tls_fault

_ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)
"""What an id token may be signed by: the provider's own key, never `none` and never a secret that is shared."""

_LEEWAY: Final = 60
"""So many seconds the two clocks may differ."""

_WITHIN: Final = timedelta(seconds=10)
_DISCOVERY: Final = "/.well-known/openid-configuration"


class _Client(AsyncOAuth2Mixin, AsyncOpenIDMixin, BaseApp):  # type: ignore[misc]  # Authlib has no types
    client_cls = AsyncOAuth2Client


class OpenIdProvider:
    """`bridge.ports.identity_provider.IdentityProvider`. Keys are fetched again for one that is unknown.

    `tls` is for an own CA.
    """

    def __init__(
        self,
        issuer: str,
        client_id: str,
        client_secret: str | None,
        *,
        redirect_uri: str,
        after_logout: str,
        scopes: str,
        tls: ssl.SSLContext | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._issuer = issuer.rstrip("/")
        self._client_id = client_id
        self._redirect_uri = redirect_uri
        self._after_logout = after_logout
        self._client = _Client(
            None,
            client_id=client_id,
            client_secret=client_secret,
            server_metadata_url=f"{self._issuer}{_DISCOVERY}",
            client_kwargs={
                "scope": scopes,
                "code_challenge_method": "S256",
                "timeout": _WITHIN.total_seconds(),
                "follow_redirects": False,
                "transport": transport,
                **({} if tls is None else {"verify": tls}),
            },
        )

    async def begin(self) -> LoginRequest:
        with _translated():
            await self._metadata()
            begun = await self._client.create_authorization_url(self._redirect_uri)
            return LoginRequest(begun["url"], begun["state"], begun["nonce"], begun["code_verifier"])

    async def complete(self, code: str, request: LoginRequest) -> Identity:
        with _translated():
            metadata = await self._metadata()
            token = await self._client.fetch_access_token(
                self._redirect_uri, code=code, code_verifier=request.verifier, grant_type="authorization_code"
            )
            claims = await self._checked(token, request.nonce)
            claims = {**await self._user_info(metadata, token, claims), **claims}
            return Identity(self._issuer, claims["sub"], claims, token["id_token"])

    async def logout_url(self, id_token: str) -> str | None:
        with _translated():
            metadata = await self._metadata()
            if not metadata.get("end_session_endpoint"):
                return None
            made = await self._client.create_logout_url(self._after_logout, id_token, client_id=self._client_id)
            return str(made["url"])

    async def _metadata(self) -> Mapping[str, Any]:
        """Return what discovery says (OpenID Connect Discovery 4.3), with the signatures that we take."""
        metadata: dict[str, Any] = await self._client.load_server_metadata()
        if str(metadata.get("issuer", "")).rstrip("/") != self._issuer:
            self._client.server_metadata.clear()
            raise ProviderUnavailable(message("provider.other_issuer", url=f"{self._issuer}{_DISCOVERY}"))
        offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        metadata["id_token_signing_alg_values_supported"] = sorted(_ALGORITHMS.intersection(offered)) or ["RS256"]
        return metadata

    async def _checked(self, token: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        if not isinstance(token.get("id_token"), str):
            raise Unauthenticated(message("provider.no_token"))
        try:
            return await self._parsed(token, nonce)
        except JoseError:
            if self._client.server_metadata.pop("jwks", None) is None:
                raise
            return await self._parsed(token, nonce)  # the provider may have changed its keys, and not their names

    async def _parsed(self, token: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        issuer = self._client.server_metadata["issuer"]
        options = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": self._client_id}}
        claims = await self._client.parse_id_token(token, nonce, claims_options=options, leeway=_LEEWAY)
        if not isinstance(claims.get("sub"), str) or not claims["sub"]:
            raise Unauthenticated(message("provider.no_subject"))
        return dict(claims)

    async def _user_info(
        self, metadata: Mapping[str, Any], token: Mapping[str, Any], claims: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Return what the provider says of the person at its other place (OpenID Connect Core 5.3.2)."""
        if not metadata.get("userinfo_endpoint") or "access_token" not in token:
            return {}
        found: Mapping[str, Any] = await self._client.userinfo(token=token)
        if found.get("sub") != claims["sub"]:
            raise Unauthenticated(message("provider.other_person"))
        return found


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except httpx2.HTTPError as error:
        fault = tls_fault(str(error), "OIDC") or type(error).__name__
        raise ProviderUnavailable(message("provider.no_answer", kind=fault)) from error
    except OAuthError as error:
        raise Unauthenticated(message("provider.refused", error=str(error.error)[:100])) from error
    except JoseError as error:
        raise Unauthenticated(message("provider.token", kind=type(error).__name__)) from error
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ProviderUnavailable(message("provider.unreadable", kind=type(error).__name__)) from error
