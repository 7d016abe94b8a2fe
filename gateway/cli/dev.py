"""The commands `gateway dev`: a gateway that starts again when files change, and one that needs no servers."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import typer

from bridge.domain.errors import SetupError
from gateway.cli.failure import fail
from gateway.cli.start import settings_of
from gateway.settings import Role, Settings

dev_app = typer.Typer(invoke_without_command=True, help="Run a gateway for developing: it reloads topics.")

_Host = Annotated[str | None, typer.Option(help="Overrides HOST; with --memory it is 127.0.0.1 where not given.")]
_Port = Annotated[int | None, typer.Option(help="Overrides PORT.")]
_Memory = Annotated[bool, typer.Option("--memory", help="Run without servers; nothing is kept after the end.")]

_MEMORY_HOST: Final = "127.0.0.1"
_POLL_WAIT: Final = 1.0
"""Seconds for which the engine holds a poll, where POLL_WAIT is not set: a gateway ends only after its last poll."""
_MEMORY_SETTINGS: Final[Mapping[str, object]] = {
    "auth": "open", "insecure_cookies": True, "environment": "memory", "oidc_issuer": None,
    "oidc_hide_local_login": False, "jaeger_ui_url": None, "cockpit_url": None, "metrics_port": None,
}  # fmt: skip
_ASK_EVERY: Final = 0.2
_ANSWERS_WITHIN: Final = 30.0


def _settings(memory: bool, host: str | None, port: int | None) -> Settings:
    given = settings_of(host=host or (_MEMORY_HOST if memory else None), port=port)
    patient = "poll_wait" in given.model_fields_set
    changed: dict[str, object] = dict(_MEMORY_SETTINGS) if memory else {}
    return given.model_copy(update={**changed, **({} if patient else {"poll_wait": _POLL_WAIT})})


@dev_app.callback()
def dev(context: typer.Context, memory: _Memory = False, host: _Host = None, port: _Port = None) -> None:
    """Run the gateway as `gateway serve` does, and start it again whenever a Python file or .env.gateway changes.

    A file that can't be imported is told, and the gateway goes on as it was. With --memory the engine, the store and
    the broker are in the process itself: hand it tasks by `gateway dev task`.
    """
    if context.invoked_subcommand is not None:
        return
    settings = _settings(memory, host, port)
    environment = {**os.environ}
    if memory and settings.gateway_admin_user is None:
        environment |= {"GATEWAY_ADMIN_USER": "dev", "GATEWAY_ADMIN_PASSWORD": secrets.token_urlsafe(12)}
    arguments = ["dev", "child", "--port", str(settings.port), "--host", settings.host]
    with TemporaryDirectory(prefix="gateway-dev-") as folder:
        if memory:
            arguments += ["--memory", str(Path(folder, "kept"))]
            _tell_memory(settings, environment)
        asyncio.run(_supervise(settings.topics_package, arguments, environment))


async def _supervise(package: str, arguments: list[str], environment: Mapping[str, str]) -> None:
    from gateway.dev.processes import Lifeline, check_files  # noqa: PLC0415 - `gateway dev task` needs neither
    from gateway.dev.supervisor import Supervisor  # noqa: PLC0415
    from gateway.dev.watch import changed_files  # noqa: PLC0415

    stop, lifeline, folder = asyncio.Event(), Lifeline(), Path.cwd()
    supervisor = Supervisor(
        lambda: lifeline.start(arguments, environment),
        lambda: check_files(environment),
        changed_files(folder, package, stop),
        _say,
        stop,
    )

    def end() -> None:
        if stop.is_set():
            supervisor.kill()
        else:
            stop.set()
            _say("ending; once more ends it at once", False)

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    _say(f"watches {folder} and starts the gateway again when a Python file or .env.gateway changes", False)
    await supervisor.run()


def _say(text: str, wrong: bool) -> None:
    for line in text.splitlines():
        typer.secho(f"gateway dev: {line}", fg="red" if wrong else "cyan", err=True)


def _tell_memory(settings: Settings, environment: Mapping[str, str]) -> None:
    user = settings.gateway_admin_user or environment["GATEWAY_ADMIN_USER"]
    own = settings.gateway_admin_user is not None
    password = "that of GATEWAY_ADMIN_PASSWORD" if own else environment["GATEWAY_ADMIN_PASSWORD"]
    address = _address(settings)
    _say("IN MEMORY: no engine, no MongoDB, no RabbitMQ. Nothing is kept: all tasks are gone when this ends", True)
    _say(f"dashboard: {address}/dashboard, log in as {user}, password: {password}", False)
    _say("a task:    gateway dev task TOPIC --variables task.json, in another shell", False)


def _address(settings: Settings) -> str:
    host = settings.addresses[0]
    return f"http://{'127.0.0.1' if host in {'0.0.0.0', '::'} else host}:{settings.port}"  # noqa: S104 - as a client


@dev_app.command("child", hidden=True)
def child(
    lifeline: Annotated[int, typer.Option()],
    host: _Host = None,
    port: _Port = None,
    memory: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Run the gateway itself. `gateway dev` starts this; `memory` is the file in which one hands on to the next."""
    from gateway.cli.serve import run_gateway  # noqa: PLC0415 - the whole gateway, which the supervisor doesn't need
    from gateway.dev.processes import end_with  # noqa: PLC0415

    end_with(lifeline)
    settings, roles = _settings(memory is not None, host, port), frozenset(Role)
    if memory is None:
        run_gateway(settings, roles)
        return
    from gateway.dev.memory import MemoryServers  # noqa: PLC0415 - no other command imports what is in memory
    from gateway.dev.routes import dev_routes  # noqa: PLC0415

    servers = MemoryServers()
    _tell_loss(lambda: servers.load(memory))
    try:
        run_gateway(
            settings, roles, neighbours=servers, routes=lambda topics: dev_routes(servers.fake_engine, topics.names)
        )
    finally:
        _tell_loss(lambda: servers.save(memory))


def _tell_loss(step: Callable[[], None]) -> None:
    try:
        step()
    except SetupError as error:
        _say(str(error), True)


@dev_app.command("task")
def task(
    topic: Annotated[str, typer.Argument(help="The topic.")],
    variables: Annotated[
        Path | None, typer.Option(help="A JSON file with the task's variables, or - for standard input.")
    ] = None,
    business_key: Annotated[str | None, typer.Option(help="The process instance's business key.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the end, and print each outcome.")] = True,
    port: _Port = None,
) -> None:
    """Hand a task to the engine of `gateway dev --memory`; ends with 1 where it became an incident."""
    settings = _settings(True, None, port)
    body = {"topic": topic, "variables": _variables(variables), "business_key": business_key}
    found = _ask(settings, "POST", "/dev/tasks", body)
    address = f"{_address(settings)}/dashboard/tasks/{found['task_id']}"
    typer.echo(f"task {found['task_id']}: {address}", err=True)
    shown = 0
    while wait:
        found = _ask(settings, "GET", f"/dev/tasks/{found['task_id']}")
        for outcome in found["outcomes"][shown:]:
            typer.echo("\n".join(outcome))
        shown = len(found["outcomes"])
        if found["state"] != "open":
            break
        time.sleep(_ASK_EVERY)
    if found["state"] == "incident":
        raise typer.Exit(1)


def _variables(file: Path | None) -> object:
    if file is None:
        return {}
    try:
        return json.loads(sys.stdin.read() if str(file) == "-" else file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        fail(SetupError(f"{file} can't be read: {error}"))


def _ask(settings: Settings, method: str, path: str, body: object = None) -> dict[str, Any]:
    """Make a call; while nothing answers, as when the gateway starts again, wait for it."""
    import httpx  # noqa: PLC0415 - of these commands only this one asks

    address, last = _address(settings), time.monotonic() + _ANSWERS_WITHIN
    while True:
        try:
            answer = httpx.request(method, address + path, json=body, timeout=_ANSWERS_WITHIN)
            break
        except httpx.ConnectError as error:
            if time.monotonic() > last:
                hint = "start `gateway dev --memory` in another shell, in the same folder"
                fail(SetupError(f"nothing answers at {address} ({error}): {hint}"))
            time.sleep(_ASK_EVERY)
        except httpx.HTTPError as error:
            fail(SetupError(f"{address} does not answer as a gateway does: {error}"))
    if answer.status_code in {404, 405} and method == "POST":
        why = "the gateway there works an engine's tasks: start a process in that engine, or run `gateway dev --memory`"
        fail(SetupError(f"{address} takes no tasks by this command: {why}"))
    if answer.is_error:
        fail(SetupError("; ".join(_problems(answer.json()))))
    return dict(answer.json())


def _problems(problem: Mapping[str, Any]) -> Iterator[str]:
    yield str(problem.get("detail") or problem.get("title"))
    for error in problem.get("errors", ()):
        yield f"{error.get('field', '')}: {error.get('message', error)}"
