"""The routes of `gateway dev --memory`: hand a task to the engine in memory, and follow it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal

from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody
from pydantic import BaseModel, ConfigDict, Field

from bridge.domain.access import Scope
from bridge.domain.errors import TaskGone, UnacceptableTask, UnknownTask
from bridge.domain.messages import message
from bridge.domain.variables import parse_submitted
from gateway.dev.memory import DevEngine
from gateway.trial import told
from web.api.parameters import TaskId
from web.auth.guard import needs

DEFINITION = "dev"
"""The key of the process definition that tasks of these routes have."""


class NewTask(BaseModel):
    """A task as it waits in an engine: `variables` are plain values, or have `value` and `type`, as a submission's.

    With `retries` None, as an engine's new task has it, the topic's own limit counts.
    """

    model_config = ConfigDict(extra="forbid")

    topic: Annotated[str, Field(min_length=1, max_length=255)]
    variables: dict[str, Any] = {}
    business_key: Annotated[str | None, Field(max_length=255)] = None
    retries: Annotated[int | None, Field(ge=0)] = None


class DevTask(BaseModel):
    """What became of a task: `outcomes` are those that the engine was told, in order, each as lines of text."""

    task_id: str
    state: Literal["open", "incident", "ended"]
    outcomes: list[list[str]] = []


def dev_routes(engine: DevEngine, topics: Collection[str]) -> Sequence[HTTPRouteHandler]:
    """Return the routes. `topics` are those that are worked here: a task of another would wait for ever."""

    @post("/dev/tasks", opt=needs(Scope.SUBMIT), status_code=201, include_in_schema=False)
    async def add_task(data: JSONBody[NewTask]) -> DevTask:
        """Let a process instance of one task begin. Raises `UnacceptableTask`, `VariableError`."""
        if data.topic not in topics:
            known = ", ".join(sorted(topics)) or "none"
            raise UnacceptableTask(message("topic.unknown_among", topic=repr(data.topic), topics=known))
        task_id = engine.add(
            data.topic,
            parse_submitted(data.variables),
            business_key=data.business_key,
            retries=data.retries,
            process_definition_key=DEFINITION,
        )
        return DevTask(task_id=task_id, state="open")

    @get("/dev/tasks/{task_id:str}", opt=needs(Scope.READ), include_in_schema=False)
    async def dev_task(task_id: TaskId) -> DevTask:
        """Tell what became of a task. Raises `UnknownTask`."""
        outcomes = [list(told(report.outcome)) for report in engine.reports if report.task_id == task_id]
        try:
            found = await engine.get(task_id)
        except TaskGone:
            if not await engine.history(task_id):
                raise UnknownTask(message("task.unknown", task=task_id)) from None
            return DevTask(task_id=task_id, state="ended", outcomes=outcomes)
        state: Literal["open", "incident"] = "incident" if found.retries == 0 else "open"
        return DevTask(task_id=task_id, state=state, outcomes=outcomes)

    return add_task, dev_task
