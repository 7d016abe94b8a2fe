"""The rights of the gateway's user in an engine with authorization on, and the grants that give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bridge.domain.messages import Message, message


class Resource(StrEnum):
    """A kind of resource that Camunda grants permissions on, by the name in its documentation."""

    PROCESS_DEFINITION = "PROCESS_DEFINITION"
    PROCESS_INSTANCE = "PROCESS_INSTANCE"

    @property
    def number(self) -> int:
        """What the REST interface calls it (Camunda's `Resources`)."""
        return 6 if self is Resource.PROCESS_DEFINITION else 8

    @property
    def of_definitions(self) -> bool:
        """Whether a grant may name a process definition by its key."""
        return self is Resource.PROCESS_DEFINITION


@dataclass(frozen=True, slots=True)
class Grant:
    """A permission on all resources of a kind, or on those of one process definition."""

    permission: str
    resource: Resource


class Right(StrEnum):
    """A right that the gateway needs."""

    READ = "read"
    UPDATE = "update"
    HISTORY = "history"
    DEFINITIONS = "definitions"


GRANTS: Final[Mapping[Right, tuple[Grant, ...]]] = {
    Right.READ: (
        Grant("READ_INSTANCE", Resource.PROCESS_DEFINITION),
        Grant("READ", Resource.PROCESS_INSTANCE),
    ),
    Right.UPDATE: (
        Grant("UPDATE_INSTANCE", Resource.PROCESS_DEFINITION),
        Grant("UPDATE", Resource.PROCESS_INSTANCE),
    ),
    Right.HISTORY: (Grant("READ_HISTORY", Resource.PROCESS_DEFINITION),),
    Right.DEFINITIONS: (Grant("READ", Resource.PROCESS_DEFINITION),),
}
"""Each of a right's grants is enough. Source: Camunda 7.24's "Authorization Service", and what the engine answered."""

ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class MissingRight:
    """A right that the user lacks for a process definition, by its key; `*` where they have it for none."""

    right: Right
    definition: str = ANY

    @property
    def message(self) -> Message:
        """The missing right, and the grants that give it."""
        return message(f"engine.right.{self.right}", definition=self.definition)

    def __str__(self) -> str:
        return str(self.message)
