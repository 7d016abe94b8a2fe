"""The refusals of the engine in memory, with the status codes and error types of Camunda 7.24."""

from __future__ import annotations

from typing import Final, NoReturn

from bridge.domain.errors import EngineForbidden, EngineRejected, LeaseLost, TaskGone
from bridge.domain.rights import Right
from bridge.domain.task import Variables
from bridge.domain.variables.results import NAME_LIMIT

MESSAGE_LIMIT: Final = 666
"""How many characters the engine keeps of a failure's message."""
FILE_TYPES: Final = frozenset({"File", "Bytes"})
_TYPES: Final = frozenset(
    {"Null", "Boolean", "Short", "Integer", "Long", "Double", "String", "Date", "Json", "Object", *FILE_TYPES}
)


def task_gone(task_id: str) -> TaskGone:
    """Return the error of a task that doesn't exist."""
    return TaskGone(f"External task with id {task_id} does not exist", status=404, code=0, kind="RestException")


def forbidden(right: Right) -> EngineForbidden:
    """Return the error of a right that the user lacks."""
    return EngineForbidden(f"the user lacks {right}", status=403, code=0, kind="AuthorizationException")


def rejected(status: int, message: str, kind: str = "ProcessEngineException", code: int = 0) -> EngineRejected:
    """Return the error of a call that the engine does not accept."""
    return EngineRejected(message, status=status, code=code, kind=kind)


def refuse_lock(message: str) -> NoReturn:
    """Raise the error of a worker that does not hold the task, or may not lock it."""
    raise LeaseLost(message, status=400, code=0, kind="RestException")


def refuse_variables(variables: Variables) -> None:
    """Raise the error of the first variable whose type or name the engine does not accept."""
    for name, variable in variables.items():
        if variable.type not in _TYPES:
            raise rejected(400, f"Unsupported value type '{variable.type}'", "RestException")
        if len(name) > NAME_LIMIT:
            raise rejected(500, f"{name}: too long for a name", "ProcessEnginePersistenceException", 10002)
