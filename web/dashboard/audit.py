"""The audit, for admins: filtered by the address, paged by key, and exported."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler

from bridge.domain.access import Scope
from bridge.domain.records import AuditEntry, AuditFilter
from bridge.domain.redaction import mask
from bridge.search.moments import read_instant
from web.auth.audit import audit_entry
from web.auth.guard import GivenPrincipal, needs, require
from web.components.csv_cells import cell
from web.components.forms import changing, read_form
from web.components.page import go_on, language_of_reader, pages_of, render
from web.components.page_urls import PageUrls
from web.components.preferences import preferences_of, zone_for
from web.dashboard.csv_export import separator_of
from web.dashboard.dependencies import DashboardDependencies
from web.dashboard.query_parameters import moment_parameter, text_parameter
from web.dashboard.time_pagination import read_position, write_position

PATH: Final = "/dashboard/audit"
ROWS: Final = 50
EXPORTED: Final = 10_000
"""How many entries a file has at most."""

_FIELDS: Final = {"who": 200, "action": 100, "target": 300, "since": 40, "until": 40}
_AT_ONCE: Final = 1000
_COLUMNS: Final = ("at", "who", "role", "origin", "action", "target", "reason", "before", "after", "trace", "id")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The filter of the address, and the filter as it is applied; `bad` names times that can't be read."""

    texts: dict[str, str]
    filter: AuditFilter
    bad: tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Whether every moment says its offset, so that the address means the same to everybody."""
        moments = [text for name in _MOMENTS if (text := self.texts[name]) and name not in self.bad]
        return all(read_instant(text) is not None for text in moments)


_MOMENTS: Final = ("since", "until")


def _wanted(request: Request[Any, Any, Any], texts: dict[str, str]) -> Wanted:
    zone = zone_for(request, preferences_of(request, insecure=pages_of(request).insecure))
    # In an address that somebody wrote by hand, the + of an offset is a space.
    texts |= {name: text.replace(" ", "+") for name in _MOMENTS if "T" in (text := texts[name])}
    moments = {name: moment_parameter(texts[name], zone) for name in _MOMENTS if texts[name]}
    who, action, target = (texts[name] or None for name in ("who", "action", "target"))
    wanted = AuditFilter(who, action, target, moments.get("since"), moments.get("until"))
    return Wanted(texts, wanted, tuple(name for name, moment in moments.items() if moment is None))


def changes_of(entry: AuditEntry) -> list[tuple[str, object, object]]:
    """Return what an action changed: each name with its value before and after."""
    names = dict.fromkeys([*entry.before, *entry.after])
    before, after = (mask(None, dict(values)) for values in (entry.before, entry.after))
    return [(name, _short(before.get(name)), _short(after.get(name))) for name in names]


def _short(value: object) -> object:
    """Return a value as one line of a row."""
    whole = value is None or isinstance(value, str | int | float)
    return value if whole else json.dumps(value, ensure_ascii=False, default=str)


def table_of(entries: Sequence[AuditEntry], *, head: bool, separator: str) -> str:
    """Return entries as lines of a CSV file whose cells no spreadsheet takes for formulas."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n", delimiter=separator)
    if head:
        writer.writerow(_COLUMNS)
    for entry in entries:
        values = {name: getattr(entry, name) for name in _COLUMNS}
        values["at"] = entry.at.isoformat()
        for name in ("before", "after"):
            values[name] = _json(values[name])
        writer.writerow([cell(values[name]) for name in _COLUMNS])
    return text.getvalue()


def _json(values: Mapping[str, object]) -> str:
    return json.dumps(mask(None, dict(values)), ensure_ascii=False, default=str) if values else ""


class AuditPage:
    """The page, and its export."""

    def __init__(self, dashboard: DashboardDependencies) -> None:
        self._dashboard = dashboard

    async def show(self, request: Request[Any, Any, Any]) -> Response[Any]:
        """Show entries, the newest first."""
        wanted = _wanted(request, {name: text_parameter(request, name, most) for name, most in _FIELDS.items()})
        if not wanted.exact:
            return self._with_offsets(request, wanted)
        after = read_position(text_parameter(request, "after", 512))
        found = [] if wanted.bad else list(await self._dashboard.store.entries(wanted.filter, ROWS + 1, after))
        last = found[ROWS - 1] if len(found) > ROWS else None
        zone = zone_for(request, preferences_of(request, insecure=pages_of(request).insecure))
        moments = {name: getattr(wanted.filter, name) for name in _MOMENTS}
        return render(
            request,
            "audit.html",
            entries=[(entry, changes_of(entry)) for entry in found[:ROWS]],
            wanted=wanted.texts,
            bad=wanted.bad,
            local={name: at.astimezone(zone).strftime("%Y-%m-%dT%H:%M") if at else "" for name, at in moments.items()},
            moments=moments,
            actions=ACTIONS,
            next=None if last is None else write_position(last.at, last.id),
            paged=after is not None,
            trace_url=self._dashboard.jaeger_url,
            exported=EXPORTED,
        )

    async def entries(self, wanted: AuditFilter, separator: str) -> AsyncIterator[str]:
        """Yield the lines of an export."""
        after: tuple[datetime, str] | None = None
        left = EXPORTED
        head = True
        while left > 0:
            found = await self._dashboard.store.entries(wanted, min(_AT_ONCE, left), after)
            yield table_of(found, head=head, separator=separator)
            if len(found) < min(_AT_ONCE, left):
                break
            head, left, after = False, left - len(found), (found[-1].at, found[-1].id)

    @staticmethod
    def _with_offsets(request: Request[Any, Any, Any], wanted: Wanted) -> Response[Any]:
        """Send the browser on to the same page with moments that mean the same to everybody."""
        zone = zone_for(request, preferences_of(request, insecure=pages_of(request).insecure))
        moments = {
            name: at.astimezone(zone).isoformat()
            for name in _MOMENTS
            if (at := getattr(wanted.filter, name)) is not None
        }
        links = PageUrls(request)
        return go_on(request, links.here(**moments, after=None).removeprefix(links.root))


ACTIONS: Final = (
    "login",
    "login.failed",
    "logout",
    "task.retry",
    "task.edit_missed",
    "operation.start",
    "operation.done",
    "operation.pause",
    "operation.resume",
    "operation.cancel",
    "topic.pause",
    "topic.resume",
    "audit.export",
    "user.add",
    "user.role",
    "user.topics",
    "user.password",
    "user.disable",
    "user.enable",
    "key.create",
    "key.revoke",
)
"""The values that the filter offers; others can be typed into the address."""


def audit_routes(dashboard: DashboardDependencies) -> tuple[HTTPRouteHandler, ...]:
    """Return the routes of the page and of its export."""
    page = AuditPage(dashboard)

    @get("/audit", opt=needs(Scope.ADMIN))
    async def audit(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Response[Any]:
        require(principal, Scope.ADMIN)
        return await page.show(request)

    @post("/audit/export", **changing(Scope.ADMIN, status=200))
    async def export(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Response[Any]:
        require(principal, Scope.ADMIN)
        wanted = _wanted(request, await read_form(request, _FIELDS))
        now = dashboard.clock.now()
        texts = {name: text for name, text in wanted.texts.items() if text}
        await dashboard.store.write(audit_entry(request, principal, "audit.export", "audit", now, after=texts))
        separator = separator_of(language_of_reader(request))
        text = "".join([lines async for lines in page.entries(wanted.filter, separator)])
        name = f"audit-{now:%Y%m%d-%H%M%S}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return Response("\ufeff" + text, media_type="text/csv; charset=utf-8", headers=headers)

    return audit, export
