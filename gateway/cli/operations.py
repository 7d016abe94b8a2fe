"""The commands `gateway operations`: many failed tasks tried again by one operation, over the HTTP API."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer
from ulid import ULID

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
from gateway.cli.failure import ExitCode
from gateway.cli.output import moment, note, print_fields, print_json, print_table, printable
from gateway.cli.tasks import QUERY_HELP

operations_app = typer.Typer(no_args_is_help=True, help="Bulk retries of failed tasks.", add_completion=False)

Query = Annotated[list[str], typer.Argument(help=QUERY_HELP)]
Id = Annotated[str, typer.Argument(metavar="OPERATION", help="The operation's id.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept in the audit.")]
COLUMNS: Final = ("OPERATION", "STATE", "DONE", "STARTED", "BY", "REASON", "SEARCH")


@operations_app.command("list")
def list_operations(
    *,
    limit: Annotated[int, typer.Option(min=1, max=PAGE, help="At most so many.")] = 20,
    after: Annotated[str | None, typer.Option(help="Go on behind the page that named this cursor.")] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
) -> None:
    """List operations, the newest first."""
    with api_client(url, key_file, ca_file) as api:
        found = api.get("/operations", limit=limit, after=after)
    if as_json:
        print_json(found)
        return
    print_table(COLUMNS, [_row(one) for one in found["operations"]])
    if found["next"] is not None:
        note(f"There are more: --after {found['next']} goes on here.")


@operations_app.command("show")
def show_operation(
    *,
    operation: Id,
    items: Annotated[bool, typer.Option("--items", help="With each of its tasks.")] = False,
    result: Annotated[
        str | None, typer.Option(help="Only tasks of this result: pending, requeued, skipped or failed.")
    ] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
) -> None:
    """Show how far an operation is. Ends with 3 where there is none of that id."""
    with api_client(url, key_file, ca_file) as api:
        found = api.get(_path(operation))
        if items or result is not None:
            found["items"] = _items(api, operation, result)
    _print(found, as_json=as_json)


@operations_app.command("preview")
def preview_operation(
    *, query: Query, as_json: AsJson = False, url: Url = DEFAULT_URL, key_file: KeyFile = None, ca_file: CaFile = None
) -> None:
    """Count the tasks of a search that would be tried again; nothing is changed."""
    with api_client(url, key_file, ca_file) as api:
        preview = api.get("/operations/preview", q=" ".join(query))
    if as_json:
        print_json(preview)
    else:
        _print_preview(preview)


@operations_app.command("start")
def start_operation(
    *,
    query: Query,
    reason: Reason,
    rate: Annotated[int, typer.Option(min=1, max=500, help="Tasks a second.")] = 20,
    expected: Annotated[
        int | None, typer.Option(min=1, help="Start without asking where exactly so many would be tried again.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Start without asking, however many they are.")] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
) -> None:
    """Have all failed tasks of a search tried again. Shows them first and asks; ends with 5 where they have changed."""
    text = " ".join(query)
    with api_client(url, key_file, ca_file) as api:
        count = expected if expected is not None else _confirmed(api, text, yes=yes)
        body = {"query": text, "expected": count, "reason": reason, "rate": rate, "id": str(ULID())}
        try:
            started = api.post("/operations", body)
        except CallFailed as error:
            if "type" in error.problem:
                raise
            hint = f"`gateway operations show {body['id']}` tells whether it has begun"
            raise CallFailed(f"{error}; {hint}", error.code) from error
    _print(started, as_json=as_json)


@operations_app.command("pause")
def pause_operation(
    *,
    operation: Id,
    reason: Reason,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
) -> None:
    """Pause an operation: pending tasks stay as they are."""
    with api_client(url, key_file, ca_file) as api:
        _print(api.post(f"{_path(operation)}/pause", {"reason": reason}), as_json=as_json)


@operations_app.command("resume")
def resume_operation(
    *,
    operation: Id,
    reason: Reason,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
) -> None:
    """Go on with a paused operation."""
    with api_client(url, key_file, ca_file) as api:
        _print(api.post(f"{_path(operation)}/resume", {"reason": reason}), as_json=as_json)


@operations_app.command("cancel")
def cancel_operation(
    *,
    operation: Id,
    reason: Reason,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
) -> None:
    """Cancel an operation: pending tasks stay as they are, for good."""
    with api_client(url, key_file, ca_file) as api:
        _print(api.post(f"{_path(operation)}/cancel", {"reason": reason}), as_json=as_json)


def _confirmed(api: ApiClient, query: str, *, yes: bool) -> int:
    """Show what would be tried again, ask, and return how many tasks were confirmed. Raises `CallFailed`."""
    if not yes and not sys.stdin.isatty():
        raise CallFailed("nobody is there to be asked: say --expected N, or --yes", ExitCode.USAGE)
    preview = api.get("/operations/preview", q=query)
    count = int(preview["eligible"])
    if not count:
        raise CallFailed("none of these tasks can be tried again: only failed ones can", ExitCode.CONFLICT)
    if not yes:
        _print_preview(preview, err=True)
        typer.confirm(f"Try {count} tasks again?", abort=True, err=True)
    return count


def _items(api: ApiClient, operation: str, result: str | None) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    after: int | None = -1
    while after is not None:
        page = api.get(f"{_path(operation)}/items", result=result, limit=PAGE, after=after)
        items += page["items"]
        after = page["next"]
    return items


def _path(operation: str) -> str:
    return f"/operations/{quote(operation, safe='')}"


def _row(one: Mapping[str, Any]) -> tuple[object, ...]:
    totals = one["totals"]
    done = f"{totals['total'] - totals['pending']}/{totals['total']}"
    return one["id"], one["state"], done, moment(one["created_at"]), one["by"], one["reason"], one["query"]


def _print(one: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(one)
        return
    totals = one["totals"]
    outcomes = ", ".join(f"{count} {name}" for name, count in totals["outcomes"].items())
    counts = {name: totals[name] for name in ("total", "requeued", "skipped", "failed", "pending", "waiting")}
    fields = {name: one[name] for name in ("id", "state", "query", "reason", "by", "rate")}
    moments = {"started": moment(one["created_at"]), "ended": moment(one["ended_at"])}
    print_fields({**fields, **moments, **counts, "outcomes": outcomes})
    if "items" in one:
        typer.echo("")
        rows = [(item["task_id"], item["result"], item["outcome"], item["detail"]) for item in one["items"]]
        print_table(("TASK", "RESULT", "OUTCOME", "DETAIL"), rows)


def _print_preview(preview: Mapping[str, Any], *, err: bool = False) -> None:
    more = " (there are more, which are left out)" if preview["capped"] else ""
    typer.echo(f"{preview['eligible']} tasks would be tried again, {preview['ineligible']} can't be{more}", err=err)
    parts = {"topic": preview["by_topic"], "error": preview["by_error"], "state": preview["by_status"]}
    for name, counts in parts.items():
        listed = ", ".join(f"{printable(value) or 'none'} {count}" for value, count in counts.items())
        typer.echo(f"  by {name}: {listed}", err=err)
