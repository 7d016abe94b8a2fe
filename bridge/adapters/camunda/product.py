"""Asks a Camunda 7 engine for its brand and version."""

from __future__ import annotations

from typing import Any

from bridge.adapters.camunda.answers import document
from bridge.adapters.camunda.client import CamundaClient
from bridge.adapters.camunda.telemetry_data import read_telemetry_data
from bridge.domain.engine_product import EngineProduct, engine_product


async def read_product(client: CamundaClient) -> EngineProduct:
    """Return what `/version` and `/telemetry/data` tell. Raises as `ports.engine.Engine` says."""
    version = await client.ask("product", "GET", f"{client.base_url}/version", read=document(_version))
    return engine_product(version, await read_telemetry_data(client, "product", _name))


def _version(row: Any) -> str | None:
    """The version; null where the engine's classes don't come out of its own jar. Source: VersionRestService."""
    found = row["version"]
    return found if isinstance(found, str) and found else None


def _name(row: Any) -> str | None:
    found = (row.get("product") or {}).get("name")
    return found if isinstance(found, str) else None
