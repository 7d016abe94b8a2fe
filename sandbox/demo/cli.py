"""The command `python -m sandbox.demo`."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bridge.domain.errors import SetupError
from gateway.settings import read_settings
from sandbox.demo.errors import DemoError
from sandbox.demo.gateway import environment, gateway
from sandbox.demo.progress import Limits
from sandbox.demo.run import Demo, Plan
from sandbox.demo.servers import servers
from sandbox.errors import SandboxError

app = typer.Typer(add_completion=False)

_INTERRUPTED = 130
_WIDTH = 120


@app.command()
def main(  # noqa: PLR0917 - each parameter is an option of the command
    instances: Annotated[int, typer.Option("--instances", "-n", min=1, help="Process instances to start.")] = 200,
    leave: Annotated[bool, typer.Option("--exit", help="End everything when the checks are through.")] = False,
    seed: Annotated[int, typer.Option(help="Of the made-up data: the same seed, the same data.")] = 2026,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Instances that are started at once.")] = 8,
    time_limit: Annotated[float, typer.Option(min=1, help="Seconds until the run is given up.")] = 600,
    stall: Annotated[float, typer.Option(min=1, help="Seconds without progress until it's given up.")] = 120,
    directory: Annotated[Path, typer.Option("--dir", help="Where the sandbox keeps its data and logs.")] = Path(
        ".sandbox"
    ),
    ports: Annotated[int | None, typer.Option(help="The first of the sandbox's eight ports.")] = None,
) -> None:
    """Start real servers and the gateway, run process instances, and check each one's end in the engine.

    CAMUNDA_URL, MONGODB_URI and RABBITMQ_URL together name other servers to use. Ends with 0 when every check holds.
    """
    # As Ctrl-C: also a `kill` of the demo must not leave its servers behind. A shell's background job ignores SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    plan = Plan(f"demo-{secrets.token_hex(4)}", instances, seed, concurrency, Limits(time_limit, stall))
    console, errors = _console(), Console(stderr=True)
    try:
        holds = _play(plan, directory, ports, console, stay=not leave)
    except (DemoError, SandboxError, SetupError) as failure:
        errors.print(str(failure), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None
    if not holds:
        raise typer.Exit(1)


def _console() -> Console:
    console = Console()
    # Rich takes a pipe or a file for 80 columns wide, which the tables aren't.
    return console if console.is_terminal else Console(width=_WIDTH)


def _play(plan: Plan, directory: Path, ports: int | None, console: Console, *, stay: bool) -> bool:
    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    with servers(directory, ports, os.environ, say) as found:
        env = environment(found.env)
        settings = read_settings(camunda_url=env["CAMUNDA_URL"])
        log = directory / "logs" / "gateway.log"
        with gateway(env, log, say) as started:
            demo = Demo(plan, settings, started, env, found.ours, console)
            return asyncio.run(demo.play(stay=stay))
