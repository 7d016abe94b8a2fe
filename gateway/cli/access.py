"""The commands `gateway users` and `gateway keys`: people and API keys."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, TypeVar

import typer
import uvloop

from bridge.access.accounts import Accounts, check_password
from bridge.adapters.mongo.clock import SharedClock
from bridge.adapters.passwords import Argon2Passwords
from bridge.domain.access import Role, Scope
from bridge.domain.errors import GatewayError, Refusal
from gateway.adapters import mongo_access_store, mongo_dashboard_store
from gateway.cli.audit import RecordedActions
from gateway.cli.failure import fail
from gateway.settings import read_settings

users_app = typer.Typer(no_args_is_help=True, help="People who may log in to the dashboard.")
keys_app = typer.Typer(no_args_is_help=True, help="API keys of programs.")

_Result = TypeVar("_Result")
_Stdin = Annotated[bool, typer.Option("--stdin", help="Read the password from the first line of the input.")]
_Topic = Annotated[list[str] | None, typer.Option(help="Only this topic; repeat it to name several.")]
_Name = Annotated[str, typer.Argument(help="The name to log in with.")]


def _run(work: Callable[[Accounts], Awaitable[_Result]]) -> _Result:
    async def with_store() -> _Result:
        settings = read_settings()
        async with mongo_access_store(settings, pool_size=2) as store:
            clock = SharedClock(store.server_time, samples=1)
            await clock.sync()
            recorded = RecordedActions()
            done = await work(Accounts(store, Argon2Passwords(), clock, recorded))
            entries = recorded.entries(clock.now())
        if entries:
            async with mongo_dashboard_store(settings, pool_size=2) as dashboard_store:
                for entry in entries:
                    await dashboard_store.write(entry)
        return done

    try:
        return uvloop.run(with_store())
    except GatewayError as error:
        fail(error)


def _password(from_input: bool) -> str:
    """Ask for a password twice, or read it from standard input: never from an argument, which others can see."""
    if from_input:
        text = sys.stdin.readline().rstrip("\r\n")
    else:
        text = str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    try:
        check_password(text)
    except Refusal as error:
        fail(error)
    return text


@users_app.command("add")
def add_user(
    name: _Name,
    role: Annotated[Role, typer.Option(help="What the person may do.")] = Role.VIEWER,
    topic: _Topic = None,
    stdin: _Stdin = False,
) -> None:
    """Let a person log in. The password is asked for."""
    password = _password(stdin)
    user = _run(lambda accounts: accounts.add_user(name, role, password, topic or None))
    typer.echo(f"{user.name} may log in as {user.role} of {_topics(user.topics)}")


@users_app.command("passwd")
def change_password(name: _Name, stdin: _Stdin = False) -> None:
    """Set a person's password; all their sessions end."""
    password = _password(stdin)
    _run(lambda accounts: accounts.set_password(name, password))
    typer.echo(f"{name} has another password; the sessions so far have ended")


@users_app.command("role")
def change_role(name: _Name, role: Annotated[Role, typer.Argument(help="What the person may do from now on.")]) -> None:
    """Give a person another role."""
    _run(lambda accounts: accounts.set_role(name, role))
    typer.echo(f"{name} is {role} from now on")


@users_app.command("topics")
def change_topics(
    name: _Name,
    topic: _Topic = None,
    every: Annotated[bool, typer.Option("--all", help="Every topic, those that come later as well.")] = False,
) -> None:
    """Limit a person to topics, or lift the limit by --all."""
    if every is bool(topic):
        typer.secho("gateway: name topics by --topic, or say --all", fg="red", err=True)
        raise typer.Exit(2)
    _run(lambda accounts: accounts.set_topics(name, topic or None))
    typer.echo(f"{name} sees {_topics(frozenset(topic) if topic else None)} from now on")


@users_app.command("disable")
def disable_user(name: _Name) -> None:
    """Disable a person; all their sessions end."""
    _run(lambda accounts: accounts.disable(name))
    typer.echo(f"{name} is let in no more")


@users_app.command("enable")
def enable_user(name: _Name) -> None:
    """Let a disabled person in again."""
    _run(lambda accounts: accounts.enable(name))
    typer.echo(f"{name} is let in again")


@users_app.command("list")
def list_users() -> None:
    """List everybody."""
    for user in _run(lambda accounts: accounts.users()):
        state = "" if user.disabled_at is None else f"disabled {_moment(user.disabled_at)}"
        since = _moment(user.created_at)
        typer.echo(f"{user.name:30} {user.role:10} {_topics(user.topics):20} since {since} {state}".rstrip())


@keys_app.command("create")
def create_key(
    label: Annotated[str, typer.Argument(help="Which program will use it.")],
    scope: Annotated[list[Scope], typer.Option(help="What the key may; repeat it to allow more.")],
    topic: Annotated[list[str] | None, typer.Option(help="Only on this topic; repeat it to name several.")] = None,
) -> None:
    """Make a key and print it. It can't be shown again: only its hash is kept."""
    key, text = _run(lambda accounts: accounts.create_key(label, scope, topic or None))
    typer.secho(f"{key.label}: {', '.join(sorted(key.scopes))} on {_topics(key.topics)}", err=True)
    typer.echo(text)


@keys_app.command("list")
def list_keys() -> None:
    """List all keys by their prefixes; the keys themselves can't be shown."""
    for key in _run(lambda accounts: accounts.keys()):
        used = "never used" if key.used_at is None else f"used {_moment(key.used_at)}"
        state = used if key.revoked_at is None else f"revoked {_moment(key.revoked_at)}"
        scopes = ",".join(sorted(key.scopes))
        typer.echo(f"{key.prefix}  {scopes:28} {_topics(key.topics):20} {state:28} {key.label}")


@keys_app.command("revoke")
def revoke_key(prefix: Annotated[str, typer.Argument(help="The key's prefix, as `list` shows it.")]) -> None:
    """Revoke a key: it is refused from now on."""
    _run(lambda accounts: accounts.revoke_key(prefix))
    typer.echo(f"{prefix} opens nothing any more")


def _topics(topics: frozenset[str] | None) -> str:
    return "all topics" if topics is None else ",".join(sorted(topics))


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
