"""What people change of bulk operations, by the API and by pages: the audit has an entry before anything happens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final

from litestar import Request

from bridge.domain.access import Principal
from bridge.domain.operation import SWITCHED_FROM, Operation, OperationState
from bridge.domain.records import AuditEntry
from bridge.operations.bulk import Bulk
from web.auth.audit import audit_entry

WriteAudit = Callable[[AuditEntry], Awaitable[None]]

_ACTIONS: Final[Mapping[OperationState, str]] = {
    OperationState.PAUSED: "operation.pause",
    OperationState.RUNNING: "operation.resume",
    OperationState.CANCELLED: "operation.cancel",
}


def start_entry(
    request: Request[Any, Any, Any], principal: Principal, operation: Operation, tasks: int, at: datetime
) -> AuditEntry:
    """Return the audit's entry of an operation that is about to begin on so many tasks."""
    after = {"query": operation.query, "tasks": tasks, "rate": operation.rate}
    target = f"operation:{operation.id}"
    return audit_entry(request, principal, "operation.start", target, at, reason=operation.reason, after=after)


async def switch_operation(
    request: Request[Any, Any, Any],
    principal: Principal,
    operation: Operation,
    to: OperationState,
    *,
    reason: str,
    bulk: Bulk,
    write: WriteAudit | None,
    at: datetime,
) -> bool:
    """Pause, resume or cancel an operation; False where its state forbids that, or has changed meanwhile."""
    if operation.state not in SWITCHED_FROM[to]:
        return False
    if write is not None:
        before, after = {"state": operation.state.value}, {"state": to.value}
        target = f"operation:{operation.id}"
        await write(
            audit_entry(request, principal, _ACTIONS[to], target, at, reason=reason, before=before, after=after)
        )
    return await bulk.switch(operation.id, to)
