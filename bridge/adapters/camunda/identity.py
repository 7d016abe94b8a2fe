"""Asks a Camunda 7 engine which database it works on."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import quote

from bridge.adapters.camunda.answers import rows
from bridge.adapters.camunda.telemetry_data import Client, read_telemetry_data


class CamundaIdentity:
    """`bridge.flow.engine.identity.IdentityProbe` on Camunda's REST interface.

    The id of the installation is kept in the database (ACT_GE_PROPERTY), so it goes with a backup and a replica. Only
    an admin is told it where authorization is on, and engines before 7.15 don't know it.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def installation(self) -> str | None:
        return await read_telemetry_data(self._client, "identity", _installation)

    async def existing_definitions(self, ids: Collection[str]) -> Collection[str]:
        if not ids:
            return ()
        query = f"processDefinitionIdIn={quote(','.join(sorted(ids)), safe='')}&maxResults={len(ids)}"
        url = f"{self._client.base_url}/process-definition?{query}"
        return await self._client.ask_past_guard("identity", url, read=rows(lambda row: str(row["id"])))


def _installation(row: Any) -> str | None:
    found = row.get("installation")
    return found if isinstance(found, str) and found else None
