"""The commands: `gateway sandbox …`, or `python -m sandbox …`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from sandbox import compose
from sandbox.box import Sandbox
from sandbox.errors import Missing, SandboxError
from sandbox.kinds import KINDS
from sandbox.parts import Ids, Part
from sandbox.ports import DEFAULT_BASE

app = typer.Typer(no_args_is_help=True, help="Real servers on this machine, without Docker.", add_completion=False)

Dir = Annotated[Path, typer.Option("--dir", help="Where the sandbox keeps its data, logs and state.")]
Base = Annotated[
    int | None,
    typer.Option("--ports", help=f"The first of its eight ports; remembered in the folder.  [default: {DEFAULT_BASE}]"),
]
Which = Annotated[Part, typer.Argument(help="The part.")]
HERE = Path(".sandbox")


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except Missing as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(2) from error
    except (SandboxError, ValueError) as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(1) from error


def _say(line: str) -> None:
    typer.echo(line, err=True)


@app.command()
def up(
    directory: Dir = HERE,
    ports: Base = None,
    parts: Annotated[str | None, typer.Option(help="Only these, as engine,store,broker,jaeger.")] = None,
    *,
    memory: Annotated[
        bool | None, typer.Option("--memory/--durable", help="Engine and store in memory: for benchmarks.")
    ] = None,
    history: Annotated[
        str | None, typer.Option(help="The engine's history level: none, activity, audit, full.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help="The time zone of the engine's JVM, as America/Sao_Paulo; '' is the machine's.")
    ] = None,
    authorization: Annotated[
        bool | None,
        typer.Option("--authorization/--open", help="Users of the engine log in: demo may do all, guest nothing."),
    ] = None,
    query_limit: Annotated[
        int | None, typer.Option(help="The most that a query to the engine may ask for; 0 is no limit.")
    ] = None,
    ids: Annotated[Ids | None, typer.Option(help="The engine's ids: UUIDs, or numbers.")] = None,
    shared: Annotated[
        bool | None, typer.Option("--shared/--alone", help="Let another engine open the engine's database.")
    ] = None,
    node_of: Annotated[
        str | None, typer.Option(help="The folder of a sandbox with --shared: its engine's database is this one's too.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help=f"The kind of engine: {', '.join(KINDS)}.")] = None,
) -> None:
    """Start the parts and wait until they answer; install and build what is missing."""
    with _reported():
        chosen = [Part(name.strip()) for name in parts.split(",")] if parts else None
        box = Sandbox(
            directory,
            ports,
            say=_say,
            memory=memory,
            history=history,
            timezone=timezone,
            authorization=authorization,
            query_limit=query_limit,
            ids=ids,
            shared=shared,
            node_of=node_of,
            engine=engine,
        )
        try:
            seconds = box.up(chosen)
        except Missing as error:
            if not compose.available():
                raise
            _say(f"{error}\nDocker answers: the compose profile `sandbox` takes its place")
            box.up_in_docker()
            return
        for part, taken in seconds.items():
            typer.echo(f"{part:8}{'was up' if taken == 0 else f'up in {taken:.1f} s'}")
        if box.choices.memory:
            typer.echo("engine and store are in memory: what they hold ends with them")


@app.command()
def down(
    directory: Dir = HERE,
    ports: Base = None,
    wipe: Annotated[bool, typer.Option("--wipe", help="Delete the data and the logs as well.")] = False,
) -> None:
    """End everything that was started; the data stays."""
    with _reported():
        Sandbox(directory, ports).down(wipe=wipe)


@app.command()
def status(directory: Dir = HERE, ports: Base = None) -> None:
    """Show how each part stands."""
    with _reported():
        for part in Sandbox(directory, ports).status():
            answers = "answers" if part.answers else "-"
            typer.echo(f"{part.part:8}{part.state:9}{part.port:<7}{answers:9}{part.pid or ''}".rstrip())


@app.command()
def env(directory: Dir = HERE, ports: Base = None) -> None:
    """Print the addresses as KEY=VALUE lines."""
    with _reported():
        for name, value in Sandbox(directory, ports).env().items():
            typer.echo(f"{name}={value}")


def _act(directory: Path, ports: int | None, action: Callable[[Sandbox], object]) -> None:
    with _reported():
        action(Sandbox(directory, ports, say=_say))


@app.command()
def start(part: Which, directory: Dir = HERE, ports: Base = None) -> None:
    """Start one part with the data it had."""
    _act(directory, ports, lambda box: box.start(part))


@app.command()
def stop(part: Which, directory: Dir = HERE, ports: Base = None) -> None:
    """End one part in good order."""
    _act(directory, ports, lambda box: box.stop(part))


@app.command()
def kill(part: Which, directory: Dir = HERE, ports: Base = None) -> None:
    """SIGKILL to all processes of a part."""
    _act(directory, ports, lambda box: box.kill(part))


@app.command()
def pause(part: Which, directory: Dir = HERE, ports: Base = None) -> None:
    """Freeze a part (SIGSTOP): connected, and silent."""
    _act(directory, ports, lambda box: box.pause(part))


@app.command()
def resume(part: Which, directory: Dir = HERE, ports: Base = None) -> None:
    """Let a paused part go on."""
    _act(directory, ports, lambda box: box.resume(part))


SnapshotName = Annotated[str, typer.Argument(help="The snapshot's name.")]


@app.command()
def snapshot(part: Which, name: SnapshotName, directory: Dir = HERE) -> None:
    """Copy the data of a part that is stopped."""
    _act(directory, None, lambda box: box.snapshot(part, name))


@app.command()
def restore(part: Which, name: SnapshotName, directory: Dir = HERE) -> None:
    """Put the data of a part that is stopped back to what it was at a snapshot."""
    _act(directory, None, lambda box: box.restore(part, name))
