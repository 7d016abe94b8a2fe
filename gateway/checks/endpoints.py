"""Checks of what else a process needs: its port, the identity provider, the collector of traces."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from bridge.adapters.telemetry.telemetry import wants_traces
from bridge.domain.errors import SetupError
from gateway.checks.check import Check
from gateway.checks.finding import Finding, fault, good, warning
from gateway.identity_provider import openid_config
from gateway.server import listen_on_all
from gateway.wiring import Gateway

_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a socket of all addresses is reached
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_OTLP: Final = 4317


async def _port(gateway: Gateway) -> Sequence[Finding]:
    """Find whether the port is free, or has a gateway already: the doctor may run beside it."""
    settings, part = gateway.settings, "http"
    try:
        listeners = listen_on_all(settings.addresses, settings.port, "PORT")
    except SetupError as error:
        if await _is_gateway(settings.addresses[0], settings.port):
            return (good(part, f"a gateway serves on port {settings.port} already"),)
        change = "choose another PORT, stop what listens there, or set HOST to an address of this machine"
        return (fault(part, "http.port", str(error), change),)
    for listener in listeners:
        listener.close()
    return (good(part, f"port {settings.port} is free on {settings.host}"),)


async def _is_gateway(host: str, port: int) -> bool:
    address = _LOOPBACK.get(host, host)
    url = f"http://[{address}]:{port}/health" if ":" in address else f"http://{address}:{port}/health"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
            session.get(url) as answer,
        ):
            said = await answer.json()
            return isinstance(said, dict) and "components" in said
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return False


async def _provider(gateway: Gateway) -> Sequence[Finding]:
    """Find whether OIDC_ISSUER is that of a provider: its discovery is read, and nobody is logged in."""
    config = openid_config(gateway.settings)
    if config is None:
        return ()
    await config.provider.begin()
    return (good("identity provider", f"{gateway.settings.oidc_issuer}: it tells what it can"),)


async def _traces(_gateway: Gateway) -> Sequence[Finding]:
    """Find whether something listens where spans are sent."""
    part, name = "traces", next((name for name in _ENDPOINTS if os.environ.get(name)), None)
    if not wants_traces(os.environ) or name is None:
        return ()
    endpoint = os.environ[name]
    parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
    try:
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, _OTLP)
        async with asyncio.timeout(5):
            _, writer = await asyncio.open_connection(parts.hostname or "", port)
        writer.close()
    except (OSError, ValueError, TimeoutError) as error:
        says = f"{name}: nothing takes spans at {parts.hostname}:{parts.netloc.rpartition(':')[2]}: {error}"
        change = "check the collector's address, as http://collector:4317; tasks are worked without it, untraced"
        return (warning(part, "traces.away", says, change),)
    return (good(part, f"something listens at {parts.hostname}:{port}"),)


PORT: Final = Check("http", _port, at_start=False)
PROVIDER: Final = Check("identity provider", _provider, lambda gateway: f"OIDC_ISSUER={gateway.settings.oidc_issuer}")
TRACES: Final = Check("traces", _traces)
