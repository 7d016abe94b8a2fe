"""Results: by the names and types that the model says, and in the types that the process already has."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, computed_field

from bridge.domain.errors import TopicError, VariableError
from bridge.domain.task import TypedValue
from bridge.domain.variables import encode_result
from bridge.topic import CamundaType, File, Local, LocalResult, Transient, Variable


class Share(BaseModel):
    total: Annotated[int, CamundaType("Long")]
    position: Annotated[int, Local] = 1
    maybe: Annotated[str, Local] | None = None
    scan: Annotated[bytes, Transient, Local] = b""


class Aliased(BaseModel):
    model_config = ConfigDict(extra="allow", populate_by_name=True)
    order_id: str = Field(alias="orderId")
    amount: int = Field(default=1, validation_alias="in", serialization_alias="out")
    secret: str = Field(default="", exclude=True)

    @computed_field(alias="twiceAmount")  # type: ignore[prop-decorator]  # as pydantic's manual has it
    @property
    def twice(self) -> int:
        return 2 * self.amount


class Part(LocalResult):
    total: int


def test_a_field_says_scope_type_and_whether_it_is_kept() -> None:
    assert encode_result(Share(total=7, maybe="x")) == {
        "total": TypedValue("Long", 7),
        "position": TypedValue("Integer", 1, local=True),
        "maybe": TypedValue("String", "x", local=True),
        "scan": TypedValue("Bytes", "", {"transient": True}, local=True),
    }
    assert encode_result(Part(total=7)) == {"total": TypedValue("Integer", 7, local=True)}


def test_a_value_in_a_dict_says_it_as_well() -> None:
    result = {"a": Variable(7, type="Short", local=True), "b": Variable("x", transient=True), "c": 1}
    assert encode_result(result) == {
        "a": TypedValue("Short", 7, local=True),
        "b": TypedValue("String", "x", {"transient": True}),
        "c": TypedValue("Integer", 1),
    }


def test_the_result_goes_out_by_its_aliases() -> None:
    result = Aliased(order_id="A-1", secret="s", more=5)
    assert {name: typed.value for name, typed in encode_result(result).items()} == {
        "orderId": "A-1", "out": 1, "twiceAmount": 2, "more": 5,
    }  # fmt: skip


JAVA = {"objectTypeName": "com.acme.Order", "serializationDataFormat": "application/json"}


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        (TypedValue("Long", 1), 5, TypedValue("Long", 5)),
        (TypedValue("long", 1), 5, TypedValue("Long", 5)),
        (TypedValue("Short", 1), 5, TypedValue("Short", 5)),
        (TypedValue("Short", 1), 40_000, TypedValue("Integer", 40_000)),
        (TypedValue("Integer", 1), 2**40, TypedValue("Long", 2**40)),
        (TypedValue("Long", 1), 5.0, TypedValue("Long", 5)),
        (TypedValue("Long", 1), 5.5, TypedValue("Double", 5.5)),
        (TypedValue("Long", 1), True, TypedValue("Boolean", True)),
        (TypedValue("Long", 1), "5", TypedValue("String", "5")),
        (TypedValue("Long", 1), None, TypedValue("Null")),
        (TypedValue("Double", 1.5), 2, TypedValue("Double", 2.0)),
        (TypedValue("Double", 1.5), 2**60 + 1, TypedValue("Long", 2**60 + 1)),
        (TypedValue("Double", 1.5), Decimal("1.1"), TypedValue("Double", 1.1)),
        (TypedValue("Double", 1.5), Decimal("1.10000000000000000001"), TypedValue("String", "1.10000000000000000001")),
        (TypedValue("String", "x"), date(2026, 1, 9), TypedValue("String", "2026-01-09")),
        (TypedValue("String", "x"), datetime(2026, 1, 9), TypedValue("String", "2026-01-09T00:00:00")),  # noqa: DTZ001
        (TypedValue("String", "x"), 5, TypedValue("Integer", 5)),
        (TypedValue("Date", "x"), date(2026, 1, 9), TypedValue("Date", "2026-01-09T00:00:00.000+0000")),
        (TypedValue("Date", "x"), "soon", TypedValue("String", "soon")),
        (TypedValue("Json", "{}"), "text", TypedValue("Json", '"text"')),
        (TypedValue("Json", "{}"), [1], TypedValue("Json", "[1]")),
        (TypedValue("Json", "{}"), b"x", TypedValue("Bytes", "eA==")),
        (TypedValue("Xml", "<a/>"), "<b/>", TypedValue("Xml", "<b/>")),
        (TypedValue("Object", "{}", JAVA), {"a": 1}, TypedValue("Object", '{"a":1}', JAVA)),
        (TypedValue("Object", "{}", JAVA), "x", TypedValue("String", "x")),
        (TypedValue("Object", "ac", {"serializationDataFormat": "x"}), {"a": 1}, TypedValue("Json", '{"a":1}')),
        (TypedValue("Null"), 5, TypedValue("Integer", 5)),
        (TypedValue("File", None), 5, TypedValue("Integer", 5)),
    ],
)
def test_a_variable_keeps_the_type_it_had_where_the_value_fits(
    before: TypedValue, value: Any, after: TypedValue
) -> None:
    encoded = encode_result({"v": value}, {"v": before})["v"]
    assert encoded == after
    assert type(encoded.value) is type(after.value)


@pytest.mark.parametrize(
    ("kind", "value", "typed"),
    [
        ("Long", 5, TypedValue("Long", 5)),
        ("Double", 5, TypedValue("Double", 5.0)),
        ("Double", Decimal(1) / Decimal(3), TypedValue("Double", 1 / 3)),
        ("String", 5, TypedValue("String", "5")),
        ("String", True, TypedValue("String", "true")),
        ("Json", 5, TypedValue("Json", "5")),
        ("Date", date(2026, 1, 9), TypedValue("Date", "2026-01-09T00:00:00.000+0000")),
        ("Xml", "<a/>", TypedValue("Xml", "<a/>")),
        ("File", File("a", b""), TypedValue("File", "", {"filename": "a", "mimeType": "application/octet-stream"})),
        ("Long", None, TypedValue("Null")),
    ],
)
def test_a_type_can_be_asked_for(kind: str, value: Any, typed: TypedValue) -> None:
    assert encode_result({"v": Variable(value, type=kind)}, {"v": TypedValue("Short", 1)}) == {"v": typed}


@pytest.mark.parametrize(
    ("kind", "value"),
    [("Short", 2**15), ("Long", 2**63), ("Long", 1.5), ("Long", "5"), ("Long", True), ("Double", "1"),
     ("Date", "today"), ("Boolean", 1), ("Bytes", "x"), ("Xml", 5), ("Json", b"x"), ("Double", 10**400)],
)  # fmt: skip
def test_a_value_that_does_not_fit_the_type_that_was_asked_for_is_refused(kind: str, value: Any) -> None:
    with pytest.raises(VariableError, match=f"variable 'v': .*{kind}"):
        encode_result({"v": Variable(value, type=kind)})


@pytest.mark.parametrize("kind", ["long", "Object", "Null", "Money"])
def test_a_type_that_a_result_can_not_have_is_refused_where_it_is_written(kind: str) -> None:
    with pytest.raises(TopicError, match=kind):
        CamundaType(kind)
    with pytest.raises(TopicError, match=kind):
        Variable(1, type=kind)


@pytest.mark.parametrize("name", ["x" * 256, "a\0", "\ud800"])
def test_a_name_that_the_engine_can_not_store_is_refused(name: str) -> None:
    with pytest.raises(VariableError, match="name"):
        encode_result({name: 1})


def test_a_result_that_is_none_is_refused() -> None:
    with pytest.raises(VariableError, match="not int"):
        encode_result(7)
