"""What the transport makes of answers that no engine on a test's own machine gives: a stub plays them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from bridge.adapters.camunda.answers import Answer as Answered
from bridge.adapters.camunda.engine import DETAILS_LIMIT, CamundaEngine
from bridge.adapters.camunda.login import authorization
from bridge.domain.errors import (
    CallCut,
    EngineRejected,
    EngineTimeout,
    EngineUnavailable,
    ForeignAnswer,
    LeaseLost,
    SetupError,
    TaskGone,
)
from bridge.ports.engine import TopicPoll
from tests.contract.stub_engine import Stub, stub_engine

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def stub() -> Stub:
    return Stub()


@pytest.fixture
async def url(stub: Stub) -> AsyncIterator[str]:
    async with stub_engine(stub) as found:
        yield found


@pytest.fixture
async def engine(url: str, stub: Stub) -> AsyncIterator[CamundaEngine]:
    engine = CamundaEngine(
        url,
        credentials="Bearer s3cret",
        connections=1,
        timeout=timedelta(seconds=5),
        fixed_headers={"X-Api-Key": "k3y"},
        headers=lambda: {"traceparent": "00-1"},
        observe=stub.observe,
        foreign=stub.observe_foreign,
    )
    await engine.open()
    yield engine
    await engine.close()


async def test_each_call_carries_credentials_and_the_callers_headers(engine: CamundaEngine, stub: Stub) -> None:
    await engine.complete("t1", "w1", {})
    ((request, body),) = stub.requests
    assert request.path == "/engine-rest/external-task/t1/complete"
    assert (request.headers["Authorization"], request.headers["traceparent"]) == ("Bearer s3cret", "00-1")
    assert request.headers["X-Api-Key"] == "k3y"
    assert body == {"workerId": "w1", "variables": {}}
    assert stub.calls == [("complete", 204)]


async def test_a_fetch_asks_for_all_topics_in_one_request(engine: CamundaEngine, stub: Stub) -> None:
    stub.answers(200, [])
    polls = [TopicPoll("a", MINUTE, ("x",)), TopicPoll("b", MINUTE * 2, None, ("key",), ("tenant",))]
    assert await engine.fetch_and_lock("w1", 7, polls, timedelta(seconds=1)) == []
    ((_request, body),) = stub.requests
    topics = body.pop("topics")
    assert body == {
        "workerId": "w1",
        "maxTasks": 7,
        "asyncResponseTimeout": 1000,
        "usePriority": True,
        "sorting": [{"sortBy": "createTime", "sortOrder": "asc"}],
    }
    assert [topic["lockDuration"] for topic in topics] == [60_000, 120_000]
    assert [topic["variables"] for topic in topics] == [["x"], None]
    assert [topic["deserializeValues"] for topic in topics] == [False, False]
    assert (topics[1]["processDefinitionKeyIn"], topics[1]["tenantIdIn"]) == (["key"], ["tenant"])


async def test_a_fetch_without_topics_asks_nothing(engine: CamundaEngine, stub: Stub) -> None:
    assert await engine.fetch_and_lock("w1", 7, [], MINUTE) == []
    assert stub.requests == []


ENGINE_404 = {"type": "RestException", "message": "External task with id t1 does not exist", "code": 0}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, ENGINE_404, TaskGone),
        (404, {**ENGINE_404, "type": "InvalidRequestException"}, TaskGone),
        (404, {"type": "NotFoundException", "message": "HTTP 404 Not Found"}, EngineRejected),
        (404, {"status": 404, "error": "Not Found", "path": "/"}, ForeignAnswer),
        (404, b"<html>no such host</html>", ForeignAnswer),
        (400, {"type": "RestException", "message": "It is locked by worker 'w2'.", "code": 0}, LeaseLost),
        (400, {"type": "InvalidRequestException", "message": "Cannot convert value"}, EngineRejected),
        (400, {"type": "InvalidRequestException", "message": "No process engine available"}, EngineRejected),
        (400, b"<html>bad request</html>", ForeignAnswer),
        (401, b"", ForeignAnswer),
        (500, {"type": "OptimisticLockingException", "message": "m", "code": 1}, EngineRejected),
        (429, b"", ForeignAnswer),
        (502, b"<html>bad gateway</html>", ForeignAnswer),
        (503, b"", ForeignAnswer),
        (504, b"", ForeignAnswer),
        (500, b"[1]", ForeignAnswer),
    ],
)
async def test_only_the_engine_itself_can_say_that_a_task_is_lost(
    engine: CamundaEngine, stub: Stub, status: int, body: Any, error: type[Exception]
) -> None:
    stub.answers(status, body)
    with pytest.raises(error) as caught:
        await engine.complete("t1", "w1", {})
    assert type(caught.value) is error
    assert stub.calls == [("complete", status)]
    assert isinstance(caught.value, EngineRejected | ForeignAnswer)
    assert caught.value.status == status


async def test_optimistic_locking_is_transient(engine: CamundaEngine, stub: Stub) -> None:
    stub.answers(500, {"type": "OptimisticLockingException", "message": "m", "code": 1})
    with pytest.raises(EngineRejected) as caught:
        await engine.complete("t1", "w1", {})
    assert (caught.value.transient, caught.value.kind) == (True, "OptimisticLockingException")


async def test_credentials_follow_no_redirect(engine: CamundaEngine, stub: Stub) -> None:
    stub.answers(302, b"", Location="/elsewhere")
    with pytest.raises(ForeignAnswer) as caught:
        await engine.version()
    assert (caught.value.status, len(stub.requests)) == (302, 1)


@pytest.mark.parametrize("body", [b"<html>login</html>", b"[{}]", b"7", b""])
async def test_an_answer_that_is_not_the_engines_leaves_the_effect_unknown(
    engine: CamundaEngine, stub: Stub, body: bytes
) -> None:
    stub.answers(200, body)
    with pytest.raises(EngineUnavailable):
        await engine.fetch_and_lock("w1", 1, [TopicPoll("a", MINUTE)], timedelta(0))


async def test_a_dropped_connection_leaves_the_effect_unknown(engine: CamundaEngine, stub: Stub) -> None:
    async def drop(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    stub.answer = drop
    with pytest.raises(EngineUnavailable):
        await engine.complete("t1", "w1", {})
    assert (len(stub.requests), stub.calls) == (1, [("complete", None)])


async def test_a_call_without_an_answer_ends_at_its_deadline(url: str, stub: Stub) -> None:
    never = asyncio.Event()

    async def hang(_request: web.Request) -> web.StreamResponse:
        await never.wait()
        return web.Response()

    stub.answer = hang
    engine = CamundaEngine(url, timeout=timedelta(milliseconds=200), outcome_timeout=timedelta(milliseconds=300))
    await engine.open()
    with pytest.raises(EngineTimeout, match=r"lock: no answer within 0\.2 s"):
        await engine.lock("t1", "w1", timedelta(minutes=1))
    with pytest.raises(CallCut, match=r"complete: no answer within 0\.3 s"):
        await engine.complete("t1", "w1", {})
    never.set()
    await engine.close()


async def test_waiting_polls_hold_up_no_completion(engine: CamundaEngine, stub: Stub) -> None:
    release, waiting = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if not request.path.endswith("fetchAndLock"):
            return web.Response(status=204)
        waiting.set()
        await release.wait()
        return web.json_response([])

    stub.answer = answer
    poll = asyncio.create_task(engine.fetch_and_lock("w1", 1, [TopicPoll("a", MINUTE)], MINUTE))
    await waiting.wait()
    await engine.complete("t1", "w1", {})
    assert not poll.done()
    release.set()
    assert await poll == []


async def test_no_server_at_all(unused_tcp_port: int) -> None:
    engine = CamundaEngine(f"http://127.0.0.1:{unused_tcp_port}/engine-rest")
    with pytest.raises(EngineUnavailable, match="not open"):
        await engine.version()
    await engine.open()
    with pytest.raises(EngineUnavailable):
        await engine.version()
    await engine.close()
    await engine.close()


async def test_error_texts_are_cut_and_made_sendable(engine: CamundaEngine, stub: Stub) -> None:
    message, details = "\ud800" + "😀" * 400, "x" * (DETAILS_LIMIT + 1)
    await engine.fail("t1", "w1", message=message, details=details, retries=1, retry_timeout=MINUTE)
    ((_request, body),) = stub.requests
    assert body["errorMessage"] == "?" + "😀" * 332
    assert (len(body["errorDetails"]), body["retryTimeout"]) == (DETAILS_LIMIT, 60_000)


@pytest.mark.parametrize(
    ("given", "header"),
    [
        ({}, None),
        ({"token": SecretStr("abc")}, "Bearer abc"),
        ({"token": SecretStr("Bearer abc\n")}, "Bearer abc"),
        ({"token": SecretStr("bearerabc")}, "Bearer bearerabc"),
        ({"username": "demo", "password": SecretStr("dämo")}, "Basic ZGVtbzpkw6Rtbw=="),
    ],
)
def test_authorization(given: dict[str, Any], header: str | None) -> None:
    assert authorization(**given) == header


@pytest.mark.parametrize(
    "given",
    [
        {"token": SecretStr("s3cret"), "username": "demo"},
        {"token": SecretStr("Bearer ")},
        {"token": SecretStr("s3cret\nHost: x")},
        {"username": "demo"},
        {"password": SecretStr("s3cret")},
    ],
)
def test_authorization_that_can_not_be(given: dict[str, Any]) -> None:
    with pytest.raises(SetupError) as caught:
        authorization(**given)
    assert "s3cret" not in str(caught.value)


async def test_no_secret_is_logged_or_shown(url: str, stub: Stub, caplog: pytest.LogCaptureFixture) -> None:
    stub.answers(401, b"")
    with caplog.at_level(logging.DEBUG):
        engine = CamundaEngine(url, credentials="Bearer s3cret")
        await engine.open()
        with pytest.raises(ForeignAnswer) as caught:
            await engine.version()
        await engine.close()
    assert caplog.records
    assert "s3cret" not in caplog.text + repr(engine) + str(caught.value)
    with pytest.raises(SetupError) as refused:
        CamundaEngine("http://demo:s3cret@localhost/engine-rest")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Wed, 25 Nov 2026 03:56:45 GMT", datetime(2026, 11, 25, 3, 56, 45, tzinfo=UTC)),
        ("Wed, 25 Nov 2026 03:56:45 -0000", None),  # of no zone: it could be any time
        ("yesterday", None),
        (None, None),
    ],
)
def test_an_answer_tells_the_engines_time_where_that_can_be_read(header: str | None, expected: datetime | None) -> None:
    assert Answered(200, b"", date=header).told_at == expected
