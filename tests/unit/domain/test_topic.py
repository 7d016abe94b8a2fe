"""The decorator: what it reads from a function, and what it refuses before anything starts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from datetime import timedelta
from typing import Any

import pytest
from pydantic import AliasChoices, AliasGenerator, AliasPath, BaseModel, ConfigDict, Field, RootModel
from pydantic.alias_generators import to_camel

from bridge.domain.errors import SetupError, TopicError, VariableError
from bridge.testing import LogEntry, MemoryFiles, MemoryRecords, RecordingLog, make_context
from bridge.topic import BpmnError, Context, Fail, Retry, topic


class Order(BaseModel):
    amount: int


class Receipt(BaseModel):
    paid: int


async def charge(order: Order, context: Context) -> Receipt:
    return Receipt(paid=order.amount * context.attempt)


def price(order: Order) -> Receipt:
    return Receipt(paid=order.amount)


def test_an_async_function_with_a_context() -> None:
    declared = topic("charge_card")(charge)
    assert (declared.name, declared.handler, declared.input) == ("charge_card", charge, Order)
    assert (declared.is_async, declared.takes_context) == (True, True)


def test_a_plain_function_without_one() -> None:
    declared = topic("price")(price)
    assert (declared.is_async, declared.takes_context) == (False, False)


async def test_it_is_called_like_the_function() -> None:
    assert topic("price")(price)(Order(amount=7)) == Receipt(paid=7)
    assert await topic("charge")(charge)(Order(amount=7), make_context(attempt=2)) == Receipt(paid=14)


def test_what_is_not_said_is_left_to_the_settings() -> None:
    declared = topic("price")(price)
    assert (declared.timeout, declared.lock, declared.retries) == (None, None, None)
    assert (declared.process_definition_keys, declared.tenant_ids, declared.without_tenant_id) == (None, None, False)
    assert (declared.business_key, declared.process_variables, declared.process_definition_ids) == (None, None, None)
    assert (declared.local_variables, declared.include_extension_properties) == (False, False)
    assert (declared.concurrency, declared.weight, declared.secrets) == (16, 1, frozenset())


def test_everything_can_be_said() -> None:
    declared = topic(
        "price",
        timeout=1.5,
        concurrency=2,
        retries=0,
        lock=90,
        weight=3,
        variables=["amount"],
        process_definition_keys=["sale"],
        tenant_ids=["acme"],
        secrets=["card"],
        local_variables=True,
        include_extension_properties=True,
        business_key="A-17",
        process_variables={"country": "BR", "express": True},
        process_definition_version_tag="stable",
    )(price)
    assert (declared.timeout, declared.lock) == (timedelta(seconds=1.5), timedelta(seconds=90))
    assert (declared.concurrency, declared.retries, declared.weight) == (2, 0, 3)
    assert (declared.variables, declared.process_definition_keys, declared.tenant_ids) == (
        ("amount",),
        ("sale",),
        ("acme",),
    )
    assert declared.secrets == {"card"}
    assert (declared.local_variables, declared.include_extension_properties) == (True, True)
    assert (declared.business_key, declared.process_definition_version_tag) == ("A-17", "stable")
    assert declared.process_variables == {"country": "BR", "express": True}
    assert declared.filters == {
        "business_key": "A-17",
        "process_variables": {"country": "BR", "express": True},
        "process_definition_keys": ("sale",),
        "process_definition_version_tag": "stable",
        "tenant_ids": ("acme",),
    }
    assert topic("price")(price).filters == {}
    assert topic("price", process_definition_ids=["sale:1:7"])(price).process_definition_ids == ("sale:1:7",)


class Parcel(BaseModel):
    """A model that reads its fields under several names."""

    model_config = ConfigDict(alias_generator=AliasGenerator(validation_alias=to_camel))

    order_id: str
    weight: float = Field(alias="kilos")
    city: str = Field(validation_alias=AliasChoices("town", AliasPath("address", "city"), AliasPath("places", 0)))
    street: str = Field(validation_alias=AliasPath("address", "street"))


class Anything(BaseModel, extra="allow"):
    order_id: str = ""


class Nothing(BaseModel):
    """A model without fields."""


class Bare(RootModel[dict[str, Any]]):
    """A model that takes what there is."""


def handler_of(model: type[BaseModel]) -> Callable[..., Any]:
    async def handler(given: BaseModel) -> None:
        """Do nothing."""

    handler.__annotations__ = {"given": model}
    return handler


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        (Order, ("amount",)),
        (Parcel, ("order_id", "orderId", "weight", "kilos", "city", "town", "address", "places", "street")),
        (Nothing, ()),
        (Anything, None),
        (Bare, None),
    ],
)
def test_the_variables_that_the_model_names_are_fetched(model: type[BaseModel], wanted: tuple[str, ...] | None) -> None:
    assert topic("parcel")(handler_of(model)).variables == wanted
    assert topic("parcel", variables=["x"])(handler_of(model)).variables == ("x",)
    assert topic("parcel", variables="*")(handler_of(model)).variables is None


def test_variables_are_a_list_of_names() -> None:
    with pytest.raises(TopicError, match=r"topic 'price': variables is a list of names, or '\*' for all, not 'amount'"):
        topic("price", variables="amount")
    with pytest.raises(TopicError, match="topic 'price': tenant_ids is a list of names, not 'acme'"):
        topic("price", tenant_ids="acme")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"business_key": ""}, "business_key is empty"),
        ({"process_variables": {}}, "process_variables is empty"),
        ({"process_variables": {"order": [1]}}, r"process_variables compares with text, .* not with \[1\] \(order\)"),
        ({"process_variables": {"sum": float("nan")}}, r"not with nan \(sum\)"),
        ({"process_definition_version_tag": ""}, "process_definition_version_tag is empty"),
        ({"tenant_ids": ["acme"], "without_tenant_id": True}, "tenant_ids and without_tenant_id; choose one"),
        (
            {"process_definition_ids": ["p:1:1"], "process_definition_keys": ["p"]},
            "process_definition_ids tell all of process_definition_keys; choose one",
        ),
        (
            {"process_definition_ids": ["p:1:1"], "process_definition_version_tag": "stable"},
            "process_definition_ids tell all of process_definition_version_tag; choose one",
        ),
    ],
)
def test_filters_that_let_nothing_through_are_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(TopicError, match=f"topic 'price': .*{why}"):
        topic("price", **options)


def test_a_topic_does_not_change() -> None:
    declared = topic("price")(price)
    with pytest.raises(FrozenInstanceError):
        declared.name = "other"  # type: ignore[misc]  # it is the point


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "2fa",
        "charge-card",
        "order.ship:v2",
        "Charge_Card",
        "_a",
        ".a",
        "a b",
        "a/b",
        "ação",
        "*",
        "#",
        " ",
        "x" * 255,
    ],
)
def test_a_name(name: str) -> None:
    assert topic(name)(price).name == name


@pytest.mark.parametrize("name", ["", "x" * 256, "😀" * 128, "a\0", "\ud800", None, 404])
def test_a_name_that_no_model_can_have(name: Any) -> None:
    with pytest.raises(TopicError, match="topic name"):
        topic(name)


@pytest.mark.parametrize("label", ["timeout", "concurrency", "lock", "weight"])
@pytest.mark.parametrize("bound", [0, -1])
def test_a_bound_is_above_zero(label: str, bound: int) -> None:
    options: dict[str, Any] = {label: bound}
    with pytest.raises(TopicError, match=f"topic 'price': {label} must be above 0, not {bound}"):
        topic("price", **options)


def test_retries_are_not_negative() -> None:
    with pytest.raises(TopicError, match="retries must be 0 or more, not -1"):
        topic("price", retries=-1)


@pytest.mark.parametrize("label", ["process_definition_keys", "process_definition_ids", "tenant_ids"])
def test_a_filter_that_lets_nothing_through_is_refused(label: str) -> None:
    given: dict[str, Any] = {label: ()}
    with pytest.raises(TopicError, match=f"{label} is empty; name some, or leave it out to take all"):
        topic("price", **given)


def no_parameters() -> None: ...
def three(order: Order, context: Context, more: int) -> None: ...
def untyped(order) -> None: ...  # type: ignore[no-untyped-def]
def dictionary(order: dict[str, Any]) -> None: ...
def no_context(order: Order, context: Order) -> None: ...
def unreadable(order: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("handler", "why"),
    [
        (no_parameters, "takes 0 parameters"),
        (three, "takes 3 parameters"),
        (untyped, "first parameter needs a pydantic model"),
        (dictionary, "first parameter needs a pydantic model"),
        (no_context, "second parameter must be a Context"),
        (unreadable, "annotations can't be read: name 'Nowhere' is not defined"),
        (functools.partial(price), "decorate a function"),
        (Order, "decorate a function"),
    ],
)
def test_a_signature_that_can_not_be_called(handler: Callable[..., Any], why: str) -> None:
    with pytest.raises(TopicError, match=why) as caught:
        topic("bad")(handler)
    assert "topic 'bad'" in str(caught.value)
    assert isinstance(caught.value, SetupError)


@pytest.mark.parametrize(
    ("after", "delay"),
    [
        (None, None),
        (0, timedelta(0)),
        (30, timedelta(seconds=30)),
        (0.5, timedelta(milliseconds=500)),
        (timedelta(minutes=2), timedelta(minutes=2)),
    ],
)
def test_a_retry_after(after: float | timedelta | None, delay: timedelta | None) -> None:
    assert Retry("busy", after=after).after == delay


def test_the_errors_say_what_they_are() -> None:
    assert (str(Retry()), Retry().after) == ("retry asked for by the handler", None)
    assert str(Fail("no such account")) == "no such account"
    assert (str(BpmnError("NO_STOCK")), BpmnError("NO_STOCK").message) == ("NO_STOCK", "")
    variables = {"left": 0}
    error = BpmnError("NO_STOCK", "sold out", variables)
    variables["left"] = 1
    assert (str(error), error.code, error.message, error.variables) == ("sold out", "NO_STOCK", "sold out", {"left": 0})


async def test_a_context_for_tests_keeps_records_files_and_log() -> None:
    records, log = MemoryRecords(), RecordingLog()
    context = make_context(
        put_once=records.put_once, read_file=MemoryFiles({"scan": b"%PDF"}).read_file, log=log, task_id="t7"
    )
    assert (context.task_id, context.idempotency_key) == ("t7", "t7")
    assert await context.put_once("sale", "1", {"amount": 1}) == ("1", True)
    assert await context.put_once("sale", "1", {"amount": 2}) == ("1", False)
    assert await context.put_once("refund", "1", {}) == ("1", True)
    assert records.kept == {("sale", "1"): {"amount": 1}, ("refund", "1"): {}}
    assert await context.read_file("scan") == b"%PDF"
    with pytest.raises(VariableError, match="'photo'"):
        await context.read_file("photo")
    for level in ("debug", "info", "warning", "error"):
        getattr(context.log, level)("sold", amount=1)
    assert log.entries == [LogEntry(level, "sold", {"amount": 1}) for level in ("debug", "info", "warning", "error")]


async def test_contexts_for_tests_share_nothing() -> None:
    assert await make_context().put_once("sale", "1", {}) == await make_context().put_once("sale", "1", {})
    with pytest.raises(TypeError, match="colour"):
        make_context(colour="red")
