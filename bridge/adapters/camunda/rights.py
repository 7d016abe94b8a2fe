"""The rights of the user in a Camunda 7 engine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlencode

from bridge.adapters.camunda.answers import Read, document, rows
from bridge.domain.errors import EngineRejected
from bridge.domain.rights import GRANTS, Grant, MissingRight, Right

T = TypeVar("T")

_MOST_DEFINITIONS: Final = 50
_UNAUTHENTICATED: Final = 401


class Client(Protocol):
    """What is used of `CamundaClient`."""

    base_url: str

    async def ask(self, operation: str, method: str, url: str, *, read: Read[T]) -> T: ...


async def find_missing_rights(client: Client, definitions: Collection[str]) -> Sequence[MissingRight]:
    """Return the rights that the user lacks; none where the engine has no users or checks no rights.

    Authorization off: the engine says yes to everything. Nobody logged in: it refuses the question (401), and does not
    check either, as there is no user whose rights it could check (measured on 7.24).
    """
    try:
        lacking = [right for right in Right if not await _may(client, right, None)]
    except EngineRejected as error:
        if error.status == _UNAUTHENTICATED:
            return ()
        raise
    if not lacking:
        return ()
    if definitions:
        pairs = [(right, key) for right in lacking for key in sorted(definitions)]
        return [MissingRight(right, key) for right, key in pairs if not await _may(client, right, key)]
    seen = await _seen_definitions(client)
    return [MissingRight(right) for right in lacking if not await _may_any(client, right, seen)]


async def _may_any(client: Client, right: Right, definitions: Sequence[str]) -> bool:
    for key in definitions:
        if await _may(client, right, key):
            return True
    return False


async def _may(client: Client, right: Right, definition: str | None) -> bool:
    """Return whether the user has one of the right's grants: on all resources, or on one process definition."""
    for grant in GRANTS[right]:
        if (definition is None or grant.resource.of_definitions) and await _has(client, grant, definition):
            return True
    return False


async def _has(client: Client, grant: Grant, definition: str | None) -> bool:
    query = {
        "permissionName": grant.permission,
        "resourceName": grant.resource.value,
        "resourceType": str(grant.resource.number),
    }
    if definition is not None:
        query["resourceId"] = definition
    url = f"{client.base_url}/authorization/check?{urlencode(query)}"
    return await client.ask("check_rights", "GET", url, read=document(_authorized))


def _authorized(row: Any) -> bool:
    return bool(row["authorized"])


async def _seen_definitions(client: Client) -> Sequence[str]:
    """Return the keys of the process definitions that the user sees, or whose tasks they see."""
    definitions = f"{client.base_url}/process-definition?latestVersion=true&maxResults={_MOST_DEFINITIONS}"
    tasks = f"{client.base_url}/external-task?maxResults={_MOST_DEFINITIONS}"
    by_definition = rows(lambda row: str(row["key"]))
    by_task = rows(lambda row: str(row["processDefinitionKey"]))
    keys = {
        *await client.ask("list_definitions", "GET", definitions, read=by_definition),
        *await client.ask("list_tasks", "GET", tasks, read=by_task),
    }
    return sorted(keys)[:_MOST_DEFINITIONS]
