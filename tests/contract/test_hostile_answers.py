"""No answer costs more memory than its call's bound, however it was compressed."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Final

import pytest
from aiohttp import web

from bridge.adapters.camunda.bounds import SMALL_ANSWER
from bridge.adapters.camunda.engine import MOST_PAGES, PAGE, CamundaEngine
from bridge.domain.errors import AnswerTooLarge, EngineRejected, VariableError
from bridge.domain.json_values import MOST_VALUES
from bridge.ports.engine import TopicPoll
from tests.contract.stub_engine import Stub, stub_engine

LIMIT: Final = 100_000
Call = Callable[[CamundaEngine], Awaitable[object]]


async def fetch(engine: CamundaEngine, wait: timedelta = timedelta(0)) -> object:
    return await engine.fetch_and_lock("w1", 3, [TopicPoll("a", timedelta(minutes=1))], wait)


CALLS: Final[dict[str, Call]] = {
    "fetch": fetch,
    "read_variables": lambda e: e.read_variables("e1"),
    "get_many": lambda e: e.get_many(["t1"]),
    "locked_by": lambda e: e.locked_by("w1"),
    "get": lambda e: e.get("t1"),
    "complete": lambda e: e.complete("t1", "w1", {}),
    "history": lambda e: e.history("t1"),
    "throwing_activities": lambda e: e.throwing_activities("p1"),
    "version": lambda e: e.version(),
    "installation": lambda e: e.identity.installation(),
}


@pytest.fixture
async def stub() -> Stub:
    return Stub()


@pytest.fixture
async def engine(stub: Stub) -> AsyncIterator[CamundaEngine]:
    async with stub_engine(stub) as url:
        engine = CamundaEngine(
            url, timeout=timedelta(seconds=20), observe=stub.observe, foreign=stub.observe_foreign, answer_limit=LIMIT
        )
        await engine.open()
        yield engine
        await engine.close()


def compressed(size: int) -> bytes:
    """Return a list of spaces of so many bytes, a thousandth of that in gzip."""
    return gzip.compress(b"[" + b" " * (size - 2) + b"]")


@pytest.mark.parametrize("call", CALLS)
async def test_what_decompresses_to_more_than_the_bound_is_not_read(
    engine: CamundaEngine, stub: Stub, call: str
) -> None:
    sent = compressed(200_000_000)
    stub.answers(200, sent, "application/json", **{"Content-Encoding": "gzip"})
    assert len(sent) < 300_000
    tracemalloc.start()
    try:
        with pytest.raises(AnswerTooLarge, match="ENGINE_ANSWER_LIMIT"):
            await CALLS[call](engine)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 80_000_000, "that of the largest bound, a model's, and what it takes to grow to it"
    assert stub.foreign == [], "the engine is no other for it"


async def test_what_is_told_to_be_too_large_is_not_even_begun(engine: CamundaEngine, stub: Stub) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(10**9)})
        await response.prepare(request)
        return response

    stub.answer = answer
    with pytest.raises(AnswerTooLarge):
        await fetch(engine)


async def test_up_to_the_bound_all_is_read_and_the_next_call_goes_on(engine: CamundaEngine, stub: Stub) -> None:
    stub.answers(200, b"[" + b" " * (LIMIT - 1) + b"]", "application/json")
    with pytest.raises(AnswerTooLarge):
        await fetch(engine)
    stub.answers(200, b"[" + b" " * (LIMIT - 2) + b"]", "application/json")
    assert await fetch(engine) == []
    stub.answers(200, compressed(LIMIT), "application/json", **{"Content-Encoding": "gzip"})
    assert await fetch(engine) == []
    assert stub.calls == [("fetch", 200)] * 3


async def test_a_call_without_variables_has_a_bound_of_its_own(engine: CamundaEngine, stub: Stub) -> None:
    assert SMALL_ANSWER.size > LIMIT
    stub.answers(200, b"[" + b" " * SMALL_ANSWER.size + b"]", "application/json")
    with pytest.raises(AnswerTooLarge):
        await engine.locked_by("w1")
    stub.answers(200, b"[" + b" " * (SMALL_ANSWER.size - 2) + b"]", "application/json")
    assert await engine.locked_by("w1") == []


@pytest.mark.parametrize("call", [name for name in CALLS if name not in ("throwing_activities", "complete")])
async def test_what_would_decode_to_more_values_than_the_bound_is_not_decoded(stub: Stub, call: str) -> None:
    """Three bytes of it would be an object of 64."""
    stub.answers(200, b"[" + b"{}," * MOST_VALUES + b"{}]", "application/json")
    async with stub_engine(stub) as url:
        engine = CamundaEngine(url, timeout=timedelta(seconds=20))
        await engine.open()
        tracemalloc.start()
        try:
            with pytest.raises(AnswerTooLarge, match="more than 100000 values"):
                await CALLS[call](engine)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            await engine.close()
    assert peak < 50 * MOST_VALUES, "less than the objects would take"
    assert stub.foreign == []


async def test_a_file_is_not_decoded_and_may_hold_any_number_of_values(stub: Stub) -> None:
    file = b"[" + b"{}," * MOST_VALUES + b"{}]"
    stub.answers(200, file, "application/json", **{"Content-Disposition": "attachment; filename=rows.json"})
    async with stub_engine(stub) as url:
        engine = CamundaEngine(url, timeout=timedelta(seconds=20))
        await engine.open()
        try:
            assert await engine.read_file("e1", "rows") == file
        finally:
            await engine.close()


async def test_a_file_that_is_too_large_is_no_outage(engine: CamundaEngine, stub: Stub) -> None:
    """No repeat would help: the handler is told which variable it is."""
    stub.answers(200, b"x" * (LIMIT + 1), "application/octet-stream")
    with pytest.raises(VariableError, match=r"'scan'.*ENGINE_ANSWER_LIMIT"):
        await engine.read_file("e1", "scan")


async def test_an_engine_s_own_error_is_kept_short(engine: CamundaEngine, stub: Stub) -> None:
    stub.answers(500, {"type": "ProcessEngineException", "message": "x" * 1_000_000})
    with pytest.raises(EngineRejected) as caught:
        await engine.complete("t1", "w1", {})
    assert len(str(caught.value)) < 11_000


async def test_a_list_without_an_end_is_given_up(engine: CamundaEngine, stub: Stub) -> None:
    row = {"id": "t", "topicName": "a"}
    stub.answers(200, [row] * PAGE)
    with pytest.raises(AnswerTooLarge, match=f"more than {MOST_PAGES * PAGE} rows"):
        await engine.locked_by("w1")
    assert len(stub.requests) == MOST_PAGES
