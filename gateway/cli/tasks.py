"""The commands `gateway tasks`: search, look, retry and export, over the HTTP API."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, TextIO
from urllib.parse import quote

import typer

from gateway.cli.api_client import (
    DEFAULT_URL,
    PAGE,
    ApiClient,
    AsJson,
    CaFile,
    CallFailed,
    KeyFile,
    Url,
    api_client,
)
from gateway.cli.failure import ExitCode, fail
from gateway.cli.output import moment, note, print_fields, print_json, print_table, printable
from web.components.csv_cells import cell

tasks_app = typer.Typer(no_args_is_help=True, help="The tasks of a gateway, over its HTTP API.", add_completion=False)

QUERY_HELP: Final = (
    "A search as on the dashboard: state:failed topic:ship. After -- it may begin with a minus: -- -tenant:test."
)
Query = Annotated[list[str] | None, typer.Argument(help=QUERY_HELP)]
Sort = Annotated[str, typer.Option(help="updated, created, finished, attempts or priority; -updated: latest first.")]
COLUMNS: Final = ("TASK", "STATE", "TOPIC", "ATTEMPTS", "UPDATED", "BUSINESS KEY", "ERROR")
FIELDS: Final = (
    "task_id", "status", "topic", "business_key", "process_definition_key", "process_instance_id", "activity_id",
    "tenant_id", "priority", "attempts", "retries", "worker_id", "source", "replica", "operation", "error_type",
    "error_fp", "error", "created_at", "updated_at", "finished_at",
)  # fmt: skip
"""The columns of an export."""


class Format(StrEnum):
    """How a file of tasks is written."""

    NDJSON = "ndjson"
    CSV = "csv"


@tasks_app.command("list")
def list_tasks(
    *,
    query: Query = None,
    sort: Sort = "-updated",
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    every: Annotated[bool, typer.Option("--all", help="All that are found.")] = False,
    after: Annotated[str | None, typer.Option(help="Go on behind the page that named this cursor.")] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
) -> None:
    """Search tasks."""
    tasks: list[dict[str, Any]] = []
    unreadable: list[dict[str, Any]] = []
    with api_client(url, key_file, ca_file) as api:
        for page in _pages(api, " ".join(query or ()), sort, after, None if every else limit):
            tasks += page["tasks"]
            unreadable += page["unreadable"]
            after = page["next"]
    if as_json:
        print_json({"tasks": tasks, "unreadable": unreadable, "next": after})
        return
    print_table(COLUMNS, [_row(task) for task in tasks] + [_unreadable_row(task) for task in unreadable])
    if after is not None:
        note(f"There are more: --all lists them, and --after {after} goes on here.")


@tasks_app.command("show")
def show_task(
    *,
    task_id: Annotated[str, typer.Argument(help="The external task's id.")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
) -> None:
    """Show a task and its runs. Ends with 3 where none is kept under the id."""
    with api_client(url, key_file, ca_file) as api:
        task = api.get(f"/tasks/{quote(task_id, safe='')}")
    if as_json:
        print_json(task)
        return
    shown = {name: value for name, value in task.items() if name not in {"runs", "result"}}
    result = None if task["result"] is None else json.dumps(task["result"], ensure_ascii=False)
    print_fields({name.replace("_", " "): value for name, value in shown.items()} | {"result": result})
    for run in task["runs"]:
        typer.echo(
            f"\nrun {run['number']}: {printable(run['ended'])} {moment(run['ended_at'])} in {printable(run['replica'])}"
        )
        if run["error"] or run["message"]:
            typer.echo(f"  {printable(run['error'])}: {printable(run['message'])}")
        for line in (run["details"] or "").splitlines():
            typer.echo(f"  {printable(line)}")


@tasks_app.command("retry")
def retry_tasks(
    *,
    task_ids: Annotated[list[str], typer.Argument(metavar="TASK_ID...", help="The failed tasks.")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
) -> None:
    """Try failed tasks again at once. `gateway operations start` does so for all that a search finds."""
    code = 0
    done: list[dict[str, Any]] = []
    with api_client(url, key_file, ca_file) as api:
        for task_id in task_ids:
            try:
                done.append(api.post(f"/tasks/{quote(task_id, safe='')}/retry"))
            except CallFailed as error:
                if error.code is ExitCode.DENIED or "type" not in error.problem:
                    raise
                code = code or error.code
                done.append({"task_id": task_id, "problem": dict(error.problem)})
    if as_json:
        print_json({"tasks": done})
    else:
        for one in done:
            problem = one.get("problem")
            said = f"not retried: {problem['detail']}" if problem else "will be tried again"
            typer.echo(f"{printable(one['task_id'])}  {printable(said)}")
    if code:
        raise typer.Exit(code)


@tasks_app.command("export")
def export_tasks(
    *,
    query: Query = None,
    sort: Sort = "-updated",
    form: Annotated[Format, typer.Option("--format", help="Lines of JSON, or CSV.")] = Format.NDJSON,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file; it is written whole, or not at all.")
    ] = None,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
) -> None:
    """Write all tasks that a search finds, page by page. Ends with 1 where not all could be written."""
    count = 0
    with _opened(output) as file, api_client(url, key_file, ca_file) as api:
        if form is Format.CSV:
            file.write(_csv(FIELDS))
        for page in _pages(api, " ".join(query or ()), sort, None, None):
            for task in page["tasks"]:
                file.write(_line(task, form))
            count += len(page["tasks"])
            for one in page["unreadable"]:
                note(f"left out, as this gateway can't read it: {printable(one['task_id'])}")
    note(f"{count} tasks written")


def _pages(api: ApiClient, query: str, sort: str, after: str | None, most: int | None) -> Iterator[dict[str, Any]]:
    """Go through the pages of a search until it ends, or has given so many tasks."""
    left = most
    while left is None or left > 0:
        limit = PAGE if left is None else min(PAGE, left)
        page = api.get("/tasks/search", q=query, sort=sort, limit=limit, after=after)
        yield page
        after = page["next"]
        if after is None:
            return
        left = None if left is None else left - len(page["tasks"]) - len(page["unreadable"])


def _row(task: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        task["task_id"], task["status"], task["topic"], task["attempts"], moment(task["updated_at"]),
        task["business_key"], task["error"],
    )  # fmt: skip


def _unreadable_row(task: Mapping[str, Any]) -> tuple[object, ...]:
    return task["task_id"], task["status"], task["topic"], "", "", "", task["reason"]


def _line(task: Mapping[str, Any], form: Format) -> str:
    if form is Format.NDJSON:
        return json.dumps(task, ensure_ascii=False) + "\n"
    return _csv([cell(task[name]) for name in FIELDS])


def _csv(cells: Any) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    """Give standard output, or a file that takes the place of `output` once all is written."""
    if output is None:
        yield sys.stdout
        return
    part = output.with_name(f"{output.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
        os.replace(part, output)
    except OSError as error:
        fail(CallFailed(f"{output} can't be written: {error.strerror}", ExitCode.ERROR), ExitCode.ERROR)
    finally:
        part.unlink(missing_ok=True)
