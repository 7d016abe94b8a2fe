"""Watching a run: when it's through, and when it's given up."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from io import StringIO

import aiohttp
import pytest
from rich.console import Console

from sandbox.demo.engine import EngineApi
from sandbox.demo.errors import EngineUnreachable, GatewayFailed
from sandbox.demo.progress import Board, GaveUp, Limits, watch

AT_ONCE = Limits(total=0, stall=0)


class Counts(EngineApi):
    """An engine that counts so many instances in each process, all of them ended, or that is away."""

    def __init__(self, session: aiohttp.ClientSession, each: int, *, away: bool = False) -> None:
        super().__init__(session, "http://engine.example")
        self._each, self._away = each, away

    async def count(self, business_keys: str, **filters: str) -> int:
        if self._away:
            raise EngineUnreachable("the engine is away")
        assert business_keys == "demo-run-%"
        return 0 if filters.keys() & {"incidentStatus", "executedActivityIdIn"} else self._each


async def look(each: int, *, away: bool = False, gateway_ended: bool = False) -> str:
    def require() -> None:
        if gateway_ended:
            raise GatewayFailed("the gateway ended")

    shown = StringIO()
    board = Board(Console(file=shown, width=120), planned=20)
    async with aiohttp.ClientSession() as session:
        engine = Counts(session, each, away=away)
        await watch(engine, "demo-run-%", planned=20, board=board, limits=AT_ONCE, require=require)
    return shown.getvalue()


async def test_it_ends_when_all_have_settled_and_shows_that() -> None:
    assert "started 20/20  completed 20  BPMN errors 0  incidents 0  under way 0" in await look(10)


async def test_a_run_that_does_not_settle_is_given_up_with_what_to_do() -> None:
    with pytest.raises(GaveUp, match=r"18 of 20 instances have settled.*--time-limit"):
        await look(9)


async def test_an_engine_that_is_away_is_named_when_the_run_is_given_up() -> None:
    with pytest.raises(GaveUp, match=r"0 of 20 .*the engine is away"):
        await look(10, away=True)


async def test_a_gateway_that_ended_ends_it() -> None:
    with pytest.raises(GatewayFailed):
        await look(9, gateway_ended=True)


def test_the_command_says_what_is_wrong_and_shows_no_secret() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        servers = {
            "CAMUNDA_URL": "http://engine.example/engine-rest",
            "MONGODB_URI": "mongodb://user:hidden@store.example/",
            "RABBITMQ_URL": "amqp://user:hidden@broker.example/",
        }
        command = [sys.executable, "-m", "sandbox.demo", "--instances", "1", "--exit"]
        env = {**os.environ, **servers, "PORT": str(port)}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"port {port} is taken" in done.stderr
    assert "hidden" not in done.stdout + done.stderr
