"""The identity provider that people log in at."""

from __future__ import annotations

from typing import Protocol

from bridge.domain.openid import Identity, LoginRequest


class IdentityProvider(Protocol):
    """An OpenID Connect provider. Raises `ProviderUnavailable` when it can't be reached, or is no such provider."""

    async def begin(self) -> LoginRequest:
        """Begin a login: the authorization code flow with PKCE."""
        ...

    async def complete(self, code: str, request: LoginRequest) -> Identity:
        """Exchange the code, and check the id token. Raises `Unauthenticated` where either is not good."""
        ...

    async def logout_url(self, id_token: str) -> str | None:
        """Return where the browser ends the login at the provider; None where the provider has no such place."""
        ...
