"""A web server that ends by itself ends the process, and a port that is taken is told by its setting."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bridge.domain.errors import ServerEnded, SetupError, StoreUnavailable
from bridge.ports.journal import Level
from gateway.settings import Role, Settings
from tests.unit.gateway.process_parts import SETTINGS, Parts, ended

pytestmark = pytest.mark.usefixtures("process_at_once")


class Served(Parts):
    """A process whose web server is uvicorn itself, on a port that is free; its application answers nothing."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        roles: frozenset[Role] = frozenset({Role.WORK}),
        starts: bool = True,
        **ports: int,
    ) -> None:
        super().__init__(roles)
        served = {
            "host": "127.0.0.1",
            "addresses": ("127.0.0.1",),
            "metrics_port": 0,
            "trusted_proxies": None,
            "gateway_admin_user": None,
            "body_limit": 10_000_000,
            "connection_limit": 100,
            "connection_limit_address": 100,
            **ports,
        }
        self.process._gateway.settings = cast("Settings", SimpleNamespace(**{**vars(SETTINGS), **served}))
        monkeypatch.setattr(self.process, "_app", lambda _: app)

        async def app(_: object, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[Any]]) -> None:
            await receive()
            if not starts:
                raise KeyError("surprise")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})


async def test_a_web_server_that_ends_by_itself_ends_the_process_in_good_order_and_with_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = Served(monkeypatch)
    running = await parts.started()
    server = parts.process._server
    assert server is not None
    server.limit_max_requests = 0  # it ends at its next look
    with pytest.raises(ServerEnded, match="the web server ended"):
        async with asyncio.timeout(5):
            await running
    assert [line.level for line in parts.notes.of("server_ended")] == [Level.ERROR]
    assert parts.notes.lines[-1].event == "stopped"
    assert ended(parts)[-1] == "store.close"


async def test_a_web_server_that_breaks_ends_the_process_and_says_by_what(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Served(monkeypatch)
    running = await parts.started()

    async def broken(_: int) -> bool:
        raise OSError("no more sockets")

    assert parts.process._server is not None
    monkeypatch.setattr(parts.process._server, "on_tick", broken)
    with pytest.raises(ServerEnded, match="no more sockets"):
        async with asyncio.timeout(5):
            await running


async def test_an_application_that_does_not_start_ends_the_process_while_it_still_connects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = Served(monkeypatch, starts=False)
    away = [StoreUnavailable("MongoDB is away")] * 10_000
    parts.faults["store.open"] = list(away)
    with pytest.raises(ServerEnded, match="SystemExit"):
        async with asyncio.timeout(5):
            await parts.process.run()
    assert ended(parts)[-1] == "store.close"
    assert parts.notes.lines[-1].event == "stopped"


async def test_a_web_server_that_is_told_to_end_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Served(monkeypatch)
    running = await parts.started()
    await parts.end(running)
    assert parts.notes.of("server_ended") == []
    assert parts.notes.of("shutdown_step_failed") == []


@pytest.mark.parametrize(("role", "name"), [(Role.WEB, "PORT"), (Role.WORK, "METRICS_PORT")])
async def test_a_port_that_is_taken_is_told_by_its_settings_name(
    monkeypatch: pytest.MonkeyPatch, role: Role, name: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        parts = Served(monkeypatch, frozenset({role}), **{name.lower(): port})
        with pytest.raises(SetupError, match=f"^{name} {port} on 127.0.0.1 can't be listened on"):
            await parts.process.run()
