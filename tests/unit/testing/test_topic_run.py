"""`TopicRun`: a task's whole life by the gateway's own flow, in simulated time."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from pydantic import BaseModel, Field

from bridge.domain.errors import VariableError
from bridge.testing.topic_run import TopicRun
from bridge.topic import BpmnError, Context, Fail, File, Retry, topic

HOUR = 3600


class Order(BaseModel):
    amount: int = Field(gt=0)


class Nothing(BaseModel):
    """What reads no variable."""


@topic("charge", timeout=30, retries=2)
async def charge(order: Order, context: Context) -> dict[str, Any]:
    context.log.info("charging", attempt=context.attempt)
    match order.amount:
        case 1:
            raise BpmnError("REFUSED", "the bank refused", {"code": 51})
        case 2:
            await asyncio.sleep(HOUR)
        case 3 if context.attempt == 1:
            raise Retry("look twice", after=HOUR)
        case 4:
            raise ValueError("broken")
        case 5:
            raise Fail("never")
    _, new = await context.put_once("charge", context.idempotency_key, {"amount": order.amount})
    return {"new": new, "attempt": context.attempt}


def test_a_result_is_in_the_process() -> None:
    ended = TopicRun(charge).run({"amount": 42}, business_key="A-17")
    assert (ended.state, ended.seconds) == ("completed", 0)
    assert ended.variables == {"amount": 42, "new": True, "attempt": 1}
    assert [(entry.event, entry.values) for entry in ended.log] == [("charging", {"attempt": 1})]


def test_a_bpmn_error_ends_the_task_with_its_variables() -> None:
    ended = TopicRun(charge).run({"amount": 1})
    (attempt,) = ended.attempts
    assert (ended.state, attempt.ended, attempt.error) == ("completed", "bpmn_error", "REFUSED")
    assert ended.variables == {"amount": 1, "code": 51}


def test_a_retry_comes_when_it_was_asked_for() -> None:
    ended = TopicRun(charge).run({"amount": 3})
    assert [(each.ended, each.error, each.began_at) for each in ended.attempts] == [
        ("failed", "Retry", 0),
        ("completed", None, HOUR),
    ]
    assert ended.variables["attempt"] == 2


def test_an_error_is_tried_again_until_no_retries_are_left() -> None:
    ended = TopicRun(charge, retry_delay=100, retry_delay_max=150).run({"amount": 4})
    assert (ended.state, [each.error for each in ended.attempts]) == ("failed", ["ValueError"] * 3)
    first, second, third = (each.began_at for each in ended.attempts)
    assert first == 0
    assert 50 <= second - first <= 100
    assert 75 <= third - second <= 150


@pytest.mark.parametrize(("amount", "error"), [(5, "Fail"), (0, "InvalidInput")])
def test_what_no_retry_helps_is_an_incident_at_once(amount: int, error: str) -> None:
    ended = TopicRun(charge).run({"amount": amount})
    assert (ended.state, [each.error for each in ended.attempts]) == ("failed", [error])


def test_a_handler_that_hangs_is_ended_by_its_timeout() -> None:
    ended = TopicRun(charge, task_timeout=7).run({"amount": 2})  # which the topic's own goes before
    assert [(each.error, each.seconds) for each in ended.attempts] == [("HandlerTimeout", 30)] * 3


def test_a_lock_is_renewed_as_long_as_the_handler_runs() -> None:
    @topic("patient", timeout=2 * HOUR)
    async def patient(order: Order) -> None:
        await asyncio.sleep(HOUR)

    ended = TopicRun(patient, lock_duration=20).run({"amount": 1})
    assert (ended.state, ended.seconds, len(ended.attempts)) == ("completed", HOUR, 1)


@pytest.mark.parametrize("loses", [True, False])
def test_a_handler_is_cancelled_whose_task_is_not_its_own_any_more(loses: bool) -> None:
    seen: list[str] = []

    @topic("held", timeout=HOUR)
    async def held(order: Order) -> None:
        try:
            await asyncio.sleep(HOUR / 2)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    run = TopicRun(held)
    ended = (run.lose_lock(after=10) if loses else run.cancel_process(after=10)).run({"amount": 1})
    assert (ended.state, ended.attempts, seen) == ("superseded" if loses else "cancelled", (), ["cancelled"])
    assert 10 < ended.seconds < 60


def test_a_disturbance_after_the_end_does_nothing() -> None:
    ended = TopicRun(charge).lose_lock(after=10).cancel_process(after=20).run({"amount": 42})
    assert (ended.state, ended.seconds) == ("completed", 0)


def test_a_plain_handler_runs_in_a_thread_in_real_time() -> None:
    release = threading.Event()

    @topic("plain", timeout=0.05, retries=0)
    def plain(order: Order) -> str | None:
        if order.amount == 2:
            release.wait(20)
        return None

    assert TopicRun(plain, task_timeout=30).run({"amount": 1}).state == "completed"
    ended = TopicRun(plain).run({"amount": 2})
    release.set()
    assert (ended.state, ended.attempts[0].error) == ("failed", "HandlerTimeout")


def test_a_file_is_read_where_the_task_sees_it() -> None:
    @topic("scan")
    async def scan(given: Nothing, context: Context) -> dict[str, int]:
        return {"size": len(await context.read_file("scan"))}

    ended = TopicRun(scan).run({"scan": File("scan.pdf", b"12345", "application/pdf")})
    assert ended.variables["size"] == 5


def test_variables_that_no_engine_takes_are_the_tests_own_fault() -> None:
    with pytest.raises(VariableError, match="amount"):
        TopicRun(charge).run({"amount": object()})


def test_a_task_that_does_not_end_in_time_is_told() -> None:
    with pytest.raises(TimeoutError):
        TopicRun(charge).run({"amount": 3}, within=60)


async def test_an_async_test_may_run_it_too() -> None:
    assert TopicRun(charge).run({"amount": 42}).state == "completed"
