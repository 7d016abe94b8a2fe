"""The preview of a bulk operation: the tasks that it would change, its form, and its start."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from ulid import ULID

from bridge.domain.access import Principal, Scope
from bridge.domain.errors import TaskConflict
from bridge.domain.operation import Operation, Preview
from bridge.operations.actions import RETRY_REASONS
from bridge.operations.bulk import MOST_RATE
from bridge.ports.dashboard import TooSlow
from bridge.search.query import QueryError
from web.auth.guard import GivenPrincipal, needs
from web.auth.operation_changes import start_entry
from web.components.flash import Flash
from web.components.forms import changing
from web.components.page import go_on, language_of_reader, render
from web.components.page_urls import PageUrls
from web.dashboard.chosen_tasks import MOST_IN_ADDRESS, Chosen, chosen_by_address, chosen_by_form
from web.dashboard.dependencies import DashboardDependencies
from web.i18n.messages import mistake_of
from web.i18n.texts import msg

COUNTED_ABOVE: Final = 100
"""Above so many tasks the person must type their number."""
RATE: Final = 20
MOST_REASON: Final = 500

_FORM_BYTES: Final = 1024 * 1024
_TOKEN: Final = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
_CONFIRMED: Final = {"token": 32, "expected": 9, "typed": 16, "rate": 8, "reason": 2000}


@dataclass(frozen=True, slots=True)
class Draft:
    """The form as it was typed, and its faults by field."""

    token: str
    reason: str = ""
    rate: str = str(RATE)
    typed: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)
    changed: bool = False


def number_of(text: str) -> int | None:
    """Return a number as people type it, with or without separators of thousands; None for other text."""
    digits = re.sub(r"[\s.,']", "", text)
    return int(digits) if re.fullmatch(r"[0-9]{1,9}", digits) else None


def _draft(fields: Mapping[str, str], expected: int) -> Draft:
    """Return the form as it was sent, with what is wrong."""
    errors: dict[str, str] = {}
    if not fields["reason"].strip():
        errors["reason"] = msg("Give a reason; it is recorded in the audit log.")
    elif len(fields["reason"]) > MOST_REASON:
        errors["reason"] = msg("Too long: use at most 500 characters.")
    if not 1 <= (number_of(fields["rate"]) or 0) <= MOST_RATE:
        errors["rate"] = msg("Use a number between 1 and 500.")
    if expected > COUNTED_ABOVE and number_of(fields["typed"]) != expected:
        errors["typed"] = msg("This is not the number of tasks to be retried.")
    return Draft(fields["token"], fields["reason"], fields["rate"], fields["typed"], errors)


class PreviewPage:
    """The page, and the start that it leads to."""

    def __init__(self, dashboard: DashboardDependencies) -> None:
        self._dashboard = dashboard

    async def show(
        self, request: Request[Any, Any, Any], principal: Principal, chosen: Chosen, draft: Draft | None = None
    ) -> Response[str]:
        """Show the page; with a `draft` it is one that was sent, and couldn't be started from."""
        found: Preview | TooSlow | None = None
        mistake: QueryError | None = None
        try:
            found = await self._dashboard.bulk.preview(chosen.wanted(principal)) if chosen else None
        except QueryError as error:
            mistake = error
        wrong = draft is not None or mistake is not None
        return render(
            request,
            "preview.html",
            status=422 if wrong else 200,
            chosen=chosen,
            preview=found if isinstance(found, Preview) else None,
            slow=isinstance(found, TooSlow),
            mistake=None if mistake is None else mistake_of(language_of_reader(request), mistake),
            draft=draft or Draft(str(ULID())),
            counted_above=COUNTED_ABOVE,
            most_rate=MOST_RATE,
            most_reason=MOST_REASON,
            reasons=RETRY_REASONS,
        )

    async def start(self, request: Request[Any, Any, Any], principal: Principal) -> Response[Any]:
        """Start the operation that the form asks for; the same form sent again leads to the same one."""
        chosen, fields = await chosen_by_form(request, **_CONFIRMED)
        token, expected = fields["token"], number_of(fields["expected"])
        if not chosen or expected is None or not _TOKEN.fullmatch(token):
            return await self.show(request, principal, chosen, Draft(str(ULID()), fields["reason"]))
        page = f"/dashboard/operations/{token}"
        if await self._dashboard.store.operation(token) is not None:
            return go_on(request, page, Flash(msg("This was already started: here it is."), level="note"))
        draft = _draft(fields, expected)
        if draft.errors:
            return await self.show(request, principal, chosen, draft)

        async def confirmed(operation: Operation, tasks: int) -> None:
            entry = start_entry(request, principal, operation, tasks, self._dashboard.clock.now())
            await self._dashboard.store.write(entry)

        try:
            wanted = chosen.wanted(principal)
            rate = number_of(fields["rate"]) or RATE
            started = await self._dashboard.bulk.start(
                wanted, reason=draft.reason, by=principal.name, rate=rate, expected=expected, operation_id=token,
                confirmed=confirmed,
            )  # fmt: skip
        except (TaskConflict, QueryError):
            # The numbers are others by now: what was typed is kept, but for the count, which nobody has seen yet.
            return await self.show(request, principal, chosen, Draft(token, draft.reason, draft.rate, changed=True))
        if isinstance(started, TooSlow):
            return await self.show(request, principal, chosen, draft)
        return go_on(request, page, Flash(msg("Operation started.")))


def preview_routes(dashboard: DashboardDependencies) -> tuple[HTTPRouteHandler, ...]:
    """Return the routes of the preview, and of the start."""
    page = PreviewPage(dashboard)

    @get("/operations/preview", opt=needs(Scope.OPERATE))
    async def preview(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Response[str]:
        return await page.show(request, principal, chosen_by_address(request))

    @post("/operations/preview", **changing(Scope.OPERATE, most=_FORM_BYTES))
    async def preview_chosen(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Response[Any]:
        chosen, _ = await chosen_by_form(request)
        if len(chosen.ids) > MOST_IN_ADDRESS:
            return await page.show(request, principal, chosen)
        links = PageUrls(request)
        path = links.url("/dashboard/operations/preview", ids=chosen.ids, q=chosen.q)
        return go_on(request, path.removeprefix(links.root))

    @post("/operations", **changing(Scope.OPERATE, most=_FORM_BYTES))
    async def start(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Response[Any]:
        return await page.start(request, principal)

    return preview, preview_chosen, start
