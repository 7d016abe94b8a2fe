"""A handler that is run by hand: as a worker runs it, and told as the engine would be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from bridge.adapters.logging.journal import StructlogJournal
from bridge.domain.errors import SetupError
from bridge.domain.task import BpmnFault, Completion, Failure, TypedValue
from bridge.topic import BpmnError, Context, Retry, Variable, topic
from gateway.settings import Settings
from gateway.trial import read_variables, run_topic, told, unfetched

SETTINGS = Settings(task_timeout=5, retry_delay=2, retry_delay_max=2, task_retry_limit=3)


class Order(BaseModel):
    amount: int = Field(gt=0)


@topic("charge", retries=2)
async def charge(order: Order, context: Context) -> dict[str, Any]:
    if order.amount == 13:
        raise BpmnError("REFUSED", "the bank refused", {"code": 51})
    if context.attempt + context.retries_left != 3:
        raise AssertionError("retries are counted from the first run on")
    if order.amount > 1000:
        raise Retry("look twice", after=60)
    _, new = await context.put_once("charge", context.idempotency_key, {"amount": order.amount})
    return {"new": new, "place": Variable("BR", local=True)}


class Payload(BaseModel):
    model_config = ConfigDict(extra="allow")


@topic("plain", timeout=0.05)
def plain(order: Order) -> None:
    """A plain handler gets a thread."""


async def test_a_result_is_told_as_variables() -> None:
    outcome = await run_topic(charge, {"amount": TypedValue("Long", 42)}, SETTINGS, StructlogJournal())
    assert isinstance(outcome, Completion)
    assert list(told(outcome)) == ["completed", "    new: Boolean = true", '    place: String = "BR" (local)']


async def test_a_plain_handler_runs_too() -> None:
    outcome = await run_topic(plain, {"amount": TypedValue("Long", 42)}, SETTINGS, StructlogJournal())
    assert list(told(outcome)) == ["completed"]


async def test_a_bpmn_error_is_told_with_its_code() -> None:
    outcome = await run_topic(charge, {"amount": TypedValue("Long", 13)}, SETTINGS, StructlogJournal())
    assert isinstance(outcome, BpmnFault)
    assert list(told(outcome)) == ["BPMN error REFUSED: the bank refused", "    code: Integer = 51"]


@pytest.mark.parametrize(
    ("attempt", "then"),
    [
        (1, "tried again after 60 s; retries left: 2"),
        (2, "tried again after 60 s; retries left: 1"),
        (3, "an incident: no retries are left"),
    ],
)
async def test_a_failure_is_told_with_what_comes_then(attempt: int, then: str) -> None:
    outcome = await run_topic(
        charge, {"amount": TypedValue("Long", 2000)}, SETTINGS, StructlogJournal(), attempt=attempt
    )
    first, second, stack = told(outcome)
    assert isinstance(outcome, Failure)
    assert (first, second) == ("failed: Retry: look twice", then)
    assert stack.endswith("look twice")


async def test_input_that_does_not_fit_is_an_incident() -> None:
    outcome = await run_topic(charge, {"amount": TypedValue("Long", 0)}, SETTINGS, StructlogJournal())
    first, second, _ = told(outcome)
    assert first.startswith("failed: InvalidInput: amount: ")
    assert second == "an incident: no retries are left"


async def test_what_a_fetch_leaves_out_is_left_out_here() -> None:
    given = {"amount": TypedValue("Long", 42), "other": TypedValue("String", "x")}
    assert unfetched(charge, given) == ["other"]

    @topic("all")
    async def everything(seen: Payload) -> dict[str, Any]:
        return seen.model_dump()

    assert unfetched(everything, given) == []
    outcome = await run_topic(everything, given, SETTINGS, StructlogJournal())
    assert list(told(outcome)) == ["completed", "    amount: Long = 42", '    other: String = "x"']


def test_variables_are_read_as_those_of_a_submission(tmp_path: Path) -> None:
    file = tmp_path / "v.json"
    file.write_text(json.dumps({"plain": 7, "typed": {"value": 7, "type": "Long"}}))
    found = read_variables(file)
    assert {name: (value.type, value.value) for name, value in found.items()} == {
        "plain": ("Integer", 7),
        "typed": ("Long", 7),
    }


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"a": {"value": "x", "type": "Long"}}', "\udcff"])
def test_a_file_that_can_not_be_read_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "v.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SetupError, match=r"v\.json "):
        read_variables(file)
    with pytest.raises(SetupError, match=r"none\.json can't be read"):
        read_variables(tmp_path / "none.json")
