"""The list of tasks as a file, up to a limit, with secrets masked, and with an audit entry."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl

from litestar import Request, post
from litestar.exceptions import ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from bridge.domain.access import Principal, Scope
from bridge.domain.messages import message
from bridge.domain.redaction import mask_start
from bridge.domain.task import Task, UnreadableTask
from bridge.ports.dashboard import TooSlow
from bridge.runtime.own_threads import OwnThreads
from web.api.schemas import LONGEST_ERROR
from web.auth.audit import audit_entry
from web.auth.guard import GivenPrincipal
from web.components.csv_cells import cell
from web.components.forms import changing, read_form
from web.components.page import language_of_reader, pages_of
from web.components.preferences import preferences_of, zone_for
from web.dashboard.csv_export import separator_of
from web.dashboard.dependencies import DashboardDependencies
from web.dashboard.task_listing import Listing, read_listing
from web.dashboard.unreadable import as_row
from web.i18n.messages import translate
from web.i18n.texts import ENGLISH

CAP: Final = 10_000
"""How many tasks a file has at most."""
_CHUNK: Final = 500
_NAMES: Final = (
    "id",
    "state",
    "topic",
    "business_key",
    "process_definition_key",
    "process_instance_id",
    "activity_id",
    "tenant_id",
    "priority",
    "attempts",
    "retries",
    "error_type",
    "error",
    "error_fp",
    "replica",
    "created_at",
    "updated_at",
    "finished_at",
)
Value = str | int | None
Writer = Callable[[list[Mapping[str, Value]]], str]


def as_csv(rows: list[Mapping[str, Value]], separator: str = ",") -> str:
    """Return rows of a CSV file; no cell of it is a formula to a spreadsheet."""
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows([cell(row[name]) for name in _NAMES] for row in rows)
    return text.getvalue()


def as_ndjson(rows: list[Mapping[str, Value]]) -> str:
    """Return a line of JSON for each row."""
    return "".join(json.dumps(dict(row), ensure_ascii=False) + "\n" for row in rows)


def csv_note(text: str, separator: str = ",") -> str:
    """Return a row of a CSV file that says what the file lacks; it has as many cells as the others."""
    row = io.StringIO()
    csv.writer(row, delimiter=separator).writerow([f"INCOMPLETE: {text}", *[""] * (len(_NAMES) - 1)])
    return row.getvalue()


def ndjson_note(text: str) -> str:
    """Return a line of JSON that says what the file lacks; no task has its field."""
    return json.dumps({"incomplete": text}) + "\n"


@dataclass(frozen=True, slots=True)
class Format:
    """How a file is written: its rows, what is said at its end where it lacks some, its head, and its language."""

    write: Writer
    note: Callable[[str], str]
    media_type: str
    head: str = ""
    ending: str = "csv"
    language: str = ENGLISH


_FORMATS: Final[Mapping[str, Format]] = {
    "csv": Format(as_csv, csv_note, "text/csv; charset=utf-8", ",".join(_NAMES) + "\r\n"),
    "ndjson": Format(as_ndjson, ndjson_note, "application/x-ndjson", ending="ndjson"),
}
_EXCEL: Final = "excel"


def format_of(name: str, language: str) -> Format | None:
    """Return the format of a name; None where there is none.

    `excel` is CSV as Excel opens it by a double click: with a mark of UTF-8, and the separator of their language.
    People read CSV, so its errors are in the language of the page; programs read NDJSON, which is in English.
    """
    if name == "csv":
        return replace(_FORMATS[name], language=language)
    if name != _EXCEL:
        return _FORMATS.get(name)
    separator = separator_of(language)
    return Format(
        partial(as_csv, separator=separator),
        partial(csv_note, separator=separator),
        "text/csv; charset=utf-8",
        f"\ufeff{separator.join(_NAMES)}\r\n",
        language=language,
    )


class Export:
    """Writes the file page by page, so that a long one isn't held in memory."""

    def __init__(self, dashboard: DashboardDependencies) -> None:
        self._dashboard = dashboard
        self._threads = OwnThreads("export", 1)

    async def answer(self, request: Request[Any, Any, Any], principal: Principal) -> Stream:
        """Write an audit entry, and send the file."""
        form = await read_form(request, {"query": 4096, "format": 8})
        format_ = format_of(form["format"], language_of_reader(request))
        if format_ is None:
            raise ValidationException(detail=message("request.export"))
        now = self._dashboard.clock.now()
        zone = zone_for(request, preferences_of(request, insecure=pages_of(request).insecure))
        listing = read_listing(dict(parse_qsl(form["query"])), zone, now, topics=principal.topics)
        if listing.error is not None or listing.wrong:
            why = ", ".join(listing.wrong) if listing.error is None else listing.error.message
            raise ValidationException(detail=message("request.list", error=why))
        after = {"query": listing.text, "format": form["format"], "at_most": CAP}

        async def audit(**more: object) -> None:
            at = self._dashboard.clock.now()
            entry = audit_entry(request, principal, "tasks.export", "tasks", at, after={**after, **more})
            await self._dashboard.store.write(entry)

        await audit()
        name = f"tasks-{now:%Y%m%d-%H%M%S}.{format_.ending}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Stream(self._written(listing, now, format_, audit), media_type=format_.media_type, headers=headers)

    async def _written(
        self, listing: Listing, now: datetime, format_: Format, audit: Callable[..., Awaitable[None]]
    ) -> AsyncIterator[bytes]:
        yield format_.head.encode()
        cursor: str | None = None
        left = CAP
        while left > 0:
            search = self._dashboard.store.search
            found = await search(listing.whole, listing.sort, min(_CHUNK, left), cursor, now=now)
            if isinstance(found, TooSlow):
                # The person who opens the file often did not export it, and sees no other sign that rows are missing.
                seconds, tasks = found.within.total_seconds(), CAP - left
                yield format_.note(
                    f"the search took longer than {seconds:g} s after {tasks} tasks; narrow the query, and export again"
                ).encode()
                await audit(incomplete=f"the search took longer than {seconds:g} s", tasks=tasks)
                return
            # Hundreds of rows, whose errors are masked: in a thread, so that the loop goes on between them.
            yield await self._threads.run(self._rows, format_, found.tasks)
            left, cursor = left - len(found.tasks), found.next
            if cursor is None:
                return

    def _rows(self, format_: Format, tasks: Iterable[Task | UnreadableTask]) -> bytes:
        return format_.write([self._row(task, format_.language) for task in tasks]).encode()

    def _row(self, task: Task | UnreadableTask, language: str) -> Mapping[str, Value]:
        error = task.reason if isinstance(task, UnreadableTask) else task.error
        fields = as_row(task) if isinstance(task, UnreadableTask) else {name: getattr(task, name) for name in _NAMES}
        also = self._dashboard.secrets_of(fields["topic"])
        masked = None if error is None else mask_start(translate(language, error), LONGEST_ERROR, also)
        row: dict[str, Value] = {}
        for name in _NAMES:
            value = masked if name == "error" else fields[name]
            row[name] = value.isoformat() if isinstance(value, datetime) else value
        return row


def export_routes(dashboard: DashboardDependencies) -> tuple[HTTPRouteHandler, ...]:
    """Return the route of the export. It is no GET, as it leaves an entry in the audit."""
    export = Export(dashboard)

    @post("/tasks/export", **changing(Scope.READ, status=200))
    async def file(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Stream:
        return await export.answer(request, principal)

    return (file,)
