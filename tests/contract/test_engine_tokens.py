"""The engine's login by OAuth 2.0 client credentials: tokens are renewed in time, and replaced when refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

import pytest
from aiohttp import web
from pydantic import SecretStr

from bridge.adapters.camunda.engine import CamundaEngine
from bridge.adapters.camunda.oauth import ClientAuthentication, ClientCredentials, OAuthClient
from bridge.domain.errors import CallNotMade, EngineUnavailable, ForeignAnswer, TokenUnavailable
from bridge.ports.engine import TopicPoll
from tests.contract.stub_engine import Stub, stub_engine
from tests.contract.token_server import CLIENT, SECRET, TokenServer, token_server
from tests.pause import pause

UNHAPPY = [
    (web.Response(status=503), "the token endpoint answers 503"),
    (web.Response(status=404, text="no such page"), "the token endpoint answers 404"),
    (web.Response(status=200, text="<html>log in</html>"), "the token endpoint's answer is no token"),
    (web.json_response(["token"]), "the token endpoint's answer is no token"),
    (web.json_response({"token_type": "Bearer"}), "there is no access_token"),
    (web.json_response({"access_token": "a\nb", "token_type": "Bearer"}), "there is no access_token that can be sent"),
    (web.json_response({"access_token": "a", "token_type": "mac"}), "only Bearer is known"),
    (web.json_response({"error": "invalid_scope"}, status=400), "refuses the gateway: invalid_scope"),
    (web.json_response({"error": "x", "error_description": f"not {SECRET}"}, status=400), "x: not [*]{3}"),
]


async def until(reached: Callable[[], bool]) -> None:
    """Let the token endpoint and the client go on until so much has happened."""
    async with asyncio.timeout(20):
        while not reached():
            await pause()


@dataclass
class Lab:
    """An engine that takes the tokens of `good` alone, and the client before it, whose clock the test moves."""

    server: TokenServer
    stub: Stub
    url: str
    now: float = 1000.0
    failures: list[str] = field(default_factory=list)
    good: set[str] = field(default_factory=set)
    engine: CamundaEngine = field(init=False)
    tokens: ClientCredentials = field(init=False)

    async def reconnect(
        self, authentication: ClientAuthentication = ClientAuthentication.BASIC, secret: str = SECRET
    ) -> None:
        await self.engine.close()
        self.connect(authentication, secret)
        await self.engine.open()

    def connect(self, authentication: ClientAuthentication = ClientAuthentication.BASIC, secret: str = SECRET) -> None:
        client = OAuthClient(
            self.server.url, CLIENT, SecretStr(secret), "engine more", "https://engine", authentication
        )
        self.tokens = ClientCredentials(
            client, on_failure=self.failures.append, monotonic=lambda: self.now, chance=Random(1)
        )
        self.engine = CamundaEngine(
            self.url, tokens=self.tokens, observe=self.stub.observe, foreign=self.stub.observe_foreign
        )

    async def answer(self, request: web.Request) -> web.StreamResponse:
        is_good = request.headers.get("Authorization", "").removeprefix("Bearer ") in self.good
        return web.Response(status=204 if is_good else 401)

    @property
    def sent(self) -> list[str]:
        return [request.headers["Authorization"] for request, _ in self.stub.requests]


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    stub = Stub()
    async with token_server() as server, stub_engine(stub) as url:
        lab = Lab(server, stub, url)
        lab.connect()
        await lab.engine.open()
        yield lab
        await lab.engine.close()


async def test_calls_have_the_token_and_ask_for_it_once(lab: Lab) -> None:
    lab.server.gate.clear()
    calls = [asyncio.create_task(lab.engine.complete(f"t{n}", "w", {})) for n in range(20)]
    await until(lambda: bool(lab.server.asked))
    lab.server.gate.set()
    await asyncio.gather(*calls)
    assert lab.sent == ["Bearer token-1"] * 20
    expected = {"grant_type": "client_credentials", "scope": "engine more", "audience": "https://engine"}
    assert lab.server.asked == [expected]


async def test_the_secret_may_go_in_the_body(lab: Lab) -> None:
    await lab.reconnect(ClientAuthentication.POST)
    assert await lab.tokens.current() == "token-1"
    assert lab.server.asked[0]["client_id"] == CLIENT


async def test_a_token_is_renewed_before_it_ends_while_calls_go_on(lab: Lab) -> None:
    await lab.engine.complete("t1", "w", {})
    lab.now += 300 * 0.74
    await lab.engine.complete("t2", "w", {})
    assert len(lab.server.asked) == 1, "it is too early"
    lab.now += 300 * 0.17
    lab.server.gate.clear()
    for task in ("t3", "t4"):
        await lab.engine.complete(task, "w", {})
    assert lab.sent == ["Bearer token-1"] * 4, "calls don't wait for the new one"
    lab.server.gate.set()
    await until(lambda: lab.tokens._is_idle)
    await lab.engine.complete("t5", "w", {})
    assert lab.sent[-1] == "Bearer token-2"
    assert len(lab.server.asked) == 2


def test_replicas_do_not_renew_all_at_once() -> None:
    client = OAuthClient("http://localhost/token", CLIENT, SecretStr(SECRET))
    answer = {"access_token": "a", "expires_in": "300"}
    moments = [ClientCredentials(client, chance=Random(seed))._read(answer, 0.0).renew_at for seed in range(50)]
    assert 225 <= min(moments) < 230
    assert 265 < max(moments) <= 270


async def test_a_renewal_that_fails_is_told_and_tried_again(lab: Lab) -> None:
    await lab.engine.complete("t1", "w", {})
    lab.now += 280
    lab.server.instead = web.Response(status=503)
    await lab.engine.complete("t2", "w", {})
    await until(lambda: bool(lab.failures))
    await lab.engine.complete("t3", "w", {})
    assert len(lab.server.asked) == 2, "not at each call"
    lab.now += 6
    await lab.engine.complete("t4", "w", {})
    await until(lambda: lab.tokens._is_idle)
    assert lab.sent == ["Bearer token-1"] * 4
    assert [str(why) for why in lab.failures] == [
        "no token for the engine: the token endpoint answers 503; check CAMUNDA_OAUTH_TOKEN_URL"
    ]


@pytest.mark.parametrize("life", [None, 0, "", -1])
async def test_a_token_whose_life_is_not_told_is_kept_until_it_is_refused(lab: Lab, life: object) -> None:
    lab.server.life = life
    await lab.engine.complete("t1", "w", {})
    lab.now += 1_000_000
    await lab.engine.complete("t2", "w", {})
    assert lab.sent == ["Bearer token-1"] * 2


async def test_a_call_whose_token_is_refused_is_made_once_more(lab: Lab) -> None:
    lab.stub.answer, lab.good = lab.answer, {"token-1", "token-2"}
    await lab.engine.complete("t1", "w", {})
    lab.good.remove("token-1")
    lab.now += 10
    await asyncio.gather(
        lab.engine.complete("t1", "w", {}),
        lab.engine.fail("t2", "w", message="m", details="d", retries=3, retry_timeout=timedelta(0)),
        lab.engine.extend_lock("t3", "w", timedelta(minutes=1)),
    )
    assert sorted(lab.sent) == ["Bearer token-1"] * 4 + ["Bearer token-2"] * 3
    assert len(lab.server.asked) == 2, "one new token for all"
    assert lab.stub.foreign == []


async def test_a_new_token_that_is_refused_too_is_not_replaced(lab: Lab) -> None:
    lab.stub.answer = lab.answer
    with pytest.raises(ForeignAnswer, match="CAMUNDA_OAUTH"):
        await lab.engine.complete("t1", "w", {})
    lab.now += 10
    for _ in range(3):
        with pytest.raises(ForeignAnswer):
            await lab.engine.complete("t1", "w", {})
    assert lab.sent == ["Bearer token-1"] * 2 + ["Bearer token-2"] * 3
    assert len(lab.server.asked) == 2


async def test_an_engine_without_a_login_refuses_no_token(lab: Lab) -> None:
    nobody = {
        "type": "InvalidRequestException",
        "message": "You must be authenticated in order to use this resource.",
        "code": 0,
    }
    await lab.tokens.current()
    lab.now += 10
    lab.stub.answers(401, nobody)
    await lab.engine.missing_rights(("order",))
    assert len(lab.server.asked) == 1


@pytest.mark.parametrize(("answer", "text"), UNHAPPY, ids=lambda value: str(value)[:40])
async def test_without_a_token_no_call_is_made(answer: web.Response, text: str, lab: Lab) -> None:
    lab.server.instead = answer
    with pytest.raises(TokenUnavailable, match=text) as raised:
        await lab.engine.complete("t1", "w", {})
    assert isinstance(raised.value, CallNotMade)
    with pytest.raises(TokenUnavailable, match=text):
        await lab.engine.complete("t1", "w", {})
    assert len(lab.server.asked) == 1, "what fails is not asked at each call"
    assert (lab.stub.requests, lab.failures) == ([], [])
    assert SECRET not in str(raised.value)
    lab.now += 2
    await lab.engine.complete("t1", "w", {})
    assert lab.sent == ["Bearer token-2"]


async def test_a_token_endpoint_that_is_away_is_told_as_such(lab: Lab) -> None:
    lab.server.url = "http://127.0.0.1:9/token"
    await lab.reconnect()
    with pytest.raises(TokenUnavailable, match=r"token endpoint does not answer: .*; check CAMUNDA_OAUTH_TOKEN_URL"):
        await lab.engine.complete("t1", "w", {})


async def test_a_poll_without_a_token_was_not_cut(lab: Lab) -> None:
    await lab.reconnect(secret="another")
    poll = [TopicPoll("a", timedelta(minutes=1))]
    with pytest.raises(TokenUnavailable, match="invalid_client: no such client"):
        await lab.engine.fetch_and_lock("w", 1, poll, timedelta(seconds=1))


async def test_a_client_that_is_closed_asks_for_no_token(lab: Lab) -> None:
    await lab.engine.close()
    with pytest.raises(EngineUnavailable, match="the engine's client is not open"):
        await lab.engine.complete("t1", "w", {})
    assert lab.server.asked == []


async def test_a_call_that_is_given_up_leaves_the_request_to_the_others(lab: Lab) -> None:
    lab.server.gate.clear()
    first, second = (asyncio.create_task(lab.engine.complete(task, "w", {})) for task in ("t1", "t2"))
    await until(lambda: bool(lab.server.asked))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    lab.server.gate.set()
    await second
    assert lab.sent == ["Bearer token-1"]
    assert len(lab.server.asked) == 1


async def test_no_secret_and_no_token_is_logged(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await lab.engine.complete("t1", "w", {})
    assert caplog.records
    told = caplog.text + repr(lab.tokens) + repr(vars(lab.tokens)["_client"])
    assert "s3cret" not in told
    assert "token-1" not in told
