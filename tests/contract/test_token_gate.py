"""A real engine behind a gate that takes tokens alone, and takes each for a few calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr
from yarl import URL

from bridge.adapters.camunda.engine import CamundaEngine
from bridge.adapters.camunda.oauth import ClientCredentials, OAuthClient
from bridge.domain.errors import ForeignAnswer
from bridge.ports.engine import TopicPoll
from tests.contract.engine_calls import MINUTE, NOW, fail
from tests.contract.engines import CamundaLab
from tests.contract.token_server import CLIENT, SECRET, TokenServer, token_server

CALLS = 3
"""How many calls a token is good for."""


class TokenGate:
    """Passes on to the engine what carries the latest token, and answers 401 to all else."""

    def __init__(self, tokens: TokenServer, target: str, session: aiohttp.ClientSession) -> None:
        self._tokens = tokens
        self._target = URL(target).origin()
        self._session = session
        self._used: Counter[str] = Counter()
        self.url = ""
        self.refused = 0
        self.passed: Counter[str] = Counter()

    async def handle(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self._used[token] += 1
        if token != self._tokens.latest or self._used[token] > CALLS:
            self.refused += 1
            return web.Response(status=401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        self.passed[request.path.rpartition("/")[2]] += 1
        body, headers = await request.read(), {"Content-Type": "application/json"}
        url = self._target.join(request.rel_url)
        async with self._session.request(request.method, url, data=body, headers=headers) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)


@asynccontextmanager
async def token_gate(tokens: TokenServer, target: str, session: aiohttp.ClientSession) -> AsyncIterator[TokenGate]:
    gate = TokenGate(tokens, target, session)
    app = web.Application(client_max_size=10**8)
    app.router.add_route("*", "/{path:.*}", gate.handle)
    async with TestServer(app) as server:
        gate.url = str(server.make_url("/engine-rest"))
        yield gate


@pytest.fixture
async def lab(servers: dict[str, str]) -> AsyncIterator[CamundaLab]:
    async with aiohttp.ClientSession() as session:
        made = CamundaLab(servers["CAMUNDA_URL"], session)
        await made.engine.open()
        yield made
        await made.close()


@pytest.fixture
async def tokens() -> AsyncIterator[TokenServer]:
    async with token_server() as server:
        yield server


@pytest.fixture
async def gate(tokens: TokenServer, servers: dict[str, str]) -> AsyncIterator[TokenGate]:
    async with aiohttp.ClientSession() as session, token_gate(tokens, servers["CAMUNDA_URL"], session) as made:
        yield made


async def test_each_outcome_reaches_the_engine_once_though_tokens_end(
    lab: CamundaLab, tokens: TokenServer, gate: TokenGate, topic: str
) -> None:
    for _ in range(8):
        await lab.start(topic)
    # Each look at the clock is ten seconds later, so that no token is too young to be replaced.
    clock = count(0, 10).__next__
    engine = CamundaEngine(
        gate.url, tokens=ClientCredentials(OAuthClient(tokens.url, CLIENT, SecretStr(SECRET)), monotonic=clock)
    )
    await engine.open()
    tasks = await engine.fetch_and_lock("w1", 8, [TopicPoll(topic, MINUTE)], NOW)
    await fail(engine, tasks[0].id, "w1", 2)
    for task in tasks[1:]:
        await engine.complete(task.id, "w1", {})
    await engine.close()
    assert (await lab.engine.get(tasks[0].id)).retries == 2
    assert await lab.engine.count(topic) == 1
    assert gate.passed == {"fetchAndLock": 1, "failure": 1, "complete": 7}
    assert gate.refused >= 2


async def test_without_a_token_the_gate_lets_nothing_through(gate: TokenGate) -> None:
    engine = CamundaEngine(gate.url)
    await engine.open()
    with pytest.raises(ForeignAnswer, match="401"):
        await engine.version()
    await engine.close()
    assert gate.passed == {}
