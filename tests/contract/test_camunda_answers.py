"""What each answer means to each call: only the engine's own word counts, and whatever else came is no answer."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import pytest
from aiohttp import web

from bridge.adapters.camunda.engine import PAGE, CamundaEngine
from bridge.domain.errors import (
    CallCut,
    EngineForbidden,
    EngineRejected,
    EngineTimeout,
    EngineUnavailable,
    ForeignAnswer,
    LeaseLost,
    PayloadRefused,
    TaskGone,
)
from bridge.domain.variables import encode
from bridge.ports.engine import Engine, TopicPoll
from tests.contract.stub_engine import Stub, stub_engine

MINUTE: Final = timedelta(minutes=1)
HTML: Final = b"<!DOCTYPE html><title>Sign in</title>"

CALLS: Final[Mapping[str, Callable[[CamundaEngine], Awaitable[Any]]]] = {
    "fetch_and_lock": lambda e: e.fetch_and_lock("w1", 1, [TopicPoll("a", MINUTE)], timedelta(0)),
    "complete": lambda e: e.complete("t1", "w1", encode({"a": 1})),
    "fail": lambda e: e.fail("t1", "w1", message="no", details="", retries=1, retry_timeout=MINUTE),
    "raise_bpmn_error": lambda e: e.raise_bpmn_error("t1", "w1", code="x", message="no", variables={}),
    "lock": lambda e: e.lock("t1", "w1", MINUTE),
    "extend_lock": lambda e: e.extend_lock("t1", "w1", MINUTE),
    "unlock": lambda e: e.unlock("t1"),
    "set_retries": lambda e: e.set_retries("t1", 1),
    "get": lambda e: e.get("t1"),
    "get_many": lambda e: e.get_many(["t1"]),
    "read_variables": lambda e: e.read_variables("p1"),
    "set_variables": lambda e: e.set_variables("p1", encode({"a": 1})),
    "read_file": lambda e: e.read_file("p1", "scan"),
    "locked_by": lambda e: e.locked_by("w1"),
    "count": lambda e: e.count(),
    "topic_names": lambda e: e.topic_names(),
    "oldest": lambda e: e.oldest("a"),
    "history": lambda e: e.history("t1"),
    "activity": lambda e: e.activity("a1"),
    "throwing_activities": lambda e: e.throwing_activities("p:1:1"),
    "written_moments": lambda e: e.written_moments(),
    "version": lambda e: e.version(),
    "product": lambda e: e.product(),
    "keeps_log": lambda e: e.keeps_log(),
    "missing_rights": lambda e: e.missing_rights(),
}
CONFIRMED: Final = frozenset(
    {"complete", "fail", "raise_bpmn_error", "lock", "extend_lock", "unlock", "set_retries", "set_variables"}
)
"""Calls that the engine answers by 204."""
TASK: Final = {"id": "t1", "topicName": "a", "workerId": None, "lockExpirationTime": None, "retries": None}
LINE: Final = {
    "creationLog": True,
    "successLog": False,
    "failureLog": False,
    "deletionLog": False,
    "timestamp": "2026-01-01T00:00:00.000+0000",
}
BODIES: Final[Mapping[str, Any]] = {
    "fetch_and_lock": [TASK],
    "get": TASK,
    "get_many": [TASK],
    "read_variables": {"a": {"type": "Integer", "value": 1, "valueInfo": {}}},
    "read_file": b"a scan",
    "locked_by": [TASK],
    "count": {"count": 1},
    "topic_names": ["a"],
    "oldest": [{**TASK, "createTime": "2026-01-01T00:00:00.000+0000"}],
    "history": [LINE],
    "activity": [{"id": "a1", "canceled": False, "endTime": None}],
    "throwing_activities": {"id": "p:1:1", "bpmn20Xml": "<definitions/>"},
    "written_moments": [{"id": "d1", "deploymentTime": "2026-01-01T00:00:00.000+0000"}],
    "version": {"version": "7.24.0"},
    "product": {"version": "7.24.0", "product": {"name": "Camunda BPM Runtime"}},
    "keeps_log": [{"id": "t1"}],
    "missing_rights": {"authorized": True},
}
"""What the engine sends where a body is due."""
PAST_THE_GUARD: Final = {"product": 1}
"""How many requests of a call are none of the circuit breaker's: an engine may refuse `/telemetry/data` in any form."""
PROBLEM: Final = {"type": "https://example.org/problems/not-found", "title": "Not Found", "message": "does not exist"}


def own(kind: str, message: str | None = "no", code: int | None = 0) -> dict[str, Any]:
    """Return an error as the engine writes it."""
    return {"type": kind, "message": message, "code": code}


def of_the_engine(stub: Stub, call: str) -> None:
    """Have the stub answer as the engine does."""
    if call in CONFIRMED:
        stub.answers(204, b"")
    elif call == "read_file":
        stub.answers(200, BODIES[call], "application/octet-stream")
    else:
        stub.answers(200, BODIES[call])


FOREIGN: Final[Mapping[str, tuple[int, Any, str | None]]] = {
    "200 HTML": (200, HTML, "text/html"),
    "200 HTML that says it is JSON": (200, HTML, "application/json"),
    "200 text": (200, b"OK", "text/plain"),
    "201 JSON": (201, [], None),
    "302": (302, b"", "text/html"),
    "307": (307, b"", None),
    "401": (401, HTML, "text/html"),
    "401 in the engine's form": (401, own("RestException"), None),
    "401 of another service": (401, own("InvalidRequestException", "You must log in"), None),
    "403 HTML": (403, HTML, "text/html"),
    "403 JSON of another service": (403, {"error": "forbidden"}, None),
    "404 HTML": (404, HTML, "text/html"),
    "404 JSON of another service": (404, {"status": 404, "error": "Not Found", "path": "/"}, None),
    "404 problem of another service": (404, PROBLEM, None),
    "404 problem+json": (404, own("RestException"), "application/problem+json"),
    "404 without content": (404, b"", None),
    "400 HTML": (400, HTML, "text/html"),
    "408": (408, b"", None),
    "429": (429, own("RestException"), None),
    "500 HTML": (500, HTML, "text/html"),
    "500 JSON of another service": (500, {"status": 500, "error": "Internal Server Error"}, None),
    "502": (502, HTML, "text/html"),
    "503": (503, b"", None),
    "504": (504, HTML, "text/html"),
    "truncated error": (
        404,
        b'{"type": "RestException", "message": "External task with id t1 does not ex',
        "application/json",
    ),
}
"""Answers that mean the same to every call: that the engine did not answer."""
OWN: Final[Mapping[str, tuple[int, dict[str, Any], type[EngineRejected]]]] = {
    "gone": (404, own("RestException", "External task with id t1 does not exist", None), TaskGone),
    "no rights": (403, own("AuthorizationException", "The user with id 'x' does not have 'UPDATE'"), EngineForbidden),
    "no such path": (404, own("NotFoundException", "HTTP 404 Not Found", None), EngineRejected),
    "another's lock": (400, own("RestException", "It is locked by worker 'w2'."), LeaseLost),
    "bad request": (400, own("InvalidRequestException", "Cannot convert value"), EngineRejected),
    "failure": (500, own("ProcessEngineException", "the next step throws"), EngineRejected),
    "failure without a message": (500, own("NullPointerException", None), EngineRejected),
    "a race": (500, own("OptimisticLockingException", "changed", 1), EngineRejected),
}
"""The engine's own errors."""


@pytest.fixture
async def stub() -> Stub:
    return Stub()


class Guarded:
    """A guard that keeps what it saw, as the circuit breaker does."""

    def __init__(self) -> None:
        self.seen: list[type[BaseException] | None] = []

    async def __call__(self, call: Callable[[], Awaitable[Any]]) -> Any:
        try:
            result = await call()
        except BaseException as error:
            self.seen.append(type(error))
            raise
        self.seen.append(None)
        return result


@pytest.fixture
def guard() -> Guarded:
    return Guarded()


@pytest.fixture
async def engine(stub: Stub, guard: Guarded) -> AsyncIterator[CamundaEngine]:
    async with stub_engine(stub) as url:
        engine = CamundaEngine(
            url, timeout=timedelta(seconds=5), observe=stub.observe, foreign=stub.observe_foreign, guard=guard
        )
        await engine.open()
        yield engine
        await engine.close()


def test_the_table_has_every_call_to_the_engine() -> None:
    calls = {name for name, member in inspect.getmembers(Engine, inspect.isfunction) if not name.startswith("_")}
    assert set(CALLS) == calls
    assert CONFIRMED | set(BODIES) == calls


@pytest.mark.parametrize("call", CALLS)
async def test_the_engines_answer(engine: CamundaEngine, stub: Stub, guard: Guarded, call: str) -> None:
    of_the_engine(stub, call)
    await CALLS[call](engine)
    assert (stub.foreign, guard.seen) == ([], [None] * (len(stub.calls) - PAST_THE_GUARD.get(call, 0)))


async def test_an_engine_without_a_login_answers_the_question_for_rights_by_a_401_of_its_own(
    engine: CamundaEngine, stub: Stub, guard: Guarded
) -> None:
    stub.answers(401, own("InvalidRequestException", "You must be authenticated in order to use this resource.", None))
    assert list(await engine.missing_rights()) == []
    assert (stub.foreign, guard.seen) == ([], [EngineRejected])


@pytest.mark.parametrize("answer", FOREIGN)
@pytest.mark.parametrize("call", CALLS)
async def test_an_answer_of_another_is_none(
    engine: CamundaEngine, stub: Stub, guard: Guarded, call: str, answer: str
) -> None:
    status, body, kind = FOREIGN[answer]
    stub.answers(status, body, kind)
    with pytest.raises(ForeignAnswer) as caught:
        await CALLS[call](engine)
    assert (type(caught.value), caught.value.status) == (ForeignAnswer, status)
    assert f"the engine's address answers {status}" in str(caught.value)
    assert guard.seen == [ForeignAnswer], "it is no answer to the circuit breaker either"
    ((operation, seen),) = stub.foreign
    assert (operation, seen) == (stub.calls[0][0], status)
    assert str(caught.value).startswith(f"{operation}: ")


@pytest.mark.parametrize("call", sorted(CONFIRMED))
async def test_a_body_where_none_is_due(engine: CamundaEngine, stub: Stub, call: str) -> None:
    stub.answers(200, {"ok": True})
    with pytest.raises(ForeignAnswer, match=r"answers 200 with application/json, where 204 is due"):
        await CALLS[call](engine)


@pytest.mark.parametrize("call", BODIES)
async def test_no_body_where_one_is_due(engine: CamundaEngine, stub: Stub, call: str) -> None:
    stub.answers(204, b"")
    with pytest.raises(ForeignAnswer, match="is due"):
        await CALLS[call](engine)


@pytest.mark.parametrize("call", sorted(BODIES.keys() - {"read_file"}))
async def test_a_body_of_another_shape_or_cut_short(
    engine: CamundaEngine, stub: Stub, guard: Guarded, call: str
) -> None:
    wrong: list[Any] = [{} if isinstance(BODIES[call], list) else [], 7, None, [[]]]
    for body in (*wrong, b'[{"id": "t1", "topicName": "a', b""):
        stub.answers(200, body, "application/json")
        with pytest.raises(ForeignAnswer):
            await CALLS[call](engine)
    stub.answers(200, BODIES[call], "text/plain")
    with pytest.raises(ForeignAnswer, match="with text/plain"):
        await CALLS[call](engine)
    assert guard.seen == [ForeignAnswer] * 7


@pytest.mark.parametrize("call", CALLS)
async def test_an_answer_that_ends_early_is_none(engine: CamundaEngine, stub: Stub, guard: Guarded, call: str) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "900"})
        await response.prepare(request)
        await response.write(b'[{"id": "t1"')
        assert request.transport is not None
        request.transport.close()
        return response

    stub.answer = cut
    with pytest.raises(EngineUnavailable) as caught:
        await CALLS[call](engine)
    assert not isinstance(caught.value, ForeignAnswer | EngineTimeout)
    assert guard.seen == [EngineUnavailable]


@pytest.mark.parametrize("call", CALLS)
async def test_a_payload_that_a_proxy_refuses(engine: CamundaEngine, stub: Stub, call: str) -> None:
    stub.answers(413, HTML, "text/html")
    with pytest.raises(PayloadRefused, match=r"client_max_body_size") as caught:
        await CALLS[call](engine)
    sent = int(stub.requests[0][0].headers.get("Content-Length", "0"))
    assert f" {sent} bytes " in str(caught.value)
    assert caught.value.status == 413


@pytest.mark.parametrize(
    ("call", "error"),
    # Of a file a bad request tells of the variable: tests/contract/test_engine_reads.py.
    [(call, error) for call in CALLS for error in OWN if (call, error) != ("read_file", "bad request")],
)
async def test_an_error_of_the_engine(engine: CamundaEngine, stub: Stub, call: str, error: str) -> None:
    status, body, expected = OWN[error]
    stub.answers(status, body)
    with pytest.raises(EngineRejected) as caught:
        await CALLS[call](engine)
    assert (type(caught.value), caught.value.status, caught.value.kind) == (expected, status, body["type"])
    assert (body["message"] or "no message") in str(caught.value)
    assert stub.foreign == []


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (own("RestException", "External task with id t1 does not exist") | {"status": 404}, TaskGone),
        (own("RestException", "It is locked by worker 'w2'.") | {"status": 400}, EngineForbidden),
        (own("AuthorizationException", "The user does not have 'UPDATE'") | {"status": 403}, EngineForbidden),
        ({"status": 401}, ForeignAnswer),
    ],
)
async def test_a_task_is_gone_only_if_a_command_does_not_find_it_either(
    engine: CamundaEngine, stub: Stub, command: dict[str, Any], error: type[Exception]
) -> None:
    """To a user without the right to read every task is a 404 (seen on Camunda 7.24 with authorization)."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response(own("RestException", "External task with id t1 does not exist"), status=404)
        return web.json_response(command, status=command["status"])

    stub.answer = answer
    with pytest.raises(error) as caught:
        await engine.get("t1")
    assert type(caught.value) is error
    assert [operation for operation, _ in stub.calls] == ["get", "extend_lock"]


async def test_a_file_as_older_engines_send_it(engine: CamundaEngine, stub: Stub) -> None:
    stub.answers(200, HTML, "text/html", **{"Content-Disposition": 'attachment; filename="page.html"'})
    assert await engine.read_file("p1", "page") == HTML


@pytest.mark.parametrize("call", ["locked_by", "history"])
async def test_lists_are_read_in_pages(engine: CamundaEngine, stub: Stub, call: str) -> None:
    row = BODIES[call][0]
    left = [PAGE, PAGE, 3]

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.json_response([row] * left.pop(0))

    stub.answer = answer
    assert len(await CALLS[call](engine)) == 2 * PAGE + 3
    queries = [request.query for request, _ in stub.requests]
    assert [(query["firstResult"], query["maxResults"]) for query in queries] == [
        (str(first), str(PAGE)) for first in (0, PAGE, 2 * PAGE)
    ]


async def test_no_more_tasks_are_asked_for_at_once_than_a_page_has(engine: CamundaEngine, stub: Stub) -> None:
    stub.answers(200, [TASK])
    ids = [f"t{number}" for number in range(PAGE + 1)]
    assert len(await engine.get_many(ids)) == 2
    assert [body["externalTaskIdIn"] for _, body in stub.requests] == [ids[:PAGE], ids[PAGE:]]
    assert [request.query["maxResults"] for request, _ in stub.requests] == [str(PAGE)] * 2


@pytest.mark.parametrize(
    ("status", "error"), [(504, CallCut), (408, CallCut), (401, ForeignAnswer), (502, ForeignAnswer)]
)
async def test_a_poll_that_a_proxy_cuts_short_is_no_news_of_the_engine(
    engine: CamundaEngine, stub: Stub, guard: Guarded, status: int, error: type[Exception]
) -> None:
    stub.answers(status, HTML, "text/html")
    with pytest.raises(error) as caught:
        await engine.fetch_and_lock("w1", 1, [TopicPoll("a", MINUTE)], timedelta(seconds=1))
    assert (type(caught.value), guard.seen) == (error, [error])
    assert stub.foreign == ([("fetch", status)] if error is ForeignAnswer else [])


async def test_an_address_without_anybody_is_no_timeout(unused_tcp_port: int) -> None:
    engine = CamundaEngine(f"http://127.0.0.1:{unused_tcp_port}/engine-rest", timeout=timedelta(seconds=1))
    await engine.open()
    with pytest.raises(EngineUnavailable) as caught:
        await engine.complete("t1", "w1", {})
    assert not isinstance(caught.value, EngineTimeout)
    await engine.close()
