"""Every error leaves as a problem document of its kind."""

from __future__ import annotations

from typing import Any

import pytest
from litestar.testing import AsyncTestClient
from structlog.testing import capture_logs

from bridge.domain import errors
from web.api.problems import PROBLEMS, kind_of

SECRET = "amqp://guest:secret@rabbit"
MAPPED = [
    (errors.UnknownTask, 404, "unknown-task"),
    (errors.TaskConflict, 409, "task-conflict"),
    (errors.UnacceptableTask, 422, "unacceptable-task"),
    (errors.VariableError, 422, "unusable-variable"),
    (errors.TaskTooLarge, 413, "task-too-large"),
]
UNAVAILABLE = [
    (errors.StoreUnavailable, "store-unavailable"),
    (errors.BrokerUnavailable, "broker-unavailable"),
    (errors.EngineUnavailable, "engine-unavailable"),
]
BODY = {"task_id": "t1", "worker_id": "w1", "topic": "charge_card"}


@pytest.mark.parametrize(("error", "status", "slug"), MAPPED)
async def test_a_refusal_says_what_to_do(
    client: Any, stub: Any, check_problem: Any, error: type[Exception], status: int, slug: str
) -> None:
    stub.fail(error("lock the task first"))
    for path, body in (("/tasks/submit", BODY), ("/tasks/t1/retry", None)):
        document = check_problem(await client.post(path, json=body), status, slug)
        assert document["detail"] == "lock the task first"


@pytest.mark.parametrize(("error", "slug"), UNAVAILABLE)
async def test_unavailable_says_when_to_come_back(
    client: Any, stub: Any, check_problem: Any, error: type[Exception], slug: str
) -> None:
    stub.fail(error(SECRET))
    with capture_logs() as logs:
        response = await client.get("/tasks/statistics")
    check_problem(response, 503, slug)
    assert int(response.headers["retry-after"]) > 0
    assert SECRET not in response.text
    assert [entry["log_level"] for entry in logs] == ["error"]


async def test_an_error_of_the_engine_is_a_bad_gateway(client: Any, stub: Any, check_problem: Any) -> None:
    stub.fail(errors.EngineRejected(SECRET, status=500, code=1))
    with capture_logs():
        response = await client.post("/tasks/t1/retry")
    check_problem(response, 502, "engine-error")
    assert SECRET not in response.text


@pytest.mark.parametrize("error", [RuntimeError(SECRET), errors.GatewayError(SECRET), errors.StoreError(SECRET)])
async def test_the_unexpected_is_logged_and_not_told(
    client: Any, stub: Any, check_problem: Any, error: Exception
) -> None:
    stub.fail(error)
    with capture_logs() as logs:
        response = await client.get("/tasks/statistics")
    check_problem(response, 500, "internal-error")
    assert SECRET not in response.text
    assert logs[0]["exc_info"] is error
    assert logs[0]["path"] == "/tasks/statistics"


async def test_a_client_that_leaves_before_its_body_is_whole_is_no_error_of_ours(client: Any) -> None:
    events = iter([{"type": "http.request", "body": b'{"task_id"', "more_body": True}, {"type": "http.disconnect"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(events)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", b"100")]
    headers += [(name.lower().encode(), value.encode()) for name, value in client.headers.items()]
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": "/tasks/submit", "raw_path": b"/tasks/submit",
        "root_path": "", "scheme": "http", "query_string": b"", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("localhost", 80), "state": {}, "extensions": {},
    }  # fmt: skip
    with capture_logs() as logs:
        await client.app(scope, receive, send)
    assert (sent[0]["status"], logs) == (400, [])


async def test_debug_shows_no_stack_either(stub: Any, check_problem: Any) -> None:
    stub.fail(RuntimeError(SECRET))
    async with AsyncTestClient(stub.app(debug=True), raise_server_exceptions=False) as client:
        with capture_logs():
            response = await client.get("/tasks/t1/status")
    check_problem(response, 500, "internal-error")
    assert SECRET not in response.text


@pytest.mark.parametrize("path", ["/nope", "/tasks/a/b/c", "/docs/assets/swagger-ui.js", "/dashboard"])
async def test_no_such_path(client: Any, check_problem: Any, path: str) -> None:
    check_problem(await client.get(path), 404, "no-such-path")


async def test_a_wrong_method_names_the_right_ones(client: Any, check_problem: Any) -> None:
    response = await client.delete("/tasks/submit")
    check_problem(response, 405, "wrong-method")
    assert "POST" in response.headers["allow"]


def test_every_error_of_the_gateway_has_a_kind() -> None:
    pending: list[type[Exception]] = [errors.GatewayError]
    while pending:
        cls = pending.pop()
        pending += cls.__subclasses__()
        assert any(base in PROBLEMS for base in cls.__mro__)
    assert kind_of(KeyError("x")).status == 500


@pytest.mark.parametrize(
    ("content", "kind", "status", "slug", "code"),
    [
        ("{}", "text/plain", 415, "not-json", "request.json_type"),
        ("{}", "application/json; charset=latin1", 415, "not-json", "request.charset"),
        ("{", "application/json", 400, "invalid-request", "request.not_json"),
        ("[]", "application/json", 400, "invalid-request", "request.json_object"),
        ("{}", "application/json", 400, "invalid-request", "request.fields"),
    ],
)
async def test_a_body_that_is_not_read_has_a_code(
    client: Any, check_problem: Any, content: str, kind: str, status: int, slug: str, code: str
) -> None:
    answer = await client.post("/tasks/submit", content=content, headers={"content-type": kind})
    assert check_problem(answer, status, slug)["code"] == code
