"""Variables: what goes in comes out, and what has no faithful form is refused by name."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from bridge.domain.errors import VariableError
from bridge.domain.task import TypedValue
from bridge.domain.variables import decode, encode, from_wire, parse_submitted, to_wire
from bridge.topic import File

LONG = "x" * 4001
TEXT = st.text(st.characters(codec="utf-8"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)
FILES = st.builds(File, TEXT, st.binary(), st.sampled_from(["text/plain", "image/png"]), st.none() | st.just("utf-8"))
MOMENTS = st.datetimes(
    datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.timezones() | st.just(UTC)  # noqa: DTZ001 - hypothesis's rule
)  # fmt: skip


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Order(BaseModel):
    order_id: str = Field(alias="orderId")
    amount: Decimal


@dataclass
class Point:
    x: int
    at: date


def round_trip(value: Any) -> Any:
    wire = orjson.loads(orjson.dumps(to_wire(encode({"v": value}))))
    return decode(from_wire(wire))["v"]


@given(JSON | st.binary() | FILES)
def test_what_goes_in_comes_out(value: Any) -> None:
    back = round_trip(value)
    assert back == value
    assert type(back) is type(value)


@given(MOMENTS)
def test_a_moment_keeps_its_milliseconds(moment: datetime) -> None:
    back = round_trip(moment)
    assert back.utcoffset() == timedelta(0)
    assert timedelta(0) <= moment.astimezone(UTC) - back < timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("value", "typed"),
    [
        (None, TypedValue("Null")),
        (True, TypedValue("Boolean", True)),
        (2**31 - 1, TypedValue("Integer", 2**31 - 1)),
        (-(2**31), TypedValue("Integer", -(2**31))),
        (2**31, TypedValue("Long", 2**31)),
        (2**63 - 1, TypedValue("Long", 2**63 - 1)),
        (-(2**63) - 1, TypedValue("Json", str(-(2**63) - 1))),
        (1.0, TypedValue("Double", 1.0)),
        (Decimal("1.10"), TypedValue("String", "1.10")),
        ("x" * 4000, TypedValue("String", "x" * 4000)),
        (datetime(2026, 1, 1, tzinfo=UTC), TypedValue("Date", "2026-01-01T00:00:00.000+0000")),
        (datetime(2026, 1, 1), TypedValue("Date", "2026-01-01T00:00:00.000+0000")),  # noqa: DTZ001 - naive is UTC
        (
            datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
            TypedValue("Date", "2026-01-01T00:00:00.000+0000"),
        ),
        (date(2026, 1, 1), TypedValue("Date", "2026-01-01T00:00:00.000+0000")),
        (bytearray(b"\0"), TypedValue("Bytes", "AA==")),
        (File("a", b"\0", "text/plain"), TypedValue("File", "AA==", {"filename": "a", "mimeType": "text/plain"})),
        ({"value": 1}, TypedValue("Json", '{"value":1}')),
        ({"value": 1, "type": "Integer"}, TypedValue("Json", '{"value":1,"type":"Integer"}')),
        ((1, "ü"), TypedValue("Json", '[1,"ü"]')),
        (Order(orderId="o", amount=Decimal("9.90")), TypedValue("Json", '{"orderId":"o","amount":"9.90"}')),
        (Point(1, date(2026, 1, 1)), TypedValue("Json", '{"x":1,"at":"2026-01-01"}')),
        (Colour.RED, TypedValue("String", "red")),
        (Level.HIGH, TypedValue("Integer", 3)),
        (UUID(int=1), TypedValue("String", str(UUID(int=1)))),
        (timedelta(minutes=5), TypedValue("String", "PT5M")),
        (TypedValue("Xml", "<a/>"), TypedValue("Xml", "<a/>")),
    ],
)
def test_the_type_follows_the_python_type(value: Any, typed: TypedValue) -> None:
    encoded = encode({"v": value})["v"]
    assert encoded == typed
    assert type(encoded.value) is type(typed.value)


@pytest.mark.parametrize("text", [LONG, "😀" * 2001, "a\0b"])
def test_text_that_no_string_column_holds_goes_as_an_object(text: str) -> None:
    typed = encode({"v": text})["v"]
    assert (typed.type, typed.value_info["objectTypeName"]) == ("Object", "java.lang.String")
    assert json.loads(typed.value) == text


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        Decimal("NaN"),
        {"deep": [math.nan]},
        "\ud800",
        {"deep": "\ud800"},
        object(),
        {"deep": object()},
        File("a"),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
        lambda: None,
    ],
)
def test_a_value_without_a_faithful_form_is_refused_by_name(value: Any) -> None:
    with pytest.raises(VariableError, match="'amount'"):
        encode({"amount": value})


def test_a_value_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(VariableError, match="'loop'"):
        encode({"loop": loop})


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        (TypedValue("Short", 5), 5),
        (TypedValue("Double", 1), 1.0),
        (TypedValue("string", "x"), "x"),
        (TypedValue("Date", None), None),
        (TypedValue("Date", "2026-01-01T01:00:00.000+0100"), datetime(2026, 1, 1, tzinfo=UTC)),
        (TypedValue("Json", "[1]"), [1]),
        (TypedValue("Json", "18446744073709551617"), 2**64 + 1),
        (TypedValue("Json", {"already": "parsed"}), {"already": "parsed"}),
        (TypedValue("Json", None), None),
        (TypedValue("Object", '{"a":1}', {"serializationDataFormat": "application/json"}), {"a": 1}),
        (TypedValue("Object", "rO0AB", {"serializationDataFormat": "application/x-java-serialized-object"}), "rO0AB"),
        (TypedValue("Object", "<a/>", {"serializationDataFormat": "application/xml"}), "<a/>"),
        (TypedValue("Xml", "<a/>"), "<a/>"),
        (TypedValue("Custom", [1]), [1]),
        (TypedValue("File", None, {"filename": "a"}), File("a")),
        (TypedValue("Bytes", "QUJD\r\nREVG\r\n"), b"ABCDEF"),
        (TypedValue("File", "QUJD\nREVG\n", {"filename": "a"}), File("a", b"ABCDEF")),
    ],
)
def test_decode_reads_what_an_engine_sends(typed: TypedValue, value: Any) -> None:
    decoded = decode({"v": typed})["v"]
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize(
    "typed",
    [
        TypedValue("Integer", "5"),
        TypedValue("Integer", True),
        TypedValue("Integer", 2**31),
        TypedValue("Boolean", 1),
        TypedValue("Double", "1"),
        TypedValue("String", 1),
        TypedValue("Date", "yesterday"),
        TypedValue("Date", 5),
        TypedValue("Date", "10000-13-01T00:00:00.000+0000"),
        TypedValue("Date", "10000-01-01"),
        TypedValue("Bytes", "ü"),
        TypedValue("Bytes", "AAA"),
        TypedValue("Json", "{"),
        TypedValue("Json", "NaN"),
        TypedValue("Json", "[" * 100_000),
        TypedValue("Null", 1),
        TypedValue("Object", "{", {"serializationDataFormat": "application/json"}),
    ],
)
def test_a_value_that_does_not_fit_its_type_is_refused_by_name(typed: TypedValue) -> None:
    with pytest.raises(VariableError, match="'amount'"):
        decode({"amount": typed})
    with pytest.raises(VariableError, match="'amount'"):
        parse_submitted({"amount": {"type": typed.type, "value": typed.value, "valueInfo": typed.value_info}})


@pytest.mark.parametrize(
    ("raw", "typed"),
    [
        (5, TypedValue("Integer", 5)),
        ("x", TypedValue("String", "x")),
        ({"type": "Long", "value": 5}, TypedValue("Long", 5)),
        ({"type": "long", "value": 5, "local": True}, TypedValue("Long", 5)),
        ({"type": "Null", "value": None}, TypedValue("Null")),
        ({"type": "Bytes", "value": "AA==", "valueInfo": {}}, TypedValue("Bytes", "AA==")),
        ({"value": 5}, TypedValue("Json", '{"value":5}')),
        ({"type": "Long"}, TypedValue("Json", '{"type":"Long"}')),
        ({"type": "sedan", "value": 5}, TypedValue("Json", '{"type":"sedan","value":5}')),
        ({"type": 1, "value": 5}, TypedValue("Json", '{"type":1,"value":5}')),
        (
            {"type": "String", "value": "x", "unit": "m"},
            TypedValue("Json", '{"type":"String","value":"x","unit":"m"}'),
        ),
        ({"type": "Long", "value": 5, "valueInfo": 1}, TypedValue("Json", '{"type":"Long","value":5,"valueInfo":1}')),
    ],
)
def test_a_submission_may_be_plain_or_typed(raw: Any, typed: TypedValue) -> None:
    assert parse_submitted({"v": raw}) == {"v": typed}


@given(st.dictionaries(TEXT, JSON))
def test_a_plain_submission_reads_as_it_was_written(raw: dict[str, Any]) -> None:
    assert decode(parse_submitted(raw)) == raw


def test_the_wire_form_leaves_an_empty_value_info_out() -> None:
    assert to_wire({"a": TypedValue("Long", 1)}) == {"a": {"type": "Long", "value": 1}}
    assert from_wire({"a": {"type": None, "value": None, "valueInfo": None}}) == {"a": TypedValue("Null")}


@pytest.mark.parametrize("value", [{"a": 2**64}, [10**30, None], {"a": {"b": "é"}}, 2**70, True])
def test_json_that_comes_as_what_it_stands_for_goes_to_the_engine_as_text(value: Any) -> None:
    (found,) = parse_submitted({"v": {"type": "Json", "value": value}}).values()
    assert json.loads(found.value) == value
    assert orjson.dumps(to_wire({"v": found}))


@pytest.mark.parametrize(
    "typed",
    [
        {"type": "Json", "value": {"\ud800": None}},
        {"type": "Json", "value": "x", "valueInfo": {"a": 2**64}},
        {"type": "Object", "value": [2**64]},
        {"type": "Object", "value": {}, "valueInfo": {"serializationDataFormat": "application/x-java"}},
    ],
)
def test_what_no_request_to_the_engine_can_hold_is_refused(typed: dict[str, Any]) -> None:
    with pytest.raises(VariableError, match="'v'"):
        parse_submitted({"v": typed})
