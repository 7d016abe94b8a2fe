"""The command `gateway engine`: the engine whose tasks are kept."""

from __future__ import annotations

from contextlib import AsyncExitStack

import typer
import uvloop

from bridge.domain.engine_identity import EngineIdentity
from bridge.domain.errors import GatewayError
from bridge.registry import Registry
from bridge.testing import RecordingLog
from gateway.cli.failure import fail
from gateway.doctor import Silence
from gateway.settings import Role, read_settings
from gateway.wiring import Gateway

engine_app = typer.Typer(no_args_is_help=True, help="Which engine the tasks are of.")


@engine_app.command("accept")
def accept() -> None:
    """Take the engine at CAMUNDA_URL for the right one from now on; tasks of the one before are gone then."""
    try:
        identity = uvloop.run(_accept())
    except GatewayError as error:
        fail(error)
    typer.echo(f"tasks are of the engine at CAMUNDA_URL now (its database: {identity.installation or 'not told'})")


async def _accept() -> EngineIdentity:
    gateway = Gateway(read_settings(), frozenset({Role.WEB}), Registry({}), Silence(), lambda _t, _s: RecordingLog())
    async with AsyncExitStack() as stack:
        await gateway.engine.open()
        stack.push_async_callback(gateway.engine.close)
        await gateway.store.open()
        stack.push_async_callback(gateway.store.close)
        return await gateway.identity.accept()
