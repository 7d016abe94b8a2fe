"""The codec of variables: whatever the engine, a submitter or a handler gives is refused by name, or kept as it is."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from hypothesis import strategies as st
from litestar.exceptions import SerializationException
from litestar.serialization import decode_json, encode_json
from pydantic import BaseModel, ConfigDict, ValidationError

from bridge.documents.task_codec import read_back
from bridge.domain.errors import VariableError
from bridge.domain.task import Completion, State, Task, TypedValue, Variables
from bridge.domain.variables import (
    decode,
    encode,
    encode_result,
    from_wire,
    parse_date,
    parse_submitted,
    read_input,
    to_wire,
)
from tests.fuzz import strangers
from tests.fuzz.examples import fuzzed
from web.api.results import plain_result
from web.api.schemas import SubmitRequest, TaskStatus
from web.dashboard.task_variables import shown

NOW: Final = datetime(2026, 1, 31, 8, tzinfo=UTC)
TASK: Final = Task("t", "charge_card", "w", NOW, NOW, NOW, 3)

typed: Final = st.builds(TypedValue, strangers.types, strangers.typed_values, strangers.infos)
variables: Final = st.dictionaries(strangers.texts, typed, max_size=4)
as_sent: Final = st.fixed_dictionaries(
    {"value": strangers.typed_values, "type": strangers.types},
    optional={"valueInfo": strangers.infos, "local": st.booleans()},
)
submitted: Final = st.dictionaries(strangers.texts, strangers.values | as_sent, max_size=4)


class Anything(BaseModel):
    """Takes all variables."""

    model_config = ConfigDict(extra="allow")


def kept(given: Variables) -> Task | None:
    """Return the task with these variables as MongoDB gives it back; None where it can't be kept, and says so."""
    try:
        return read_back(TASK.changed(variables=given, state=State.COMPLETED, outcome=Completion(given)))
    except VariableError:
        return None


@fuzzed(variables)
def test_what_the_engine_sends_is_read_or_refused_by_name(given: Variables) -> None:
    for name, variable in given.items():
        try:
            decode({name: variable})
        except VariableError as error:
            assert repr(name) in str(error)
    try:
        read_input(Anything, given)
    except (VariableError, ValidationError) as error:
        assert str(error)


@fuzzed(variables)
def test_what_is_kept_is_given_back_and_can_be_shown(given: Variables) -> None:
    task = kept(given)
    if task is not None:
        assert task.variables == given
        plain_result(task.result)
        assert encode_json(TaskStatus.of(task).model_dump(mode="json"))
        for one in shown(task.variables, "engine", ()):
            str(one.value).encode()


@fuzzed(submitted)
def test_what_is_submitted_is_refused_or_goes_to_the_engine(given: dict[str, Any]) -> None:
    body = json.dumps({"task_id": "t", "worker_id": "w", "topic": "charge_card", "variables": given})
    try:
        request = SubmitRequest.model_validate(decode_json(body))
        parsed = parse_submitted(request.variables)
    except (SerializationException, VariableError, ValidationError):
        return
    if kept(parsed) is not None:
        assert from_wire(orjson.loads(orjson.dumps(to_wire(parsed)))) == parsed


@fuzzed(st.dictionaries(strangers.texts, strangers.values, max_size=4))
def test_what_a_handler_returns_is_refused_or_read_as_it_was(result: dict[str, Any]) -> None:
    for name, value in result.items():
        try:
            written = encode_result({name: value})
        except VariableError as error:
            assert "variable " in str(error)
            continue
        assert decode(written) == {name: value}
        json.dumps(to_wire(written)).encode()


@fuzzed(strangers.values, strangers.values)
def test_a_result_in_the_type_of_its_input_is_read_as_it_was(before: Any, after: Any) -> None:
    try:
        inputs = encode({"it": before})
        written = encode_result({"it": after}, inputs)
    except VariableError:
        return
    assert decode(written) == {"it": after}


@fuzzed(st.text(st.sampled_from("0123456789-+:.TZ "), max_size=35) | strangers.texts)
def test_a_moment_is_read_or_refused(text: str) -> None:
    try:
        moment = parse_date(text)
    except ValueError:
        return
    assert moment.tzinfo is not None
