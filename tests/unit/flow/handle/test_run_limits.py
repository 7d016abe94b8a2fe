"""Time, threads, cancellation, and what ends a program: none of it ends more than its task."""

from __future__ import annotations

import asyncio
import sys
import threading
from datetime import timedelta

import pytest
from pydantic import computed_field

from bridge.domain.task import BpmnFault, Completion, Failure
from bridge.flow.handle.run import HandlerTimeout, Run
from bridge.testing import make_context
from bridge.topic import BpmnError, Context, topic
from tests.unit.fakes import a_task
from tests.unit.flow.handle.run_rig import (
    INSTANT,
    WHO,
    Exits,
    Masked,
    Order,
    Receipt,
    a_run,
    failure_of,
    outcome_of,
    raising,
    returning,
)


async def test_a_handler_that_takes_too_long_is_cancelled_and_named_so(runner: Run) -> None:
    ends: list[str] = []

    async def handler(order: Order) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("cancelled")

    outcome = await failure_of(runner, handler, timeout=INSTANT, retries=2)
    assert ends == ["cancelled"]
    assert (outcome.name, outcome.retries) == (HandlerTimeout.__name__, 2)
    assert outcome.message == "HandlerTimeout: no result within 0.001 s; the handler was cancelled"


async def test_the_gateways_timeout_holds_where_the_topic_has_none() -> None:
    run = a_run(timedelta(seconds=INSTANT))

    async def handler(order: Order) -> None:
        await asyncio.Event().wait()

    assert (await failure_of(run, handler)).name == "HandlerTimeout"


async def test_a_handlers_own_timeout_error_is_not_taken_for_ours(runner: Run) -> None:
    async def handler(order: Order) -> None:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    outcome = await failure_of(runner, handler)
    assert outcome.name == "TimeoutError"


async def test_cancellation_passes_through(runner: Run) -> None:
    started = asyncio.Event()

    async def handler(order: Order) -> None:
        started.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(outcome_of(runner, handler))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_plain_function_runs_in_a_thread_of_its_topic_and_sees_the_callers_context(runner: Run) -> None:
    def handler(order: Order, context: Context) -> dict[str, str]:
        return {"thread": threading.current_thread().name, "who": WHO.get()}

    WHO.set("caller")
    outcome = await outcome_of(runner, handler)
    assert isinstance(outcome, Completion)
    assert str(outcome.variables["thread"].value).startswith("topic-orders")
    assert outcome.variables["who"].value == "caller"


async def test_what_a_plain_function_sets_stays_its_own(runner: Run) -> None:
    def handler(order: Order) -> None:
        WHO.set("handler")

    WHO.set("caller")
    await outcome_of(runner, handler)
    assert WHO.get() == "caller"


async def test_a_plain_functions_errors_are_outcomes_too(runner: Run) -> None:
    def handler(order: Order) -> None:
        raise BpmnError("refused")

    assert await outcome_of(runner, handler) == BpmnFault("refused")


async def test_a_plain_function_that_runs_out_of_items_fails_at_once(runner: Run) -> None:
    """A future can't carry a StopIteration: whoever waits for it would wait until the handler's time is up."""

    def handler(order: Order) -> None:
        next(iter(()))

    outcome = await failure_of(runner, handler, retries=2)
    assert (outcome.name, outcome.retries) == ("RuntimeError", 2)
    assert outcome.message == "RuntimeError: the handler ran out of items: StopIteration"


async def test_a_plain_function_does_not_hold_up_the_loop_and_its_late_result_is_dropped(runner: Run) -> None:
    release, ended = threading.Event(), threading.Event()

    def handler(order: Order) -> dict[str, int]:
        release.wait(10)
        ended.set()
        return {"late": 1}

    outcome = await failure_of(runner, handler, timeout=INSTANT)
    assert outcome.name == "HandlerTimeout"
    assert not ended.is_set(), "it still runs when the outcome is there"
    release.set()
    assert await asyncio.to_thread(ended.wait, 10)


async def test_a_system_exit_does_not_become_an_outcome_but_its_cause_is_told(runner: Run) -> None:
    outcome = await failure_of(runner, raising(ExceptionGroup("both", [ValueError("a"), KeyError("b")])))
    assert outcome.name == "ExceptionGroup"
    assert "ValueError: a" in outcome.details
    assert "KeyError: 'b'" in outcome.details


ENDINGS = [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), BaseException("of no kind"), Masked()]


@pytest.mark.parametrize("error", ENDINGS, ids=lambda error: object.__repr__(error)[1:20])
@pytest.mark.parametrize("plain", [False, True])
async def test_what_ends_a_program_is_the_failure_of_a_task(runner: Run, error: BaseException, plain: bool) -> None:
    def in_thread(order: Order) -> None:
        raise error

    async def on_the_loop(order: Order) -> None:
        raise error

    declared = topic("orders")(in_thread if plain else on_the_loop)
    # In a task of its own, as it runs in the gateway: that one must not end with what the handler raised.
    async with runner.slot(declared) as slot:
        running = runner.run(declared, a_task(attempts=1, retries=2), make_context(), slot)
        found = await asyncio.create_task(running)
    name = type.__dict__["__name__"].__get__(type(error))
    assert isinstance(found, Failure)
    assert (found.name, found.retries) == (name, 2)
    assert found.message.startswith(name)


async def test_a_model_that_ends_the_program_is_a_failure_of_its_input(runner: Run) -> None:
    async def handler(exits: Exits) -> None: ...

    found = await outcome_of(runner, handler, {"rate": "x"})
    assert isinstance(found, Failure)
    assert (found.name, found.message, found.retries) == ("InvalidInput", "InvalidInput: SystemExit: no rate x", 0)


async def test_a_result_that_ends_the_program_is_a_failure(runner: Run) -> None:
    class Ends(Receipt):
        @computed_field
        def total(self) -> int:
            sys.exit(1)

    found = await outcome_of(runner, returning(Ends(number=1)), retries=2)
    assert isinstance(found, Failure)
    assert (found.name, found.retries) == ("SystemExit", 2)


async def test_a_cancellation_from_outside_still_passes(runner: Run) -> None:
    begun = asyncio.Event()

    async def handler(order: Order) -> None:
        begun.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(outcome_of(runner, handler))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
