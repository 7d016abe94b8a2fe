"""What the routes of the API have in common: their parameters, and the errors that each may answer with."""

from __future__ import annotations

from typing import Annotated, Final

from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter, SkipValidation

from bridge.domain.access import Principal, Scope, may
from bridge.domain.errors import (
    BrokerUnavailable,
    EngineUnavailable,
    Forbidden,
    StoreUnavailable,
    TaskUnreadable,
    TooManyRequests,
    Unauthenticated,
    UnknownTask,
)
from bridge.domain.messages import message
from bridge.domain.task import Task
from bridge.ports.reader import TaskFilter
from bridge.search.cursor import MAX_LENGTH
from web.api.schemas import TASK_ID_EXACT, TASK_ID_PATTERN
from web.dependencies import WebDependencies

MAX_LIMIT: Final = 200

REFUSED: Final = (Unauthenticated, Forbidden, TooManyRequests)
UNAVAILABLE: Final = (StoreUnavailable, EngineUnavailable, BrokerUnavailable)

GivenDependencies = NamedDependency[SkipValidation[WebDependencies]]
GivenFilter = NamedDependency[SkipValidation[TaskFilter]]
TaskId = Annotated[
    str,
    PathParameter(
        pattern=TASK_ID_EXACT,
        schema_extra={"pattern": TASK_ID_PATTERN},
        description="Id of the external task in the engine, 64 characters at most.",
    ),
]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="At most so many.")]
Cursor = Annotated[
    str | None, QueryParameter(max_length=MAX_LENGTH, description="`next` of the page before, unchanged.")
]


async def readable_task(dependencies: WebDependencies, task_id: str, principal: Principal, action: Scope) -> Task:
    """Return a task on which `principal` may do `action`; a task of another topic counts as unknown."""
    unknown = UnknownTask(message("task.not_kept", task=task_id))
    try:
        task = await dependencies.reader.get(task_id)
    except TaskUnreadable as error:
        if may(principal, action, error.found.topic):
            raise
        raise unknown from None
    if task is None or not may(principal, action, task.topic):
        raise unknown
    return task
