"""What a topic's model doesn't name can't fail its task."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field

from bridge.domain.errors import VariableError
from bridge.domain.task import TypedValue
from bridge.domain.variables import read_input

BROKEN = TypedValue("Json", "{broken")


class Order(BaseModel):
    number: int = 0


class Aliased(BaseModel):
    number: int = Field(default=0, alias="orderNumber")
    city: str = Field(default="", validation_alias=AliasChoices("town", AliasPath("address", "city")))


class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")
    number: int = 0


@pytest.mark.parametrize("model", [Order, Aliased])
def test_what_is_not_named_is_not_decoded(model: type[BaseModel]) -> None:
    assert read_input(model, {"other": BROKEN, "date": TypedValue("Date", "x")}) == model()


@pytest.mark.parametrize(
    ("model", "name"), [(Order, "number"), (Aliased, "orderNumber"), (Aliased, "town"), (Aliased, "address")]
)
def test_what_is_named_must_be_decoded(model: type[BaseModel], name: str) -> None:
    with pytest.raises(VariableError, match=f"'{name}'"):
        read_input(model, {name: BROKEN})


def test_aliases_are_read() -> None:
    address = TypedValue("Json", '{"city": "Curitiba"}')
    read = read_input(Aliased, {"orderNumber": TypedValue("Long", 7), "address": address, "other": BROKEN})
    assert (read.number, read.city) == (7, "Curitiba")


def test_a_model_that_takes_all_gets_what_can_not_be_decoded_as_it_was_sent() -> None:
    read: Any = read_input(
        Anything, {"number": TypedValue("Short", 7), "other": BROKEN, "more": TypedValue("Json", "[1]")}
    )
    assert (read.number, read.other, read.more) == (7, "{broken", [1])
    with pytest.raises(VariableError, match="'number'"):
        read_input(Anything, {"number": BROKEN})
