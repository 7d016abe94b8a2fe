"""The commands `gateway topics`: list topics, and write a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import uvloop

from bridge.adapters.logging.journal import OURS, StructlogJournal, configure_logging
from bridge.domain.errors import SetupError, TopicError
from bridge.domain.task import Failure
from gateway.cli.start import fail, settings_of, topics_of
from gateway.scaffold.topics import write_topic
from gateway.trial import read_variables, run_topic, told, unfetched

topics_app = typer.Typer(no_args_is_help=True, help="The topics that this gateway works.")


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


@topics_app.command("run")
def run_by_hand(
    name: Annotated[str, typer.Argument(help="The topic.")],
    variables: Annotated[
        Path | None, typer.Option(help="A JSON file with the task's variables: plain values, or with value and type.")
    ] = None,
    attempt: Annotated[int, typer.Option(min=1, help="Which run of the task it is.")] = 1,
) -> None:
    """Run a topic's handler once, with no server; print its log and what the engine would be told.

    What the handler itself calls is called. Ends with 1 where the run failed.
    """
    settings = settings_of()
    topics = topics_of(settings)
    configure_logging(level="DEBUG", json=False, ours=(*OURS, settings.topics_package))
    try:
        if name not in topics:
            raise TopicError(f"no topic {name!r} in {settings.topics_package!r}; known: {', '.join(topics) or 'none'}")
        given = {} if variables is None else read_variables(variables)
    except SetupError as error:
        fail(error)
    if left_out := unfetched(topics[name], given):
        typer.secho(f"not fetched for this topic, and left out: {', '.join(left_out)}", fg="yellow", err=True)
    journal = StructlogJournal()
    outcome = uvloop.run(run_topic(topics[name], given, settings, journal, attempt=attempt))
    journal.flush()
    for line in told(outcome):
        typer.echo(line)
    if isinstance(outcome, Failure):
        raise typer.Exit(1)
