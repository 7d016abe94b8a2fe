"""The command `gateway failures list`: failures by their cause, over the HTTP API."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.api_client import DEFAULT_URL, AsJson, CaFile, KeyFile, Url, api_client
from gateway.cli.output import moment, print_json, print_table

failures_app = typer.Typer(no_args_is_help=True, help="Failures by their cause.", add_completion=False)


@failures_app.callback()
def failures() -> None:
    """Failures by their cause."""


@failures_app.command("list")
def list_failures(
    *,
    range_: Annotated[str, typer.Option("--range", help="How far back: 1h, 6h, 24h or 7d.")] = "24h",
    sort: Annotated[str, typer.Option(help="count: most frequent first; last: latest; new: begun latest.")] = "count",
    topic: Annotated[str | None, typer.Option(help="Only this topic.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many.")] = 50,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    ca_file: CaFile = None,
) -> None:
    """List the groups; `gateway tasks list fp:GROUP` finds the tasks of one."""
    with api_client(url, key_file, ca_file) as api:
        found = api.get("/failures", range=range_, sort=sort, topic=topic, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (group["count"], group["fp"], group["topic"], group["error"], moment(group["last_seen"]), group["sample"])
        for group in found["failures"]
    ]
    print_table(("FAILED", "GROUP", "TOPIC", "ERROR", "LAST", "SAMPLE"), rows)
