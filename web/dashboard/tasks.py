"""The list of tasks: found by a query, counted by state, paged by key, exported, and saved as a shared view."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from litestar import Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.handlers import HTTPRouteHandler
from ulid import ULID

from bridge.domain.access import Principal, Scope, may
from bridge.domain.records import View
from bridge.domain.redaction import mask_start
from bridge.domain.task import State, Task, UnreadableTask
from bridge.ports.dashboard import COUNT_CAP, Counts, Found, TooSlow
from bridge.search.page import PositionError
from bridge.search.query import EVERYTHING
from web.api.schemas import LONGEST_ERROR
from web.auth.audit import audit_entry
from web.auth.guard import GivenPrincipal, needs
from web.components.flash import Flash
from web.components.forms import changing, read_form
from web.components.page import go_on, language_of_reader, pages_of, render
from web.components.preferences import preferences_of, zone_for
from web.dashboard.dependencies import DashboardDependencies
from web.dashboard.task_listing import (
    COLUMNS,
    DEFAULT_COLUMNS,
    FIELDS,
    LIMITS,
    SORTED,
    SPANS,
    Listing,
    chosen_columns,
    read_listing,
)
from web.dashboard.unreadable import as_row
from web.i18n.messages import mistake_of, translate
from web.i18n.texts import msg

PATH: Final = "/dashboard/tasks"
_FORM_BYTES: Final = 32_768
_YEAR: Final = 365 * 86_400
_MOST_VIEWS: Final = 100
_NAME: Final = 80


@dataclass(frozen=True, slots=True)
class Row:
    """A task in the list, with the masked text of its error."""

    task: Task | Mapping[str, Any]
    error: str


def columns_name(*, insecure: bool) -> str:
    """Return the name of the cookie that keeps which columns a reader wants."""
    return "columns" if insecure else "__Host-columns"


def listing_of(request: Request[Any, Any, Any], principal: Principal, dashboard: DashboardDependencies) -> Listing:
    """Return the listing of the request's URL, bound to the topics that the reader may see."""
    insecure = pages_of(request).insecure
    kept = chosen_columns(request.cookies.get(columns_name(insecure=insecure), "")[:400].replace(".", ","))
    zone = zone_for(request, preferences_of(request, insecure=insecure))
    given = {name: value for name, value in request.query_params.multi_items() if isinstance(value, str)}
    return read_listing(given, zone, dashboard.clock.now(), topics=principal.topics, columns=kept or DEFAULT_COLUMNS)


class TaskList:
    """Finds what the page shows."""

    def __init__(self, dashboard: DashboardDependencies) -> None:
        self._dashboard = dashboard

    async def show(self, request: Request[Any, Any, Any], principal: Principal) -> Response[str]:
        """Show the list of the URL, or the faults of the URL."""
        language = language_of_reader(request)
        listing = listing_of(request, principal, self._dashboard)
        bad = listing.error is not None or bool(listing.wrong)
        lost = False
        found: Found | TooSlow = Found((), None)
        counts = Counts(dict.fromkeys(State))
        if not bad:
            try:
                found, counts = await self._find(listing)
            except PositionError:
                lost = True
                listing = replace(listing, after=None)
                found, counts = await self._find(listing)
        views = [view for view in await self._dashboard.store.views() if _is_for(principal, view)]
        return render(
            request,
            "tasks.html",
            status=400 if bad else 200,
            listing=listing,
            problem=None if listing.error is None else mistake_of(language, listing.error),
            lost=lost,
            rows=None if isinstance(found, TooSlow) else [self._row(task, language) for task in found.tasks],
            next=None if isinstance(found, TooSlow) else found.next,
            slow=found if isinstance(found, TooSlow) else None,
            counts=counts.by_state,
            unreadable=counts.unreadable,
            total=_total(counts),
            none_at_all=await self._none_at_all(listing, found),
            views=[(view, dict(parse_qsl(view.query))) for view in views[:_MOST_VIEWS]],
            topics=sorted(self._dashboard.topics if principal.topics is None else principal.topics),
            columns=COLUMNS,
            sorted_columns=SORTED,
            limits=LIMITS,
            spans=SPANS,
            kept=urlencode(list(listing.fields.items())),
            cap=COUNT_CAP,
        )

    async def _find(self, listing: Listing) -> tuple[Found | TooSlow, Counts]:
        """Return a page of the list, and the counts of its tabs.

        One page that holds all that was found tells its counts itself: for a search of few tasks among many that is
        half of the work.
        """
        search, now = self._dashboard.store, self._dashboard.clock.now()
        found = await search.search(listing.whole, listing.sort, listing.limit, listing.after, now=now)
        first = listing.after is None and listing.whole == listing.query
        if first and isinstance(found, Found) and found.next is None:
            unreadable = [task for task in found.tasks if isinstance(task, UnreadableTask)]
            states = Counter(task.state for task in found.tasks if isinstance(task, Task))
            states.update(State(task.stored_state) for task in unreadable if task.stored_state in set(State))
            return found, Counts({state: states[state] for state in State}, len(unreadable))
        return found, await search.counts(listing.query, now=now)

    async def _none_at_all(self, listing: Listing, found: Found | TooSlow) -> bool:
        """Return whether the list is empty because nothing has ever come, and not by its filters."""
        if isinstance(found, TooSlow) or found.tasks or listing.error is not None or listing.wrong:
            return False
        if not listing.filtered:
            return listing.after is None
        any_at_all = await self._dashboard.store.search(EVERYTHING, listing.sort, 1, now=self._dashboard.clock.now())
        return isinstance(any_at_all, Found) and not any_at_all.tasks

    def _row(self, task: Task | UnreadableTask, language: str) -> Row:
        if isinstance(task, UnreadableTask):
            return Row(
                as_row(task), mask_start(task.reason, LONGEST_ERROR, self._dashboard.secrets_of(task.topic or ""))
            )
        error = translate(language, task.error or "")
        return Row(task, mask_start(error, LONGEST_ERROR, self._dashboard.secrets_of(task.topic)))

    async def save(self, request: Request[Any, Any, Any], principal: Principal) -> Response[None]:
        """Save the list's state under a name that all operators see."""
        form = await read_form(request, {"name": _NAME, "query": 4096})
        name, query = form["name"].strip(), kept_query(form["query"])
        back = f"{PATH}?{query}" if query else PATH
        if not name or not query:
            return go_on(request, back, Flash(msg("A view needs a name and at least one filter."), level="error"))
        store, now = self._dashboard.store, self._dashboard.clock.now()
        if len(await store.views()) >= _MOST_VIEWS:
            return go_on(request, back, Flash(msg("Too many views: delete one first."), level="error"))
        view = View(str(ULID.from_datetime(now)), name, query, principal.name, now)
        after = {"name": name, "query": query}
        await store.write(audit_entry(request, principal, "view.save", f"view:{view.id}", now, after=after))
        await store.save_view(view)
        return go_on(request, back, Flash(msg("View “%(name)s” saved for everyone."), {"name": name}))

    async def delete(self, request: Request[Any, Any, Any], principal: Principal) -> Response[None]:
        """Delete a view: the person's own, or any as an admin."""
        form = await read_form(request, {"id": 64})
        store = self._dashboard.store
        view = next((view for view in await store.views() if view.id == form["id"]), None)
        if view is None or not _is_for(principal, view):
            return go_on(request, PATH, Flash(msg("That view no longer exists."), level="note"))
        if view.owner != principal.name and not may(principal, Scope.ADMIN):
            text = msg("Only %(owner)s or an admin can delete this view.")
            return go_on(request, PATH, Flash(text, {"owner": view.owner}, level="error"))
        before = {"name": view.name, "query": view.query}
        now = self._dashboard.clock.now()
        await store.write(audit_entry(request, principal, "view.delete", f"view:{view.id}", now, before=before))
        await store.delete_view(view.id)
        return go_on(request, PATH, Flash(msg("View “%(name)s” deleted."), {"name": view.name}))


def _is_for(principal: Principal, view: View) -> bool:
    """Return whether a person may see a view: it may name any topic, so people limited to topics see only their own."""
    return principal.topics is None or view.owner == principal.name


async def choose_columns(request: Request[Any, Any, Any]) -> Response[None]:
    """Keep in the browser which columns its reader wants, and go back to the list."""
    form = await read_form(request, {**{f"column_{name}": 2 for name in COLUMNS}, "query": 4096})
    wanted = tuple(name for name in COLUMNS if form[f"column_{name}"]) or DEFAULT_COLUMNS
    kept = dict(parse_qsl(kept_query(form["query"])))
    kept.pop("columns", None)
    answer = go_on(request, f"{PATH}?{urlencode(kept)}" if kept else PATH)
    insecure = pages_of(request).insecure
    value = "" if wanted == DEFAULT_COLUMNS else ".".join(wanted)
    answer.set_cookie(
        Cookie(
            key=columns_name(insecure=insecure),
            value=value,
            path="/",
            max_age=_YEAR if value else 0,
            httponly=True,
            secure=not insecure,
            samesite="lax",
        )
    )
    return answer


def kept_query(text: str) -> str:
    """Return of a URL's query what a listing knows, each field once and written anew: it leads nowhere but there."""
    given = dict(parse_qsl(text[:4096]))
    return urlencode([(name, given[name]) for name in FIELDS if given.get(name)])


def _total(counts: Counts) -> int | None:
    known: Sequence[int] = [count for count in counts.by_state.values() if count is not None]
    return min(COUNT_CAP, sum(known)) if len(known) == len(counts.by_state) else None


def task_list_routes(dashboard: DashboardDependencies) -> tuple[HTTPRouteHandler, ...]:
    """Return the routes of the list, but for its export."""
    page = TaskList(dashboard)

    @get("/tasks", opt=needs(Scope.READ))
    async def tasks(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Response[str]:
        return await page.show(request, principal)

    @post("/tasks/columns", **changing(Scope.READ, most=_FORM_BYTES))
    async def columns(request: Request[Any, Any, Any]) -> Response[None]:
        return await choose_columns(request)

    @post("/tasks/views", **changing(Scope.OPERATE, most=_FORM_BYTES))
    async def save_view(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Response[None]:
        return await page.save(request, principal)

    @post("/tasks/views/delete", **changing(Scope.OPERATE, most=_FORM_BYTES))
    async def delete_view(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Response[None]:
        return await page.delete(request, principal)

    return tasks, columns, save_view, delete_view
