"""Reads what a Camunda 7 engine says of its installation and its product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from bridge.adapters.camunda.answers import Read, T, document
from bridge.domain.errors import EngineRejected, ForeignAnswer

_NO_TELEMETRY: Final = frozenset({401, 403, 404})


class Client(Protocol):
    """What is used of `CamundaClient`."""

    base_url: str

    async def ask_past_guard(self, operation: str, url: str, *, read: Read[T]) -> T: ...


async def read_telemetry_data(client: Client, operation: str, read: Callable[[Any], T]) -> T | None:
    """Return what `read` takes of it; None where it is not told.

    With authorization on only an admin is told, and users with READ on System; engines before 7.15 don't have it.
    """
    try:
        return await client.ask_past_guard(operation, f"{client.base_url}/telemetry/data", read=document(read))
    except EngineRejected:
        return None
    except ForeignAnswer as error:
        if error.status in _NO_TELEMETRY:  # an engine without this resource answers as any server does
            return None
        raise
