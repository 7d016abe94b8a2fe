"""Audit entries of people's actions on pages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from litestar import Request
from ulid import ULID

from bridge.domain.access import Principal
from bridge.domain.records import AuditEntry

_LONGEST_ORIGIN = 64


def audit_entry(
    request: Request[Any, Any, Any],
    principal: Principal,
    action: str,
    target: str,
    at: datetime,
    *,
    reason: str = "",
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
    trace: str | None = None,
) -> AuditEntry:
    """Return the entry of an action on `target`, such as `topic:charge_card`; the caller masks secrets."""
    origin = request.client.host if request.client else ""
    role = principal.role.value if principal.role is not None else principal.kind.value
    return AuditEntry(
        id=str(ULID.from_datetime(at)),
        at=at,
        who=principal.name,
        role=role,
        origin=origin[:_LONGEST_ORIGIN],
        action=action,
        target=target,
        reason=reason.strip(),
        before=before or {},
        after=after or {},
        trace=trace,
    )
