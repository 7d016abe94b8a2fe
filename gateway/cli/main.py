"""The `gateway` command: its groups, each imported when it is used."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Final

import typer

from gateway.cli.lazy_commands import LazyCommand, lazy_group
from gateway.part_wrapper import PartWrapper, unwrapped
from gateway.version import gateway_version

COMMANDS: Final = {
    "init": LazyCommand(
        "gateway.cli.init",
        "init",
        "Write a repository of topics: a first topic with its test, settings, image, compose files and CI.",
    ),
    "topics": LazyCommand("gateway.cli.topics", "topics_app", "The topics that this gateway works."),
    "serve": LazyCommand("gateway.cli.serve", "serve", "Run the gateway until SIGTERM or Ctrl-C."),
    "worker": LazyCommand("gateway.cli.serve", "worker", "Run handlers only: the same as `serve --roles work`."),
    "dev": LazyCommand("gateway.cli.dev", "dev_app", "Run a gateway for developing: it reloads topics."),
    "doctor": LazyCommand(
        "gateway.cli.doctor",
        "doctor",
        "Test the settings and every server, and say what to change; ends with 1 when something does not work.",
    ),
    "config": LazyCommand(
        "gateway.cli.config",
        "config",
        "Show the settings in force, secrets masked, and where each is from; ends with 2 where they can't be used.",
    ),
    "tasks": LazyCommand("gateway.cli.tasks", "tasks_app", "The tasks of a gateway, over its HTTP API."),
    "failures": LazyCommand("gateway.cli.failures", "failures_app", "Failures by their cause."),
    "operations": LazyCommand("gateway.cli.operations", "operations_app", "Bulk retries of failed tasks."),
    "users": LazyCommand("gateway.cli.access", "users_app", "People who may log in to the dashboard."),
    "keys": LazyCommand("gateway.cli.access", "keys_app", "API keys of programs."),
    "engine": LazyCommand("gateway.cli.engine", "engine_app", "Which engine the tasks are of."),
}
"""The commands by name, in the order of the help."""
if find_spec("sandbox") is not None:  # it is no part of an installation in production
    COMMANDS["sandbox"] = LazyCommand("sandbox.cli", "app", "Real servers on this machine, without Docker.")

app = typer.Typer(
    cls=lazy_group(COMMANDS), no_args_is_help=True, help="Worker API Gateway.", pretty_exceptions_enable=False
)


def main(wrap: PartWrapper = unwrapped) -> None:
    """Run the command line; `wrap` wraps the parts of the gateway that it runs."""
    app(prog_name="gateway", obj=wrap)


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that come before a command."""


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(gateway_version())
