"""The commands `gateway topics`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from bridge.domain.errors import SetupError
from gateway.cli.failure import fail
from gateway.cli.lazy_commands import LazyCommand, lazy_group
from gateway.cli.start import settings_of, topics_of
from gateway.scaffold.topics import write_topic

COMMANDS: Final = {
    "run": LazyCommand(
        "gateway.cli.topic_run",
        "run",
        "Run a topic's handler once, with no server; print its log and what the engine would be told.",
    )
}
topics_app = typer.Typer(
    cls=lazy_group(COMMANDS), no_args_is_help=True, help="The topics that this gateway works.", add_completion=False
)


@topics_app.command("list")
def list_topics() -> None:
    """List the topics with their options."""
    settings = settings_of()
    for topic in topics_of(settings).values():
        timeout = settings.task_timeout if topic.timeout is None else topic.timeout.total_seconds()
        retries = topic.retry_limit(settings.task_retry_limit)
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
