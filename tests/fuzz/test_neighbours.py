"""The engine's answers and the broker's messages: what a neighbour sends is read, or costs itself alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from hypothesis import strategies as st

from bridge.adapters.camunda.answers import Answer, content, document, interpret, nothing, rows
from bridge.adapters.camunda.rows import external_task, read_leases, read_row
from bridge.adapters.rabbitmq.frames import read_header, read_short_string
from bridge.adapters.rabbitmq.messages import Undecodable, from_message, to_message
from bridge.documents.task_codec import read_back
from bridge.domain.errors import EngineError, VariableError
from bridge.domain.task import Task, TaskKey
from bridge.domain.trace_context import kept, parse, place_of, trace_id
from bridge.domain.unreadable_row import UnreadableRow
from bridge.ports.engine import EngineTask
from tests.contract.hostile_engine import ODD, SPOILED
from tests.contract.hostile_publisher import HOSTILE
from tests.fuzz import strangers
from tests.fuzz.examples import fuzzed

NOW: Final = datetime(2026, 1, 31, 8, tzinfo=UTC)
ROW: Final[Mapping[str, Any]] = {
    "id": "t", "topicName": "charge_card", "workerId": "w", "lockExpirationTime": "2026-01-31T08:00:00.000+0000",
    "retries": 3, "suspended": False, "variables": {"a": {"type": "String", "value": "x", "valueInfo": {}}},
    "businessKey": "order-1", "processInstanceId": "p", "processDefinitionKey": "k", "processDefinitionId": "k:1:1",
    "activityId": "a", "activityInstanceId": "a:1", "executionId": "e", "tenantId": None, "priority": 5,
    "createTime": "2026-01-31T07:00:00.000+0000", "extensionProperties": {"a": "b"}, "errorMessage": None,
}  # fmt: skip


def as_json(value: Any) -> bytes:
    """Write it as an engine might: what is no text in UTF-8 by JSON's escapes."""
    return json.dumps(value).encode()


variable: Final = st.fixed_dictionaries(
    {}, optional={"type": strangers.types, "value": strangers.values, "valueInfo": strangers.infos | st.none()}
)
field: Final = st.one_of(
    strangers.values,
    st.dictionaries(strangers.texts, variable, max_size=3),
    st.text(st.sampled_from("0123456789-+:.TZ"), max_size=35),
)
spoiled_rows: Final = st.one_of(
    st.dictionaries(st.sampled_from(sorted(ROW)), field, max_size=4).map(lambda fields: {**ROW, **fields}),
    st.sampled_from([*SPOILED, *ODD]).map(lambda spoil: spoil.of(ROW)),
    st.dictionaries(strangers.texts | st.sampled_from(sorted(ROW)), field, max_size=6),
)
bodies: Final = st.one_of(
    st.binary(max_size=60),
    strangers.values.filter(strangers.is_utf8).map(lambda value: repr(value).encode()),
    st.lists(spoiled_rows, max_size=3).map(as_json),
    st.fixed_dictionaries({"type": strangers.texts, "message": strangers.scalars, "code": strangers.scalars}).map(
        as_json
    ),
    strangers.values.map(as_json),
)
answers: Final = st.builds(
    Answer,
    st.sampled_from([200, 204, 206, 300, 302, 400, 401, 403, 404, 405, 409, 413, 429, 500, 502, 503, 504, 599]),
    bodies,
    st.sampled_from(["application/json", "application/json;charset=utf-8", "text/html", "", "application/octet-stream"])
    | strangers.texts,
    strangers.texts | st.just("attachment; filename=x"),
    st.none() | strangers.texts | st.just("Sat, 31 Jan 2026 08:00:00 GMT"),
    st.integers(0, 2**40),
)
readers: Final = st.sampled_from([nothing, content, document(external_task), rows(read_row), document(dict)])


@fuzzed(spoiled_rows)
def test_a_row_of_the_engine_is_read_or_costs_itself(row: dict[str, Any]) -> None:
    found = read_row(row)
    (read,) = read_leases([found], {"charge_card"})
    if isinstance(read, UnreadableRow):
        assert len(read.reason) <= 400
        return
    assert isinstance(read, EngineTask)
    task = Task(
        id=read.id, topic=read.topic, worker_id="w", lease_until=NOW, created_at=NOW, updated_at=NOW, retries=3,
        variables=read.variables, business_key=read.business_key, process_instance_id=read.process_instance_id,
        process_definition_key=read.process_definition_key, process_definition_id=read.process_definition_id,
        activity_id=read.activity_id, activity_instance_id=read.activity_instance_id, execution_id=read.execution_id,
        tenant_id=read.tenant_id, priority=read.priority, engine_created_at=read.created_at, properties=read.properties,
        trace=kept(str(read.variables)),
    )  # fmt: skip
    try:
        read_back(task)
    except VariableError as error:
        refusal = str(error)
        assert "can't be stored" in refusal


@fuzzed(answers, readers)
def test_an_answer_of_the_engine_is_read_or_an_error_of_the_engine(answer: Answer, read: Any) -> None:
    assert answer.told_at is None or answer.told_at.tzinfo is not None
    try:
        interpret("ask", answer, read)
    except EngineError as error:
        str(error).encode("utf-8", "replace")


@fuzzed(
    st.sampled_from(HOSTILE),
    st.binary(max_size=60) | strangers.values.map(as_json),
    st.dictionaries(
        st.sampled_from(["x-death", "traceparent", "x-first-death-queue", "a"]), strangers.values, max_size=3
    ),
)
def test_a_message_is_read_or_undecodable(hostile: Any, body: bytes, headers: dict[str, Any]) -> None:
    for sent, beside in ((body, headers), (hostile.body, headers), (body, hostile.headers)):
        try:
            key = from_message(sent, beside)
        except Undecodable as error:
            assert len(str(error)) < 400
            continue
        again, properties = to_message(key)
        assert from_message(again, properties.headers or {}) == key
        trace_id(key.trace)
        place_of(key.id, key.trace)


@fuzzed(st.text(min_size=1, max_size=64), st.integers(1, 2**63 - 1))
def test_a_message_of_ours_is_read_as_it_was_written(task_id: str, epoch: int) -> None:
    body, _ = to_message(TaskKey(task_id, epoch))
    assert from_message(body, {}) == TaskKey(task_id, epoch)


@fuzzed(st.binary(max_size=80))
def test_properties_of_a_message_never_end_the_connection(written: bytes) -> None:
    header = read_header(b"\0\x3c\0\0" + (0).to_bytes(8, "big") + written)
    assert header.properties is not None
    if written:
        read_short_string(written)


@fuzzed(strangers.texts | st.text(st.sampled_from("0123456789abcdef-"), max_size=60))
def test_a_trace_is_read_or_left_out(text: str) -> None:
    found = parse(text)
    assert parse(kept(text)) == (None if found is None else (found[0], found[1], True))
