"""Changes of people and keys: by admins alone, with a reason, and with an audit entry before the change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from litestar import Request, Response

from bridge.domain.access import Principal, Scope
from bridge.domain.errors import Refusal
from web.auth.audit import audit_entry
from web.components.flash import Flash
from web.components.forms import changing
from web.components.page import go_on, pages_of
from web.dependencies import AccessDependencies
from web.i18n.texts import msg

REASON: Final = 500
CHANGE: Final = changing(Scope.ADMIN)
TOLD_ONCE: Final = changing(Scope.ADMIN, status=200)
"""The options of a route whose answer has a secret that is shown once: no later page can show it."""

_WHY: Final = Flash(msg("Nothing was changed: give a reason; it is recorded in the audit log."), level="error")
_MISSED: Final = Flash(msg("Nothing was changed: someone else was faster."), level="error")


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a person or a key: its audit entry, and the call that makes it."""

    action: str
    target: str
    call: Callable[[], Awaitable[object]]
    reason: str
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None

    @property
    def unexplained(self) -> Flash | None:
        """The message where the change lacks its reason; None where it has one."""
        return None if self.reason.strip() else _WHY


@dataclass(frozen=True, slots=True)
class Answers:
    """The messages: why the change isn't made, that it is done, or that another was made in between."""

    refused: Flash | None
    done: Flash
    missed: Flash = _MISSED


class Changes:
    """Makes a change, and writes audit entries."""

    def __init__(self, access: AccessDependencies) -> None:
        self._audit = access.audit

    async def make(self, request: Request[Any, Any, Any], principal: Principal, change: Change) -> bool:
        """Make the change; False, with an audit entry, where another change came in between."""
        await self._write(request, principal, change, before=change.before, after=change.after)
        try:
            await change.call()
        except Refusal as error:
            await self._write(request, principal, change, after={"not done": str(error)})
            return False
        return True

    async def make_and_go_on(
        self, request: Request[Any, Any, Any], principal: Principal, change: Change, path: str, answers: Answers
    ) -> Response[None]:
        """Make the change unless there is a reason against it; the browser goes on to `path` with a message."""
        if answers.refused is not None:
            return go_on(request, path, answers.refused)
        made = await self.make(request, principal, change)
        return go_on(request, path, answers.done if made else answers.missed)

    async def _write(
        self, request: Request[Any, Any, Any], principal: Principal, change: Change, **values: Any
    ) -> None:
        if self._audit is not None:
            now = pages_of(request).now()
            entry = audit_entry(request, principal, change.action, change.target, now, reason=change.reason, **values)
            await self._audit(entry)
