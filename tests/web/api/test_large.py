"""Large bodies and values: worked off the event loop, few at a time, with the same answers as small ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from bridge.domain.errors import Overloaded
from bridge.domain.json_values import MOST_VALUES, has_more_values
from bridge.domain.submission import LARGE
from bridge.domain.task import Task
from tests.web.conftest import Client, Stub
from web.api import query
from web.offload import Offload

BODY: dict[str, Any] = {"task_id": "t1", "worker_id": "w1", "topic": "charge_card", "variables": {"a": {"b": [1]}}}


@pytest.fixture
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let every body be large; return the threads in which bodies are checked."""
    threads: list[int] = []
    checked = query._checked

    def watched(body: bytearray, model: Any) -> Any:
        threads.append(threading.get_ident())
        return checked(body, model)

    monkeypatch.setattr(query, "LARGE", 10)
    monkeypatch.setattr("web.offload.LARGE", 10)
    monkeypatch.setattr(query, "_checked", watched)
    return threads


async def test_a_large_body_is_read_in_a_thread(client: Client, stub: Stub, small_is_large: list[int]) -> None:
    answer = await client.post("/tasks/submit", json=BODY)
    assert answer.status_code == 202, answer.text
    assert [submission.variables for submission in stub.submitted] == [{"a": {"b": [1]}}]
    assert stub.submitted[0].size > 10
    assert len(small_is_large) == 1


@pytest.mark.parametrize(
    "changes",
    [{"task_id": "no such/id"}, {"worker_id": None}, {"more": 1}, {"variables": [1]}, {"variables": {"": 1}}],
)
async def test_a_large_body_is_refused_as_a_small_one(
    client: Client,
    stub: Stub,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    check_problem: Callable[..., Any],
) -> None:
    body = BODY | changes
    small = check_problem(await client.post("/tasks/submit", json=body), 400, "invalid-request")
    monkeypatch.setattr(query, "LARGE", 10)
    monkeypatch.setattr("web.offload.LARGE", 10)
    assert check_problem(await client.post("/tasks/submit", json=body), 400, "invalid-request") == small
    assert stub.submitted == []


@pytest.mark.parametrize("content", [b"[1, 2, 3, 4, 5]", b'{"task_id": "\xff"....', b'{"a": ' + b"[" * 5000])
async def test_what_is_no_json_is_400_in_a_thread_too(
    client: Client, small_is_large: list[int], content: bytes, check_problem: Callable[..., Any]
) -> None:
    headers = {"content-type": "application/json"}
    check_problem(await client.post("/tasks/submit", content=content, headers=headers), 400, "invalid-request")
    assert len(small_is_large) == 1


async def test_few_are_worked_at_a_time_and_the_rest_is_sent_away() -> None:
    offload = Offload(worked=1, waiting=1)
    go, at_work = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    present: list[int] = []

    def work(number: int) -> int:
        present.append(number)
        loop.call_soon_threadsafe(at_work.set)
        assert go.wait(30)
        return number

    first = asyncio.create_task(offload.run(LARGE + 1, work, 1))
    await at_work.wait()
    second = asyncio.create_task(offload.run(LARGE + 1, work, 2))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await offload.run(LARGE + 1, work, 3)
    assert await offload.run(LARGE, threading.get_ident) == threading.get_ident()
    assert present == [1]
    go.set()
    assert [await first, await second] == [1, 2]
    assert await offload.run(LARGE + 1, work, 4) == 4


async def test_a_body_too_many_is_asked_to_come_again(
    client: Client, small_is_large: list[int], check_problem: Callable[..., Any]
) -> None:
    client.app.state[query.OFFLOAD] = Offload(worked=1, waiting=-1)
    answer = await client.post("/tasks/submit", json=BODY)
    check_problem(answer, 503, "overloaded")
    assert answer.headers["retry-after"] == "5"
    assert small_is_large == []


async def test_the_api_masks_errors(client: Client, stub: Stub, new_task: Callable[..., Task]) -> None:
    stub.reader.tasks = [new_task(error="refused: password=c4nary, amqp://u:c4nary@h")]
    for path in ("/tasks/t1/status", "/tasks/"):
        answer = await client.get(path)
        assert answer.status_code == 200
        assert "c4nary" not in answer.text
        assert "refused: password=***, amqp://u:***@h" in answer.text


async def test_what_holds_too_many_values_is_not_decoded(
    client: Client,
    stub: Stub,
    small_is_large: list[int],
    monkeypatch: pytest.MonkeyPatch,
    check_problem: Callable[..., Any],
) -> None:
    decoded: list[int] = []
    monkeypatch.setattr(query, "decode_json", lambda body: decoded.append(len(body)))
    monkeypatch.setattr(query, "has_more_values", partial(has_more_values, most=100))
    body = BODY | {"variables": {"many": [{}] * 100}}
    problem = check_problem(await client.post("/tasks/submit", json=body), 400, "invalid-request")
    assert f"more than {MOST_VALUES} values" in problem["detail"]
    assert decoded == []
    assert stub.submitted == []


async def test_a_large_body_does_not_outlive_its_decoding(
    client: Client, stub: Stub, small_is_large: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever still refers to it: a traceback does so until it is collected."""
    bodies: list[bytearray] = []
    checked = query._checked

    def watched(body: bytearray, model: Any) -> Any:
        bodies.append(body)
        return checked(body, model)

    monkeypatch.setattr(query, "_checked", watched)
    for variables in ({"text": "x" * 300}, {"": "x" * 300}):
        await client.post("/tasks/submit", json=BODY | {"variables": variables})
    assert [submission.size > 300 for submission in stub.submitted] == [True]
    assert [len(body) for body in bodies] == [0, 0]
