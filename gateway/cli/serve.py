"""The commands `gateway serve` and `gateway worker`: a process of the gateway."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Annotated

import typer
import uvloop
from dotenv import dotenv_values
from litestar.types import ControllerRouterHandler

from bridge.adapters.logging.journal import OURS, StructlogJournal, configure_logging, task_log, wants_json
from bridge.domain.errors import ServerEnded, SetupError
from bridge.ports.journal import Level
from bridge.registry import Registry
from gateway.adapters import Servers
from gateway.checks.startup import StartupChecks
from gateway.cli.failure import fail
from gateway.cli.start import settings_of, topics_for
from gateway.event_loop import THREAD_TURN, run_to_end
from gateway.neighbours import Neighbours
from gateway.part_wrapper import PartWrapper, unwrapped
from gateway.process import Process
from gateway.settings import Role, Settings
from gateway.settings_file import settings_file
from gateway.shutdown import LAST, OVERTIME, exit_after, left_threads
from gateway.wiring import Gateway, TaskLog


def _roles(text: str) -> frozenset[Role]:
    try:
        return frozenset(Role(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        fail(SetupError(f"--roles {text}: choose from {', '.join(Role)}"))


def serve(
    context: typer.Context,
    roles: Annotated[str, typer.Option(help="What this process does, of web,intake,work.")] = "web,intake,work",
    host: Annotated[str | None, typer.Option(help="Overrides HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Overrides PORT.")] = None,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C."""
    chosen = _roles(roles)
    if not chosen:
        fail(SetupError("--roles is empty: choose from web,intake,work"))
    run_gateway(settings_of(host=host, port=port), chosen, context.obj or unwrapped)


def worker(context: typer.Context) -> None:
    """Run handlers only: the same as `serve --roles work`."""
    run_gateway(settings_of(), frozenset({Role.WORK}), context.obj or unwrapped)


def _read_otel(file: Path) -> None:
    """Give OpenTelemetry the OTEL_* variables of the settings' file: it reads the environment alone."""
    for name, value in dotenv_values(file).items():
        if name.startswith("OTEL_") and value:
            os.environ.setdefault(name, value)


def run_gateway(
    settings: Settings,
    roles: frozenset[Role],
    wrap: PartWrapper = unwrapped,
    *,
    neighbours: Neighbours = Servers(),
    routes: Callable[[Registry], Sequence[ControllerRouterHandler]] = lambda _topics: (),
) -> None:
    """Run a gateway until it is told to stop, or end the command where it can't be run.

    `neighbours` makes its engine, store and broker, `routes` what it serves besides its own.
    """
    json = wants_json(settings.log_format, sys.stderr.isatty())
    ours = (*OURS, settings.topics_package)
    configure_logging(level="DEBUG" if settings.debug else settings.log_level, json=json, ours=ours)
    topics = topics_for(settings, roles)
    _read_otel(settings_file(os.environ))
    journal, code = StructlogJournal(), 1
    if not topics:
        journal.write("no_topics", level=Level.WARNING, package=settings.topics_package, roles=sorted(roles))
    log: TaskLog = lambda task, secrets: task_log(journal, task, secrets=secrets)  # noqa: E731

    def process(stop: asyncio.Event) -> Process:
        gateway = Gateway(settings, roles, topics, journal, log, wrap=wrap, neighbours=neighbours)
        checks = StartupChecks(gateway) if isinstance(neighbours, Servers) else None
        return Process(gateway, stop, routes(topics), checks)

    sys.setswitchinterval(THREAD_TURN)
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    try:
        run_to_end(
            runner,
            _until_signalled(process, settings, journal),
            lambda error: journal.write("exit_ignored", level=Level.ERROR, error=repr(error), stack=error),
        )
        code = 0
    except SetupError as error:
        code = 2
        fail(error, code)
    except ServerEnded as error:
        fail(error, code)
    except BaseException as error:
        # Written here: threads that are left may keep Python from showing the error at its end.
        journal.write("process_failed", level=Level.ERROR, error=repr(error), stack=error)
        raise
    finally:
        exit_after(LAST, code, lambda: journal.write("exit_forced", level=Level.WARNING, threads=left_threads()))
        runner.close()


def _limit_end(settings: Settings, journal: StructlogJournal) -> Callable[..., None]:
    """Return what bounds the time of the end; it may be called more than once, and as a handler of signals."""
    once = Lock()

    def tell() -> None:
        journal.write("shutdown_overdue", level=Level.ERROR, threads=left_threads())
        journal.flush()

    def limit(*_: object) -> None:
        if once.acquire(blocking=False):
            exit_after(settings.shutdown_grace + OVERTIME, 1, tell)

    return limit


async def _until_signalled(
    process: Callable[[asyncio.Event], Process], settings: Settings, journal: StructlogJournal
) -> None:
    stop, limit_end = asyncio.Event(), _limit_end(settings, journal)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
        # A handler that blocks the loop keeps it from a signal; Python calls this function even then.
        signal.signal(number, limit_end)
    try:
        await process(stop).run()
    finally:
        journal.flush()
