"""The identity provider that the settings name, for the web."""

from __future__ import annotations

from bridge.domain.access import Role
from bridge.domain.openid import ClaimMapping
from gateway.settings import Settings
from gateway.tls import TlsFiles, tls_context
from web.dashboard.openid_login import CALLBACK, SIGNED_OUT
from web.dependencies import OpenIdConfig


def openid_config(settings: Settings) -> OpenIdConfig | None:
    """Return the provider, and what its claims grant; None where people have passwords alone."""
    if settings.oidc_issuer is None or settings.oidc_client_id is None or settings.public_url is None:
        return None
    # Imported where it is asked for: Authlib and what it needs take a twentieth of the start.
    from bridge.adapters.openid_provider import OpenIdProvider  # noqa: PLC0415

    secret = settings.oidc_client_secret
    provider = OpenIdProvider(
        settings.oidc_issuer,
        settings.oidc_client_id,
        None if secret is None else secret.get_secret_value(),
        redirect_uri=f"{settings.public_url}{CALLBACK}",
        after_logout=f"{settings.public_url}{SIGNED_OUT}",
        scopes=settings.oidc_scopes,
        tls=tls_context(TlsFiles("OIDC", settings.oidc_ca_file), settings.oidc_issuer, "https"),
    )
    values = {
        Role.VIEWER: settings.oidc_viewers,
        Role.OPERATOR: settings.oidc_operators,
        Role.ADMIN: settings.oidc_admins,
    }
    roles = {role: frozenset(names or ()) for role, names in values.items()}
    mapping = ClaimMapping(settings.oidc_name_claim, settings.oidc_role_claim, roles, settings.oidc_topic_claim)
    return OpenIdConfig(provider, mapping, settings.oidc_hide_local_login)
