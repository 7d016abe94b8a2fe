"""Whatever a handler does, one outcome comes of it, and it says what happened."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bridge.domain.task import BpmnFault, Completion, Failure, TypedValue
from bridge.domain.variables import EngineFormat
from bridge.flow.handle.run import MESSAGE_LIMIT, STACK_LIMIT, Run
from bridge.testing import make_context
from bridge.topic import BpmnError, Context, Fail, Retry, Variable, topic
from tests.unit.fakes import SECOND, a_task
from tests.unit.flow.handle.run_rig import (
    Checked,
    Due,
    Order,
    Receipt,
    Wordless,
    a_run,
    failure_of,
    outcome_of,
    raising,
    returning,
)


@pytest.mark.parametrize(
    ("result", "variables"),
    [
        (None, {}),
        (Receipt(number=7), {"number": TypedValue("Integer", 7), "note": TypedValue("Null")}),
        ({"a": True}, {"a": TypedValue("Boolean", True)}),
    ],
)
async def test_what_a_handler_returns_becomes_variables(runner: Run, result: Any, variables: Any) -> None:
    assert await outcome_of(runner, returning(result)) == Completion(variables)


async def test_a_handler_that_wants_it_gets_its_context(runner: Run) -> None:
    async def handler(order: Order, context: Context) -> dict[str, Any]:
        return {"amount": order.amount, "id": context.task_id}

    outcome = await outcome_of(runner, handler, {"amount": 5})
    assert outcome == Completion({"amount": TypedValue("Integer", 5), "id": TypedValue("String", "task-1")})


@pytest.mark.parametrize("variables", [{"amount": "many"}, {"amount": -1}, {"amount": None}])
async def test_bad_input_is_an_incident_at_once_and_the_handler_does_not_run(
    runner: Run, variables: dict[str, Any]
) -> None:
    ran: list[Order] = []

    async def handler(order: Order) -> None:
        ran.append(order)

    outcome = await failure_of(runner, handler, variables=variables)
    assert (outcome.name, outcome.retries, outcome.retry_after) == ("InvalidInput", 0, timedelta(0))
    assert outcome.message.startswith("InvalidInput: amount: ")
    assert ran == []


async def test_an_input_that_can_not_be_decoded_names_its_variable(runner: Run) -> None:
    declared = topic("orders")(returning(None))
    task = a_task(variables={"amount": TypedValue("Json", "{broken")})
    outcome = await runner.run(declared, task, make_context(), None)
    assert isinstance(outcome, Failure)
    assert (outcome.name, outcome.retries) == ("InvalidInput", 0)
    assert "variable 'amount'" in outcome.message


async def test_the_value_of_a_bad_input_is_not_told_in_the_message(runner: Run) -> None:
    outcome = await failure_of(runner, returning(None), variables={"amount": "geheim"})
    assert "geheim" not in outcome.message


async def test_a_validator_that_breaks_is_bad_input_too(runner: Run) -> None:
    ran: list[Checked] = []

    async def handler(order: Checked) -> None:
        ran.append(order)

    outcome = await failure_of(runner, handler, variables={"rate": "gold"}, retries=3)
    assert (outcome.name, outcome.retries, outcome.retry_after) == ("InvalidInput", 0, timedelta(0))
    assert outcome.message == "InvalidInput: KeyError: 'no rate gold'"
    assert ran == []


async def test_an_error_is_a_failure_with_the_retries_that_are_left(runner: Run) -> None:
    outcome = await failure_of(runner, raising(KeyError("missing")), retries=2)
    assert (outcome.name, outcome.message, outcome.retries) == ("KeyError", "KeyError: 'missing'", 2)
    assert SECOND <= outcome.retry_after <= 2 * SECOND
    assert "Traceback" in outcome.details
    assert "run_rig.py" in outcome.details


async def test_an_error_without_words_is_told_by_its_name(runner: Run) -> None:
    assert (await failure_of(runner, raising(ValueError()))).message == "ValueError"


async def test_an_error_that_can_not_be_told_is_a_failure_all_the_same(runner: Run) -> None:
    outcome = await failure_of(runner, raising(Wordless()), retries=2)
    assert (outcome.name, outcome.retries) == ("Wordless", 2)
    assert outcome.message == "Wordless: (its text can't be read)"


async def test_a_long_error_keeps_its_beginning_and_its_end(runner: Run) -> None:
    outcome = await failure_of(runner, raising(ValueError("first" + 100_000 * "." + "last")))
    for text, limit, beginning in (
        (outcome.message, MESSAGE_LIMIT, "ValueError: first"),
        (outcome.details, STACK_LIMIT, "Traceback"),
    ):
        assert limit <= len(text) < limit + 100
        assert text.startswith(beginning)
        assert text.rstrip().endswith("last")
        assert " characters left out ...]" in text


async def test_the_delay_grows_with_the_attempts_and_is_capped(runner: Run) -> None:
    third = await failure_of(runner, raising(ValueError()), attempts=3)
    assert 4 * SECOND <= third.retry_after <= 8 * SECOND
    late = await failure_of(runner, raising(ValueError()), attempts=500)
    assert 30 * SECOND <= late.retry_after <= 60 * SECOND


async def test_the_last_failure_is_an_incident_without_delay(runner: Run) -> None:
    outcome = await failure_of(runner, raising(Retry("later", after=9)), retries=0)
    assert (outcome.retries, outcome.retry_after) == (0, timedelta(0))


@pytest.mark.parametrize("after", [9, 9.0, 9 * SECOND])
async def test_a_retry_says_when(runner: Run, after: Any) -> None:
    outcome = await failure_of(runner, raising(Retry("busy", after=after)), retries=1)
    assert (outcome.name, outcome.message, outcome.retries) == ("Retry", "Retry: busy", 1)
    assert outcome.retry_after == 9 * SECOND


async def test_a_retry_at_once_is_not_taken_for_one_without_a_time(runner: Run) -> None:
    assert (await failure_of(runner, raising(Retry(after=0)))).retry_after == timedelta(0)


async def test_a_retry_without_a_time_takes_the_growing_delay(runner: Run) -> None:
    assert (await failure_of(runner, raising(Retry()))).retry_after >= SECOND


@pytest.mark.parametrize(("words", "message"), [(("no card",), "Fail: no card"), ((), "Fail: the handler gave up")])
async def test_a_handler_that_gives_up_is_an_incident_at_once(runner: Run, words: Any, message: str) -> None:
    outcome = await failure_of(runner, raising(Fail(*words)), retries=3)
    assert (outcome.name, outcome.message, outcome.retries) == ("Fail", message, 0)


async def test_a_bpmn_error_takes_its_variables_along(runner: Run) -> None:
    outcome = await outcome_of(runner, raising(BpmnError("refused", "no stock", {"left": 0})))
    assert outcome == BpmnFault("refused", "no stock", {"left": TypedValue("Integer", 0)})


async def test_a_bpmn_error_with_bad_variables_is_an_incident_that_names_them(runner: Run) -> None:
    outcome = await failure_of(runner, raising(BpmnError("refused", "", {"rate": float("nan")})), retries=3)
    assert (outcome.name, outcome.retries) == ("InvalidResult", 0)
    assert "variable 'rate'" in outcome.message


@pytest.mark.parametrize("result", [{"rate": float("inf")}, {"thing": object()}, {"text": "\ud800"}])
async def test_a_result_that_can_not_be_encoded_is_an_incident_and_no_retry(runner: Run, result: Any) -> None:
    outcome = await failure_of(runner, returning(result), retries=3)
    assert (outcome.name, outcome.retries) == ("InvalidResult", 0)
    assert f"variable {next(iter(result))!r}" in outcome.message


@pytest.mark.parametrize("result", [7, "text", [1], (Receipt(number=1),)])
async def test_a_result_without_names_is_refused(runner: Run, result: Any) -> None:
    outcome = await failure_of(runner, returning(result), retries=3)
    assert (outcome.name, outcome.retries) == ("InvalidResult", 0)
    assert "give it a name" in outcome.message


class Impatient(Retry):
    def __init__(self) -> None:
        self.after = timedelta(days=4000)


class Codeless(BpmnError):
    def __init__(self) -> None:
        """Leave out all that the class needs."""


@pytest.mark.parametrize(("error", "name"), [(Impatient(), "ValueError"), (Codeless(), "AttributeError")])
async def test_an_error_that_lacks_what_ours_have_is_a_failure(runner: Run, error: Exception, name: str) -> None:
    outcome = await failure_of(runner, raising(error), retries=2)
    assert (outcome.name, outcome.retries) == (name, 2)
    assert type(error).__name__ in outcome.details


async def test_what_a_handler_asks_for_wrongly_is_told_in_its_own_line(runner: Run) -> None:
    async def handler(order: Order) -> None:
        raise Retry("later", after=float("nan"))

    outcome = await failure_of(runner, handler, retries=2)
    assert (outcome.name, outcome.retries) == ("ValueError", 2)
    assert 'raise Retry("later", after=float("nan"))' in outcome.details


async def test_a_bpmn_errors_variables_are_not_local(runner: Run) -> None:
    outcome = await failure_of(runner, raising(BpmnError("X", variables={"a": Variable(1, local=True)})))
    assert (outcome.name, outcome.retries) == ("InvalidResult", 0)
    assert "'a'" in outcome.message


async def test_days_are_the_engines_and_types_stay(runner: Run) -> None:
    async def handler(due: Due) -> Due:
        return due

    sent = {"day": TypedValue("Date", "2026-01-09T03:00:00.000+0000"), "number": TypedValue("Long", 5)}
    broken = {"other": TypedValue("Date", "9999-12-31")}
    there = EngineFormat(ZoneInfo("America/Sao_Paulo"))
    run = a_run(engine_format=there)
    outcome = await run.run(topic("due")(handler), a_task(variables={**sent, **broken}), make_context(), None)
    assert outcome == Completion(sent)


async def test_a_bpmn_error_that_lost_its_code_is_a_failure_and_not_refused_by_the_engine_for_ever(runner: Run) -> None:
    error = BpmnError("REFUSED")
    error.code = ""
    found = await outcome_of(runner, raising(error), retries=2)
    assert isinstance(found, Failure)
    assert (found.name, found.retries) == ("InvalidResult", 0)
    assert "has no code" in found.message
