"""Tasks by the dashboard's search, and one task with its runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter
from pydantic import Field

from bridge.domain.access import Principal, Scope
from bridge.domain.errors import Overloaded, SearchTooSlow, StoreUnavailable, TaskUnreadable, UnknownTask
from bridge.domain.redaction import mask_start
from bridge.domain.task import Attempt, Task, UnreadableTask
from bridge.domain.trace_context import trace_id
from bridge.ports.dashboard import TooSlow
from bridge.search.grammar import parse
from bridge.search.page import PositionError, Sort, SortKey
from bridge.search.query import Field as SearchField
from bridge.search.query import Query, QueryError, all_of, among
from web.api.filters import choice_error, query_error
from web.api.openapi import SECURITY
from web.api.parameters import REFUSED, Cursor, GivenDependencies, Limit, TaskId, readable_task
from web.api.problems import problem_responses
from web.api.results import plain_result
from web.api.schemas import LONGEST_ERROR, Answer, TaskSummary, UnreadableEntry, shared_fields
from web.auth.guard import GivenPrincipal, needs
from web.i18n.messages import mistake_of
from web.i18n.texts import ENGLISH
from web.offload import size_of

SORTS: Final = tuple(str(Sort(key, descending)) for key in SortKey for descending in (True, False))

SearchText = Annotated[
    str,
    QueryParameter(
        description="A search as on the dashboard, such as `state:failed topic:charge_card`; all tasks without one.",
    ),
]


class FoundTask(TaskSummary):
    """A task that a search found."""

    error_type: Annotated[str | None, Field(description="The exception of the last failure.", examples=["Timeout"])]
    error_fp: Annotated[str | None, Field(description="The group of failures that the last one belongs to.")]
    process_definition_key: Annotated[str | None, Field(examples=["payment"])]
    activity_id: Annotated[str | None, Field(examples=["charge"])]
    tenant_id: str | None
    priority: Annotated[int, Field(examples=[0])]
    replica: Annotated[str | None, Field(description="The process that ran it last.")]
    operation: Annotated[str | None, Field(description="The bulk operation that last had it tried again.")]
    finished_at: Annotated[datetime | None, Field(description="When it ended (UTC); null while it goes on.")]

    @classmethod
    def of(cls, task: Task, also: Collection[str] = ()) -> FoundTask:
        """Describe `task` without its result and runs; `also` names what its topic keeps secret."""
        return cls(**_found_fields(task, also))


class RunEntry(Answer):
    """One run of the handler."""

    number: Annotated[int, Field(examples=[1])]
    replica: Annotated[str, Field(description="The process that it ran in.")]
    started_at: datetime
    ended_at: datetime
    ended: Annotated[str, Field(description="How it ended: `completed`, `failed`, `lost` …", examples=["failed"])]
    error: Annotated[str | None, Field(description="The exception, of a run that failed.", examples=["Timeout"])]
    message: Annotated[str | None, Field(description="What it said; secrets in it are `***`.")]
    details: Annotated[str | None, Field(description="Its stack; secrets in it are `***`.")]

    @classmethod
    def of(cls, run: Attempt, also: Collection[str]) -> RunEntry:
        """Describe `run`; `also` names what its topic keeps secret."""
        return cls(
            number=run.number,
            replica=run.replica,
            started_at=run.started_at,
            ended_at=run.ended_at,
            ended=run.ended,
            error=run.error,
            message=_masked(run.message, also),
            details=_masked(run.details, also),
        )


class TaskDetail(FoundTask):
    """A task with its runs and its result."""

    runs: Annotated[list[RunEntry], Field(description="The runs that ended, the latest last.")]
    trace_id: Annotated[str | None, Field(description="The trace of its way (W3C).")]
    result: Annotated[
        dict[str, Any] | None,
        Field(description="What the engine was given, as plain JSON; null before that.", examples=[{"receipt": "R-1"}]),
    ]

    @classmethod
    def of(cls, task: Task, also: Collection[str] = ()) -> TaskDetail:
        """Describe `task`; `also` names what its topic keeps secret."""
        return cls(
            **_found_fields(task, also),
            runs=[RunEntry.of(run, also) for run in task.history],
            trace_id=trace_id(task.trace),
            result=plain_result(task.result),
        )


class FoundTasks(Answer):
    """A page of what a search found."""

    tasks: Annotated[list[FoundTask], Field(description="In the order that was asked for.")]
    unreadable: Annotated[
        list[UnreadableEntry], Field(description="Those of the page that this version of the gateway can't read.")
    ]
    next: Annotated[str | None, Field(description="Pass it as `after` to get the next page; null at the end.")]


def _found_fields(task: Task, also: Collection[str]) -> dict[str, Any]:
    return {
        **shared_fields(task, also),
        "error_type": task.error_type,
        "error_fp": task.error_fp,
        "process_definition_key": task.process_definition_key,
        "activity_id": task.activity_id,
        "tenant_id": task.tenant_id,
        "priority": task.priority,
        "replica": task.replica,
        "operation": task.operation,
        "finished_at": task.finished_at,
    }


def _masked(text: str | None, also: Collection[str]) -> str | None:
    return None if text is None else mask_start(text, LONGEST_ERROR, also)


def read_query(text: str, principal: Principal, *, where: str = "query", name: str = "q") -> Query:
    """Return the search that a request names, bound to the topics of `principal`.

    Raises `ValidationException` (400) with the code and the place of what can't be read.
    """
    try:
        query = parse(text)
    except QueryError as error:
        mistake = mistake_of(ENGLISH, error)
        why = error.message.with_text(mistake.message)
        raise query_error(name, why, where=where, position=mistake.position) from None
    return query if principal.topics is None else all_of([query, among(SearchField.TOPIC, sorted(principal.topics))])


def too_slow(found: TooSlow) -> SearchTooSlow:
    """Return the error for a search that was given up."""
    return SearchTooSlow.after(found.within)


def _order(text: str) -> Sort:
    try:
        return Sort.read(text)
    except ValueError:
        raise choice_error("sort", SORTS) from None


@get(
    "/tasks/search",
    opt=needs(Scope.READ),
    security=SECURITY,
    tags=("Tasks",),
    summary="Search tasks",
    description="By the dashboard's search. To get the next page pass `next` as `after`, with the same search and "
    "order.",
    response_description="A page of tasks.",
    responses=problem_responses(400, *REFUSED, SearchTooSlow, StoreUnavailable),
)
async def search_tasks(
    *,
    dependencies: GivenDependencies,
    principal: GivenPrincipal,
    q: SearchText = "",
    sort: Annotated[
        str, QueryParameter(description="The order; `-` begins with the greatest.", schema_extra={"enum": list(SORTS)})
    ] = "-updated",
    limit: Limit = 50,
    after: Cursor = None,
) -> FoundTasks:
    """Search; raises `ValidationException` for a search, an order or a cursor that can't be used."""
    query, order = read_query(q, principal), _order(sort)
    try:
        found = await dependencies.store.search(query, order, limit, after, now=dependencies.now())
    except PositionError as error:
        raise query_error("after", error.message) from None
    if isinstance(found, TooSlow):
        raise too_slow(found)
    secrets_of = dependencies.secrets_of
    return FoundTasks(
        tasks=[FoundTask.of(task, secrets_of(task.topic)) for task in found.tasks if isinstance(task, Task)],
        unreadable=[
            UnreadableEntry.of(task, secrets_of(task.topic)) for task in found.tasks if isinstance(task, UnreadableTask)
        ],
        next=found.next,
    )


@get(
    "/tasks/{task_id:str}",
    opt=needs(Scope.READ),
    security=SECURITY,
    tags=("Tasks",),
    summary="One task with its runs",
    description="All of the status, and each run that ended with its error and stack.",
    response_description="The task.",
    responses=problem_responses(400, *REFUSED, UnknownTask, TaskUnreadable, Overloaded, StoreUnavailable),
)
async def show_task(task_id: TaskId, dependencies: GivenDependencies, principal: GivenPrincipal) -> TaskDetail:
    """Read one task; raises `UnknownTask` when none is kept under the id."""
    task = await readable_task(dependencies, task_id, principal, Scope.READ)
    texts = sum(len(text or "") for run in task.history for text in (run.message, run.details))
    size = size_of(task.result) + len(task.error or "") + texts
    return await dependencies.offload.run(size, TaskDetail.of, task, dependencies.secrets_of(task.topic))


def search_routes() -> Sequence[HTTPRouteHandler]:
    """Return the routes."""
    return search_tasks, show_task
