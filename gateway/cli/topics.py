"""The commands `gateway topics`: what this gateway works."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.domain.errors import SetupError
from gateway.cli.start import fail, settings_of, topics_of
from gateway.scaffold.topics import write_topic

topics_app = typer.Typer(no_args_is_help=True, help="The topics that this gateway works.")


@topics_app.command("list")
def list_topics() -> None:
    """List the topics with their terms."""
    settings = settings_of()
    for topic in topics_of(settings).values():
        timeout = settings.task_timeout if topic.timeout is None else topic.timeout.total_seconds()
        retries = settings.task_retry_limit if topic.retries is None else topic.retries
        kind = "async" if topic.is_async else "thread"
        typer.echo(f"{topic.name:30} timeout={timeout:g}s concurrency={topic.concurrency} retries={retries} {kind}")
        typer.echo(f"{'':30} variables={'*' if topic.variables is None else ','.join(topic.variables) or 'none'}")
        for name, value in topic.filters.items():
            typer.echo(f"{'':30} {name}={value}")


@topics_app.command("new")
def new_topic(name: Annotated[str, typer.Argument(help="The topic's name in the process model.")]) -> None:
    """Write a topic's file and its test, into the package that TOPICS_PACKAGE names."""
    package = settings_of().topics_package
    try:
        for path in write_topic(name, Path.cwd(), package):
            typer.echo(f"wrote {path.relative_to(Path.cwd())}")
    except SetupError as error:
        fail(error)
