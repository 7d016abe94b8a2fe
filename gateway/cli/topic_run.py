"""The command `gateway topics run`: a topic's handler, run by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import uvloop

from bridge.adapters.logging.journal import OURS, StructlogJournal, configure_logging
from bridge.domain.errors import SetupError, TopicError
from bridge.domain.task import Failure
from gateway.cli.failure import fail
from gateway.cli.start import settings_of, topics_of
from gateway.trial import read_variables, run_topic, told, unfetched


def run(
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
