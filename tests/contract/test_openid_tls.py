"""An identity provider with a CA of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.domain.errors import ProviderUnavailable
from gateway.identity_provider import openid_config
from gateway.settings import read_settings
from tests.certificates import HOST, Certificates, tls_relay


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_a_provider_with_an_own_ca(is_trusted: bool, tmp_path: Path) -> None:
    certificates, issuer = Certificates(tmp_path), ""

    async def discovery(_request: web.Request) -> web.Response:
        return web.json_response({"issuer": issuer, "authorization_endpoint": f"{issuer}/auth"})

    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", discovery)
    async with (
        TestServer(app) as server,
        tls_relay(certificates.server(), ("127.0.0.1", server.port or 0)) as port,
    ):
        issuer = f"https://{HOST}:{port}"
        settings = read_settings(
            oidc_issuer=issuer,
            oidc_client_id="gateway",
            public_url="https://gateway.example",
            oidc_admins="a",
            oidc_ca_file=certificates.ca_file if is_trusted else certificates.other_ca_file,
        )
        config = openid_config(settings)
        assert config is not None
        if is_trusted:
            assert (await config.provider.begin()).url.startswith(f"{issuer}/auth?")
            return
        with pytest.raises(ProviderUnavailable, match=r"not trusted .* OIDC_CA_FILE"):
            await config.provider.begin()
