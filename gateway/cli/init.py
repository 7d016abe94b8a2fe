"""The command `gateway init`: a repository of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.domain.errors import SetupError
from gateway.cli.failure import fail
from gateway.scaffold.repository import write_repository
from gateway.version import gateway_version


def init(
    folder: Annotated[Path, typer.Argument(help="A new folder; its name is the repository's. `.` is this one.")],
) -> None:
    """Write a repository of topics: a first topic with its test, settings, image, compose files and CI."""
    root = folder.resolve()
    try:
        written = write_repository(root, gateway_version())
    except SetupError as error:
        fail(error)
    for path in written:
        typer.echo(f"wrote {path.relative_to(root)}")
    enter = [] if root == Path.cwd() else [f"cd {folder}"]
    steps = [*enter, 'pip install -e ".[dev]"', "pytest", "gateway dev --memory"]
    typer.echo("\nNext, as README.md says:")
    for step in steps:
        typer.echo(f"    {step}")
