"""Bulk operations: their list, their progress, and the result of every task."""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from bridge.domain.access import Principal, Scope
from bridge.domain.operation import Item, Operation, OperationState, Result, may_see
from bridge.domain.redaction import mask_start
from web.api.schemas import LONGEST_ERROR
from web.auth.guard import GivenPrincipal, needs
from web.auth.operation_changes import switch_operation
from web.components.flash import Flash
from web.components.forms import changing, read_form
from web.components.page import go_on, language_of_reader, missing, render
from web.dashboard.dependencies import DashboardDependencies
from web.dashboard.query_parameters import text_parameter
from web.dashboard.time_pagination import read_position, write_position
from web.i18n.messages import translate_result
from web.i18n.texts import msg

ROWS: Final = 50
_MOST_REASON: Final = 500

OperationId = Annotated[str, PathParameter(min_length=1, max_length=64)]


class OperationsPages:
    """The list, and one operation."""

    def __init__(self, dashboard: DashboardDependencies) -> None:
        self._dashboard = dashboard

    async def listed(self, request: Request[Any, Any, Any], principal: Principal) -> Response[str]:
        """Show the operations, the newest first."""
        after = read_position(text_parameter(request, "after", 512))
        found = list(await self._dashboard.store.operations(ROWS + 1, after))
        last = found[ROWS - 1] if len(found) > ROWS else None
        return render(
            request,
            "operations.html",
            operations=[one for one in found[:ROWS] if may_see(principal, one)],
            next=None if last is None else write_position(last.created_at, last.id),
            paged=after is not None,
        )

    async def one(self, request: Request[Any, Any, Any], principal: Principal, operation_id: str) -> Response[str]:
        """Show an operation, and the results of its tasks."""
        operation = await self._dashboard.store.operation(operation_id)
        if operation is None or not may_see(principal, operation):
            text = msg("Operations are kept for 90 days.")
            return missing(request, msg("No such operation"), text, back="/dashboard/operations")
        wanted = text_parameter(request, "result", 16)
        result = Result(wanted) if wanted in set(Result) else None
        place = text_parameter(request, "after", 9)
        after = int(place) if place.isascii() and place.isdecimal() else -1
        items = list(await self._dashboard.store.items(operation_id, result, ROWS + 1, after))
        return render(
            request,
            "operation.html",
            operation=operation,
            totals=operation.totals,
            items=[(place, item, _detail(request, item)) for place, item in items[:ROWS]],
            next=items[ROWS - 1][0] if len(items) > ROWS else None,
            paged=after >= 0,
            result=result,
            left=_seconds_left(operation),
        )

    async def switch(
        self, request: Request[Any, Any, Any], principal: Principal, operation_id: str, to: OperationState
    ) -> Response[Any]:
        """Pause, resume or cancel an operation; safe to repeat."""
        fields = await read_form(request, {"reason": _MOST_REASON})
        operation = await self._dashboard.store.operation(operation_id)
        path = f"/dashboard/operations/{operation_id}"
        if operation is None or not may_see(principal, operation):
            return await self.one(request, principal, operation_id)
        done, missed = _SWITCHES[to]
        happened = await switch_operation(
            request, principal, operation, to, reason=fields["reason"],
            bulk=self._dashboard.bulk, write=self._dashboard.store.write, at=self._dashboard.clock.now(),
        )  # fmt: skip
        return go_on(request, path, Flash(done) if happened else Flash(missed, level="note"))


_SWITCHES: Final = {
    OperationState.PAUSED: (
        msg("Operation paused: pending tasks stay as they are."),
        msg("It is no longer running."),
    ),
    OperationState.RUNNING: (msg("Operation resumed."), msg("It is no longer paused.")),
    OperationState.CANCELLED: (
        msg("Operation cancelled: pending tasks stay as they are."),
        msg("It had already ended."),
    ),
}


def _detail(request: Request[Any, Any, Any], item: Item) -> str:
    text = translate_result(language_of_reader(request), item.detail) if item.detail else ""
    return mask_start(text, LONGEST_ERROR)


def _seconds_left(operation: Operation) -> float | None:
    """Return how long the pending tasks will take at the operation's rate; None where it doesn't run."""
    pending = operation.totals.pending
    return pending / operation.rate if operation.state is OperationState.RUNNING and pending else None


def operations_routes(dashboard: DashboardDependencies) -> tuple[HTTPRouteHandler, ...]:
    """Return the routes of the list, of an operation, and of what steers it."""
    pages = OperationsPages(dashboard)
    change = changing(Scope.OPERATE)

    @get("/operations", opt=needs(Scope.READ))
    async def operations(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Response[str]:
        return await pages.listed(request, principal)

    @get("/operations/{operation_id:str}", opt=needs(Scope.READ))
    async def operation(
        request: Request[Any, Any, Any], principal: GivenPrincipal, operation_id: OperationId
    ) -> Response[str]:
        return await pages.one(request, principal, operation_id)

    @post("/operations/{operation_id:str}/pause", **change)
    async def pause(
        request: Request[Any, Any, Any], principal: GivenPrincipal, operation_id: OperationId
    ) -> Response[Any]:
        return await pages.switch(request, principal, operation_id, OperationState.PAUSED)

    @post("/operations/{operation_id:str}/resume", **change)
    async def resume(
        request: Request[Any, Any, Any], principal: GivenPrincipal, operation_id: OperationId
    ) -> Response[Any]:
        return await pages.switch(request, principal, operation_id, OperationState.RUNNING)

    @post("/operations/{operation_id:str}/cancel", **change)
    async def cancel(
        request: Request[Any, Any, Any], principal: GivenPrincipal, operation_id: OperationId
    ) -> Response[Any]:
        return await pages.switch(request, principal, operation_id, OperationState.CANCELLED)

    return operations, operation, pause, resume, cancel
