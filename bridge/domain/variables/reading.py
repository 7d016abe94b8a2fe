"""A topic's input: its model, made of the variables that it names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, FutureDate, PastDate

from bridge.domain.errors import VariableError
from bridge.domain.inputs import field_names, input_names
from bridge.domain.task import TypedValue, Variables
from bridge.domain.variables.dates import day_in
from bridge.domain.variables.decoding import decode_one

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class _Reads:
    """What a model reads: `named` by its fields, of them `days` where a Date is a day; besides, `others` if any."""

    named: frozenset[str]
    days: frozenset[str]
    others: bool


def read_input(model: type[Model], variables: Variables, zone: tzinfo = UTC) -> Model:
    """Return the model made of the variables that it reads; `zone` is the engine's.

    A Date is a moment in UTC, and for a field of the type `date` its day in the zone. What the model doesn't name
    isn't decoded, unless the model takes what it doesn't name; then a value that can't be decoded is as the engine
    sent it. Raises `VariableError` for one that the model names, and what the model's validators raise.
    """
    reads = _reads_of(model)
    values: dict[str, Any] = {}
    for name, variable in variables.items():
        if name in reads.named:
            value = decode_one(name, variable, zone)
            values[name] = day_in(zone, value) if name in reads.days and isinstance(value, datetime) else value
        elif reads.others:
            values[name] = _decoded_or_raw(name, variable, zone)
    return model.model_validate(values)


@lru_cache(maxsize=1024)
def _reads_of(model: type[BaseModel]) -> _Reads:
    named = {name: _is_day(info.annotation) for name, info in _fields(model)}
    return _Reads(frozenset(named), frozenset(name for name, day in named.items() if day), input_names(model) is None)


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    for field, info in model.model_fields.items():
        for name in field_names(field, info):
            yield name, info


def _is_day(annotation: Any) -> bool:
    """Return whether a field takes a day and no moment."""
    kinds = set(_kinds(annotation))
    return bool(kinds & {date, PastDate, FutureDate}) and datetime not in kinds


def _kinds(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif origin in {Union, UnionType}:
        for part in get_args(annotation):
            yield from _kinds(part)
    else:
        yield annotation


def _decoded_or_raw(name: str, variable: TypedValue, zone: tzinfo) -> Any:
    try:
        return decode_one(name, variable, zone)
    except VariableError:
        return variable.value
