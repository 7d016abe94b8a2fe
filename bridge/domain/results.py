"""How a handler says more of a result than its value: in which scope it is set, under which type, and whether kept.

On a field of a result model, in any combination:

    class Share(BaseModel):
        total_cents: Annotated[int, CamundaType("Long")]
        position: Annotated[int, Local]
        scan: Annotated[bytes, Transient]

For all fields of a model by its base class, `LocalResult`; for a value in a `dict` by `Variable(7, local=True)`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from bridge.domain.errors import TopicError

TYPES: Final = frozenset(
    {"Boolean", "Short", "Integer", "Long", "Double", "String", "Date", "Bytes", "File", "Json", "Xml"}
)
"""The types that can be asked for, as the engine names them."""


@dataclass(frozen=True, slots=True)
class ResultOption:
    """What a marker asks for; None asks for nothing."""

    type: str | None = None
    local: bool = False
    transient: bool = False

    def __post_init__(self) -> None:
        if self.type is not None and self.type not in TYPES:
            raise TopicError(
                f"{self.type!r} is no type that a result can have: choose one of {', '.join(sorted(TYPES))}"
            )


Local: Final = ResultOption(local=True)
"""The variable is set in the task's own scope (`localVariables` of the engine's complete), where it ends with the
activity: an output mapping reads it there, and parallel instances of the activity don't overwrite each other's."""

Transient: Final = ResultOption(transient=True)
"""The variable is there until the engine's transaction ends, and never in its database (`valueInfo.transient`)."""


def CamundaType(name: str) -> ResultOption:  # noqa: N802 - it reads as the marker that it makes
    """Ask for a type by the engine's name of it, as "Long". Raises `TopicError` for one that a result can't have."""
    return ResultOption(type=name)


class LocalResult(BaseModel):
    """A result model whose fields are all `Local`."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A result's value with what its markers would say. Raises `TopicError` for a type that it can't have."""

    value: Any
    type: str | None = None
    local: bool = False
    transient: bool = False

    def __post_init__(self) -> None:
        ResultOption(self.type)

    @property
    def option(self) -> ResultOption:
        """What it asks for."""
        return ResultOption(self.type, self.local, self.transient)


def merged(options: Iterable[ResultOption]) -> ResultOption:
    """Return all that the options ask for; of two types the later."""
    given = tuple(options)
    return ResultOption(
        type=next((option.type for option in reversed(given) if option.type is not None), None),
        local=any(option.local for option in given),
        transient=any(option.transient for option in given),
    )
