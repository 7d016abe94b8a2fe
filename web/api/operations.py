"""Bulk operations: their preview, their start, how far each is, and what became of every task."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

from litestar import Controller, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter

from bridge.domain.access import Principal, Scope
from bridge.domain.errors import OperationConflict, SearchTooSlow, StoreUnavailable, UnknownOperation
from bridge.domain.messages import message
from bridge.domain.operation import (
    Operation,
    OperationState,
    Result,
    may_see,
)
from bridge.ports.dashboard import TooSlow
from bridge.search.cursor import NotACursor, read_cursor, write_cursor
from bridge.search.query import Query
from web.api.filters import query_error
from web.api.openapi import SECURITY
from web.api.operation_schemas import (
    MOST_PLACE,
    ItemEntry,
    ItemList,
    OperationEntry,
    OperationList,
    PreviewEntry,
    ReasonRequest,
    StartRequest,
)
from web.api.parameters import REFUSED, Cursor, GivenDependencies, Limit
from web.api.problems import problem_responses
from web.api.query import JsonRequest
from web.api.task_search import read_query, too_slow
from web.auth.guard import GivenPrincipal, needs
from web.auth.operation_changes import start_entry, switch_operation
from web.dependencies import WebDependencies

OperationId = Annotated[str, PathParameter(min_length=1, max_length=64, description="The operation's id.")]

_SWITCH: Final[dict[str, Any]] = {
    "opt": needs(Scope.OPERATE),
    "status_code": 200,
    "description": "409 where its state forbids that.",
    "response_description": "The operation with its new state.",
    "responses": problem_responses(400, *REFUSED, UnknownOperation, OperationConflict, 413, 415, StoreUnavailable),
}


_MISSED: Final[Mapping[OperationState, str]] = {
    OperationState.PAUSED: "operation.cannot_pause",
    OperationState.RUNNING: "operation.cannot_resume",
    OperationState.CANCELLED: "operation.cannot_cancel",
}


class OperationRoutes(Controller):
    """Bulk operations."""

    path = "/operations"
    tags = ("Operations",)
    security = SECURITY

    @get(
        "/",
        opt=needs(Scope.READ),
        summary="List operations",
        description="Newest first. A key that is bound to topics sees its own.",
        response_description="A page of operations.",
        responses=problem_responses(400, *REFUSED, StoreUnavailable),
    )
    async def operations(
        self, dependencies: GivenDependencies, principal: GivenPrincipal, limit: Limit = 50, after: Cursor = None
    ) -> OperationList:
        """List a page; raises `ValidationException` for a cursor that is none."""
        try:
            position = None if after is None else read_cursor(after, datetime)
        except NotACursor:
            raise query_error("after", message("parameter.no_cursor")) from None
        found = list(await dependencies.store.operations(limit + 1, position))
        last = found[limit - 1] if len(found) > limit else None
        return OperationList(
            operations=[OperationEntry.of(one) for one in found[:limit] if may_see(principal, one)],
            next=None if last is None else write_cursor(last.created_at, last.id),
        )

    @get(
        "/preview",
        opt=needs(Scope.OPERATE),
        summary="What an operation would change",
        description="Counts exactly which tasks of a search would be tried again. Nothing is changed.",
        response_description="The preview.",
        responses=problem_responses(400, *REFUSED, SearchTooSlow, StoreUnavailable),
    )
    async def preview(
        self,
        dependencies: GivenDependencies,
        principal: GivenPrincipal,
        q: Annotated[str, QueryParameter(min_length=1, description="The search, as on the dashboard.")],
    ) -> PreviewEntry:
        """Count; raises `ValidationException` for a search that can't be read, and `SearchTooSlow`."""
        found = await dependencies.bulk.preview(_chosen(q, principal, "query", "q"))
        if isinstance(found, TooSlow):
            raise too_slow(found)
        return PreviewEntry.of(found)

    @post(
        "/",
        opt=needs(Scope.OPERATE),
        status_code=202,
        summary="Start an operation",
        description="Has all failed tasks of a search tried again, at most `rate` a second. Call the preview first: "
        "`expected` confirms its number, and 409 says that it is another by now.",
        response_description="The operation has begun.",
        responses=problem_responses(
            400, *REFUSED, UnknownOperation, OperationConflict, 413, 415, SearchTooSlow, StoreUnavailable
        ),
    )
    async def start(
        self,
        request: JsonRequest,
        data: JSONBody[StartRequest],
        dependencies: GivenDependencies,
        principal: GivenPrincipal,
    ) -> OperationEntry:
        """Start it; the audit has an entry before any task is changed."""
        query = _chosen(data.query, principal, "body", "query")

        async def confirmed(operation: Operation, tasks: int) -> None:
            if dependencies.access.audit is not None:
                entry = start_entry(request, principal, operation, tasks, dependencies.now())
                await dependencies.access.audit(entry)

        started = await dependencies.bulk.start(
            query, reason=data.reason, by=principal.name, rate=data.rate, expected=data.expected,
            operation_id=data.id, confirmed=confirmed,
        )  # fmt: skip
        if isinstance(started, TooSlow):
            raise too_slow(started)
        return OperationEntry.of(_visible(started, principal, started.id))

    @get(
        "/{operation_id:str}",
        opt=needs(Scope.READ),
        summary="Follow an operation",
        description="How far it is.",
        response_description="The operation.",
        responses=problem_responses(400, *REFUSED, UnknownOperation, StoreUnavailable),
    )
    async def operation(
        self, operation_id: OperationId, dependencies: GivenDependencies, principal: GivenPrincipal
    ) -> OperationEntry:
        """Read one; raises `UnknownOperation`."""
        found = await dependencies.store.operation(operation_id)
        return OperationEntry.of(_visible(found, principal, operation_id))

    @get(
        "/{operation_id:str}/items",
        opt=needs(Scope.READ),
        summary="The tasks of an operation",
        description="What was done to each, and how it ended then.",
        response_description="A page of tasks.",
        responses=problem_responses(400, *REFUSED, UnknownOperation, StoreUnavailable),
    )
    async def items(
        self,
        *,
        operation_id: OperationId,
        dependencies: GivenDependencies,
        principal: GivenPrincipal,
        result: Annotated[Result | None, QueryParameter(description="Only tasks with this result.")] = None,
        limit: Limit = 50,
        after: Annotated[
            int, QueryParameter(ge=-1, le=MOST_PLACE, description="`next` of the page before; -1 is the beginning.")
        ] = -1,
    ) -> ItemList:
        """List a page; raises `UnknownOperation`."""
        _visible(await dependencies.store.operation(operation_id), principal, operation_id)
        found = list(await dependencies.store.items(operation_id, result, limit + 1, after))
        return ItemList(
            items=[ItemEntry.of(place, item) for place, item in found[:limit]],
            next=found[limit - 1][0] if len(found) > limit else None,
        )

    @post("/{operation_id:str}/pause", summary="Pause an operation", **_SWITCH)
    async def pause(
        self,
        request: JsonRequest,
        operation_id: OperationId,
        data: JSONBody[ReasonRequest],
        dependencies: GivenDependencies,
        principal: GivenPrincipal,
    ) -> OperationEntry:
        """Leave pending tasks as they are until it is resumed."""
        return await _switch(request, dependencies, principal, operation_id, OperationState.PAUSED, data.reason)

    @post("/{operation_id:str}/resume", summary="Resume a paused operation", **_SWITCH)
    async def resume(
        self,
        request: JsonRequest,
        operation_id: OperationId,
        data: JSONBody[ReasonRequest],
        dependencies: GivenDependencies,
        principal: GivenPrincipal,
    ) -> OperationEntry:
        """Go on with pending tasks."""
        return await _switch(request, dependencies, principal, operation_id, OperationState.RUNNING, data.reason)

    @post("/{operation_id:str}/cancel", summary="Cancel an operation", **_SWITCH)
    async def cancel(
        self,
        request: JsonRequest,
        operation_id: OperationId,
        data: JSONBody[ReasonRequest],
        dependencies: GivenDependencies,
        principal: GivenPrincipal,
    ) -> OperationEntry:
        """Leave pending tasks as they are, for good."""
        return await _switch(request, dependencies, principal, operation_id, OperationState.CANCELLED, data.reason)


def _chosen(text: str, principal: Principal, where: str, name: str) -> Query:
    """Return the search of an operation; raises `ValidationException` for one that can't be read, or names nothing."""
    if not text.strip():
        raise query_error(name, message("operation.no_query"), where=where)
    return read_query(text, principal, where=where, name=name)


def _visible(operation: Operation | None, principal: Principal, operation_id: str) -> Operation:
    if operation is None or not may_see(principal, operation):
        raise UnknownOperation(message("operation.unknown", operation=operation_id))
    return operation


async def _switch(  # noqa: PLR0917 - as the routes have it
    request: JsonRequest,
    dependencies: WebDependencies,
    principal: Principal,
    operation_id: str,
    to: OperationState,
    reason: str,
) -> OperationEntry:
    """Change an operation's state; raises `OperationConflict` where that is not possible."""
    operation = _visible(await dependencies.store.operation(operation_id), principal, operation_id)
    if not await switch_operation(
        request, principal, operation, to,
        reason=reason, bulk=dependencies.bulk, write=dependencies.access.audit, at=dependencies.now(),
    ):  # fmt: skip
        raise OperationConflict(message(_MISSED[to], operation=operation_id))
    changed = await dependencies.store.operation(operation_id)
    return OperationEntry.of(_visible(changed, principal, operation_id))
