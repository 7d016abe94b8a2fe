"""The routes of the API; `WebDependencies` has the calls behind them."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Controller, MediaType, Request, Response, Router, get, post
from litestar.datastructures import State as AppState
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, JSONBody, QueryParameter
from prometheus_client.exposition import choose_encoder

from bridge.domain.access import Scope
from bridge.domain.errors import (
    EngineError,
    GatewayError,
    Overloaded,
    SearchTooSlow,
    StoreUnavailable,
    TaskConflict,
    TaskTooLarge,
    TaskUnreadable,
    TopicNotWorked,
    UnacceptableTask,
    UnknownTask,
    VariableError,
)
from bridge.domain.messages import message, message_of
from bridge.domain.task import Task, UnreadableTask
from bridge.operations.health import Purpose
from bridge.search.cursor import MAX_LENGTH
from web.api.failures import failure_routes
from web.api.filters import query_error, read_choice
from web.api.openapi import SECURITY
from web.api.operations import OperationRoutes
from web.api.pagination import CursorError, read_cursor, write_cursor
from web.api.parameters import (
    MAX_LIMIT,
    REFUSED,
    UNAVAILABLE,
    GivenDependencies,
    GivenFilter,
    TaskId,
    readable_task,
)
from web.api.problems import problem_responses
from web.api.query import JsonRequest, check_request
from web.api.schemas import (
    Accepted,
    DeadLetterList,
    HealthStatus,
    LiveStatus,
    ReadyStatus,
    SubmitRequest,
    TaskList,
    TaskStatistics,
    TaskStatus,
    TaskSummary,
    UnreadableEntry,
)
from web.api.task_search import search_routes
from web.auth.audit import audit_entry
from web.auth.guard import METRICS, OPEN, GivenPrincipal, narrowed, needs, require
from web.offload import size_of

GivenTrace = Annotated[
    str | None,
    HeaderParameter(
        name="traceparent", max_length=512, description="The caller's trace (W3C), which the task goes on."
    ),
]


class TaskRoutes(Controller):
    """Tasks: hand them in, follow them, list them."""

    path = "/tasks"
    tags = ("Tasks",)
    security = SECURITY

    @post(
        "/submit",
        opt=needs(Scope.SUBMIT),
        status_code=202,
        summary="Hand in a task",
        description="Hands over an external task that is locked in the engine under `worker_id`. Safe to repeat: "
        "the same body gets the same answer, another body for the same task gets 409.",
        response_description="The gateway has taken over the task.",
        responses=problem_responses(
            400,
            *REFUSED,
            UnknownTask,
            TaskConflict,
            413,
            TaskTooLarge,
            415,
            UnacceptableTask,
            VariableError,
            EngineError,
            Overloaded,
            *UNAVAILABLE,
        ),
    )
    async def submit(
        self,
        request: JsonRequest,
        data: JSONBody[SubmitRequest],
        dependencies: GivenDependencies,
        principal: GivenPrincipal,
        traceparent: GivenTrace = None,
    ) -> Accepted:
        """Hand a submission to the flow, which is responsible for the task once it is stored."""
        require(principal, Scope.SUBMIT, data.topic)
        try:
            return Accepted.of(await dependencies.submit(data.to_submission(traceparent, request.size)))
        except TopicNotWorked as error:
            if principal.topics is not None:
                raise  # a key that is bound to topics is not to learn the names of others
            raise UnacceptableTask(
                message("topic.unknown_among", topic=repr(data.topic), topics=", ".join(error.known))
            ) from None

    @get(
        "/{task_id:str}/status",
        opt=needs(Scope.READ),
        summary="Follow a task",
        description="Where the task is in its life, with its result as plain JSON once there is one.",
        response_description="The task as the gateway keeps it.",
        responses=problem_responses(400, *REFUSED, UnknownTask, TaskUnreadable, Overloaded, StoreUnavailable),
    )
    async def status(self, task_id: TaskId, dependencies: GivenDependencies, principal: GivenPrincipal) -> TaskStatus:
        """Read one task; raises `UnknownTask` when none is kept under the id."""
        task = await readable_task(dependencies, task_id, principal, Scope.READ)
        size = size_of(task.result) + len(task.error or "")
        return await dependencies.offload.run(size, TaskStatus.of, task, dependencies.secrets_of(task.topic))

    @post(
        "/{task_id:str}/retry",
        opt=needs(Scope.OPERATE),
        status_code=202,
        summary="Try a failed task again",
        description="Resolves the incident and gives the task new retries. 409 says why it can't be tried again.",
        response_description="The task will be tried again.",
        responses=problem_responses(400, *REFUSED, UnknownTask, TaskConflict, EngineError, *UNAVAILABLE),
    )
    async def retry(
        self,
        request: Request[Any, Any, AppState],
        task_id: TaskId,
        dependencies: GivenDependencies,
        principal: GivenPrincipal,
    ) -> Accepted:
        """Retry a failed task; the audit has an entry before the retry, and another where it was refused."""
        if principal.topics is not None:
            await readable_task(dependencies, task_id, principal, Scope.OPERATE)

        async def audit(**after: object) -> None:
            if dependencies.access.audit is not None:
                target = f"task:{task_id}"
                entry = audit_entry(request, principal, "task.retry", target, dependencies.now(), after=after)
                await dependencies.access.audit(entry)

        await audit()
        try:
            return Accepted.of(await dependencies.retry(task_id))
        except GatewayError as error:
            await audit(**{"not done": type(error).__name__})
            raise

    @get(
        "/statistics",
        opt=needs(Scope.READ),
        summary="Count tasks",
        description="How many tasks are kept, by status and by topic. Where more than 20,000 are, they were counted "
        "at `counted_at`, some seconds ago.",
        response_description="The counts.",
        responses=problem_responses(400, *REFUSED, StoreUnavailable),
    )
    async def statistics(self, dependencies: GivenDependencies, principal: GivenPrincipal) -> TaskStatistics:
        """Count all tasks."""
        require(principal, Scope.READ)
        return TaskStatistics.of(await dependencies.reader.statistics())

    @get(
        "/",
        opt=needs(Scope.READ),
        summary="List tasks",
        description="Newest first. To get the next page pass `next` of the answer as `after`, with the same filter.",
        response_description="A page of tasks.",
        responses=problem_responses(400, *REFUSED, SearchTooSlow, StoreUnavailable),
    )
    async def tasks(
        self,
        dependencies: GivenDependencies,
        wanted: GivenFilter,
        principal: GivenPrincipal,
        limit: Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="At most so many tasks.")] = 50,
        after: Annotated[
            str | None, QueryParameter(max_length=MAX_LENGTH, description="`next` of the page before, unchanged.")
        ] = None,
    ) -> TaskList:
        """List a page; raises `ValidationException` for a cursor that is not of this filter."""
        wanted = narrowed(principal, wanted)
        try:
            position = None if after is None else read_cursor(after, wanted)
        except CursorError as error:
            raise query_error("after", message_of(error)) from None
        page = await dependencies.reader.page(wanted, limit, position)
        return TaskList(
            tasks=[
                TaskSummary.of(task, dependencies.secrets_of(task.topic))
                for task in page.tasks
                if isinstance(task, Task)
            ],
            unreadable=[
                UnreadableEntry.of(task, dependencies.secrets_of(task.topic))
                for task in page.tasks
                if isinstance(task, UnreadableTask)
            ],
            next=None if page.after is None else write_cursor(wanted, page.after),
        )


class HealthRoutes(Controller):
    """Whether the gateway works; made for probes."""

    path = "/health"
    opt = OPEN
    tags = ("Operation",)

    @get(
        "/",
        summary="Health of the gateway and its parts",
        description="Asks the engine, MongoDB and RabbitMQ now. 503 when one of them doesn't answer.",
        response_description="Every component is healthy.",
        responses={
            503: ResponseSpec(HealthStatus, description="A component is unhealthy.", generate_examples=False),
            **problem_responses(400),
        },
    )
    async def health(self, dependencies: GivenDependencies) -> Response[HealthStatus]:
        """Probe the parts."""
        found = await dependencies.health()
        return Response(HealthStatus.of(found, dependencies.version), status_code=200 if found.ok else 503)

    @get(
        "/live",
        summary="Is the process alive",
        description="200 as long as the process runs its loop: restart it when this doesn't answer.",
        response_description="The process is alive.",
        responses=problem_responses(400),
    )
    async def live(self) -> LiveStatus:
        """Answer: an answer proves that the process lives."""
        return LiveStatus()

    @get(
        "/ready",
        summary="May the process be sent work",
        description="With `for` whether it can do that; else whether it does what its roles ask of it; an engine"
        " that is away doesn't count then in a process with the role web. 503 names the reasons.",
        response_description="The process may be sent work.",
        responses={
            503: ResponseSpec(ReadyStatus, description="Not ready; see `reasons`.", generate_examples=False),
            **problem_responses(400),
        },
    )
    async def ready(
        self,
        dependencies: GivenDependencies,
        purpose: Annotated[
            str | None,
            QueryParameter(
                name="for",
                description="`http`: take requests and submissions, `intake`: fetch tasks, `work`: run handlers.",
                schema_extra={"enum": [*Purpose]},
            ),
        ] = None,
    ) -> Response[ReadyStatus]:
        """Return the readiness, which the composition root computes by the process's roles."""
        readiness = await dependencies.ready(None if purpose is None else read_choice("for", purpose, Purpose))
        return Response(ReadyStatus.of(readiness), status_code=200 if readiness.ok else 503)


@get(
    "/dead-letters",
    opt=needs(Scope.READ),
    tags=("Operation",),
    summary="Messages that led to no task",
    description="What the broker gave up on is looked at again by itself; here is what led to no task.",
    response_description="The latest, at most `limit`.",
    responses=problem_responses(400, *REFUSED, StoreUnavailable),
)
async def dead_letters(
    dependencies: GivenDependencies,
    principal: GivenPrincipal,
    limit: Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="At most so many.")] = 50,
) -> DeadLetterList:
    """List the dead letters."""
    require(principal, Scope.READ)
    return DeadLetterList.of(await dependencies.dead_letters(limit), dependencies.secrets_of)


@get(
    "/metrics",
    opt=METRICS,
    tags=("Operation",),
    media_type=MediaType.TEXT,
    summary="Metrics for Prometheus",
    description="Prometheus text format, or OpenMetrics where `Accept` asks for it.",
    response_description="All metrics.",
    responses=problem_responses(400, *REFUSED),
)
async def metrics(request: Request[object, object, AppState], dependencies: GivenDependencies) -> Response[bytes]:
    """Write the registry in the format that the scraper asks for."""
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    media_type = content_type.removesuffix("; charset=utf-8")  # Litestar adds the charset to every text
    return Response(encode(dependencies.registry), media_type=media_type)


def api_router() -> Router:
    """Return all routes of the API, each behind the same checks."""
    return Router(
        "/",
        route_handlers=[
            *search_routes(),
            TaskRoutes,
            *failure_routes(),
            OperationRoutes,
            HealthRoutes,
            dead_letters,
            metrics,
        ],
        before_request=check_request,
    )


def probes_router() -> Router:
    """Return only the routes for probes and Prometheus."""
    return Router("/", route_handlers=[HealthRoutes, metrics], before_request=check_request)
