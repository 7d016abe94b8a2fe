"""What an admin changes about people and keys: for admins alone, with a reason, and in the audit before it is done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from litestar import Request

from bridge.domain.access import Principal, Scope
from bridge.domain.errors import Refusal
from web.auth.audit import audit_entry
from web.components.forms import changing
from web.components.page import pages_of
from web.dependencies import AccessDependencies
from web.i18n.texts import msg

REASON: Final = 500
CHANGE: Final = changing(Scope.ADMIN)
TOLD_ONCE: Final = changing(Scope.ADMIN, status=200)
"""Of a route whose answer has what is shown once: it is kept nowhere, so no later page could show it."""

WHY: Final = msg("Nothing was changed: give a reason; it is recorded in the audit log.")


class Changes:
    """Makes a change, and writes it down."""

    def __init__(self, access: AccessDependencies) -> None:
        self._audit = access.audit

    async def make(
        self,
        request: Request[Any, Any, Any],
        principal: Principal,
        action: str,
        target: str,
        change: Callable[[], Awaitable[object]],
        *,
        reason: str = "",
        before: Mapping[str, object] | None = None,
        after: Mapping[str, object] | None = None,
    ) -> bool:
        """Call `change`; False, which the audit is told too, where something came between and it was refused."""
        said: dict[str, Any] = {"reason": reason}
        await self._write(request, principal, action, target, **said, before=before, after=after)
        try:
            await change()
        except Refusal as error:
            await self._write(request, principal, action, target, **said, after={"not done": str(error)})
            return False
        return True

    async def _write(
        self, request: Request[Any, Any, Any], principal: Principal, action: str, target: str, **values: Any
    ) -> None:
        if self._audit is not None:
            now = pages_of(request).now()
            await self._audit(audit_entry(request, principal, action, target, now, **values))
