"""What a handler returns, as variables: by the names of its model, in the types that the process already has."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel

from bridge.domain.errors import VariableError
from bridge.domain.messages import message
from bridge.domain.results import Local, LocalResult, ResultOption, Variable, merged
from bridge.domain.task import TypedValue, Variables
from bridge.domain.topic import File
from bridge.domain.variables.decoding import canonical, fits, is_json, refuse
from bridge.domain.variables.encoding import EngineFormat, encode_one, encode_text, java_length, to_json, without_enum

NAME_LIMIT: Final = 255
"""How many characters, as Java counts them, the engine's column for a variable's name holds."""


def encode_result(result: Any, inputs: Variables | None = None, into: EngineFormat = EngineFormat()) -> Variables:
    """Return a handler's result as typed variables: a model's fields by their aliases, or what a mapping holds.

    A variable that was an input keeps the type it had, where the value fits that; a type that the model asks for
    comes first. Raises `VariableError` for a result that is neither model, mapping nor None, for a name that the
    engine can't store, and for a value that has no faithful form or doesn't fit the type that was option for.
    """
    before = inputs or {}
    return {name: _encode(name, value, option, before.get(name), into) for name, value, option in _items(result)}


def _items(result: Any) -> Iterator[tuple[str, Any, ResultOption]]:
    match result:
        case None:
            return
        case BaseModel():
            yield from _fields(result)
        case Mapping():
            for name, value in result.items():
                yield str(name), value, ResultOption()
        case _:
            raise VariableError(message("variable.result", kind=type(result).__name__))


def _fields(model: BaseModel) -> Iterator[tuple[str, Any, ResultOption]]:
    """Go through a model as pydantic's own serialization would, by alias; the values stay Python's."""
    every = Local if isinstance(model, LocalResult) else ResultOption()
    for field, name, option in _written(type(model)):
        yield name, getattr(model, field), merged((every, option))
    for name, value in (model.model_extra or {}).items():
        yield name, value, every


@lru_cache(maxsize=1024)
def _written(model: type[BaseModel]) -> tuple[tuple[str, str, ResultOption], ...]:
    """Return each field that the model writes: its own name, the variable's, and what its markers ask for."""
    fields = [
        (field, info.serialization_alias or info.alias or field, merged(_markers(info.annotation, info.metadata)))
        for field, info in model.model_fields.items()
        if not info.exclude
    ]
    computed = [
        (field, info.alias or field, merged(_markers(info.return_type, ())))
        for field, info in model.model_computed_fields.items()
    ]
    return (*fields, *computed)


def _markers(annotation: Any, metadata: Any) -> Iterator[ResultOption]:
    """Return the markers of a field, also those within a union: `Annotated[int, Local] | None`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *markers = get_args(annotation)
        yield from _markers(inner, markers)
    elif origin in {Union, UnionType}:
        for part in get_args(annotation):
            yield from _markers(part, ())
    yield from (marker for marker in metadata if isinstance(marker, ResultOption))


def _encode(name: str, value: Any, option: ResultOption, before: TypedValue | None, into: EngineFormat) -> TypedValue:
    _check_name(name)
    if isinstance(value, Variable):
        option, value = merged((option, value.option)), value.value
    value = without_enum(value)
    if isinstance(value, TypedValue):
        typed = value
    elif option.type is not None and value is not None:
        typed = _encode_as(option.type, name, value, into)
    else:
        typed = _encode_like(before, name, value, into) or encode_one(name, value, into)
    if not option.local and not option.transient:
        return typed
    info = {**typed.value_info, "transient": True} if option.transient else typed.value_info
    return replace(typed, local=typed.local or option.local, value_info=info)


def _check_name(name: str) -> None:
    try:
        length = java_length(name)
    except UnicodeEncodeError as error:
        refuse(name, f"its name is not valid Unicode: {error.reason}", error)
    if length > NAME_LIMIT or "\0" in name:
        refuse(name[:50], message("variable.name", count=NAME_LIMIT))


def _encode_as(kind: str, name: str, value: Any, into: EngineFormat) -> TypedValue:
    """Return the value under the type that was option for."""
    if kind == "String" and isinstance(value, bool | int | float):
        return encode_text(name, to_json(name, value), into)
    if kind == "Double" and isinstance(value, Decimal) and value.is_finite():
        value = float(value)  # a caller that asks for a Double has its digits
    typed = _in_kind(kind, name, value, into)
    if typed is None:
        refuse(name, message("variable.not_as_asked", value=_shown(value), type=kind))
    return typed


def _shown(value: Any) -> str:
    """Name a value without telling it: only a number says more than its type."""
    return str(value) if isinstance(value, int | float) else f"a {type(value).__name__}"


def _encode_like(before: TypedValue | None, name: str, value: Any, into: EngineFormat) -> TypedValue | None:
    """Return the value under the type that the variable had as an input; None where it doesn't fit that."""
    if before is None or value is None:
        return None
    kind = canonical(before.type)
    if kind != "Object":
        return _in_kind(kind, name, value, into)
    natural = encode_one(name, value, into)
    # The class that the process reads it as stays the same.
    return (
        TypedValue("Object", natural.value, before.value_info) if natural.type == "Json" and is_json(before) else None
    )


def _in_kind(kind: str, name: str, value: Any, into: EngineFormat) -> TypedValue | None:
    """Return the value under the type, None where that would change it."""
    match kind:
        case "Short" | "Integer" | "Long":
            whole = _whole(value)
            return TypedValue(kind, whole) if whole is not None and fits(whole, kind) else None
        case "Double":
            number = _double(value)
            return None if number is None else TypedValue(kind, number)
        case "Json":
            return None if isinstance(value, _BINARY) else TypedValue(kind, to_json(name, value))
        case "Xml":
            return TypedValue(kind, value) if isinstance(value, str) else None
        case "String":
            value = value.isoformat() if isinstance(value, date) else value
            natural = encode_one(name, value, into)
            is_long_text = natural.type == "Object"
            return natural if natural.type == kind or is_long_text else None
        case _:
            natural = encode_one(name, value, into)
            return natural if natural.type == kind else None


def _whole(value: Any) -> int | None:
    """Return a number as a whole one, None where it isn't."""
    return int(value) if _is_number(value) and value == int(value) else None


def _double(value: Any) -> float | None:
    """Return a number as a double, None where that has other digits."""
    if not _is_number(value):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and Decimal(repr(number)) == Decimal(str(value)) else None


def _is_number(value: Any) -> bool:
    match value:
        case bool():
            return False
        case int():
            return True
        case float():
            return math.isfinite(value)
        case Decimal():
            return value.is_finite()
        case _:
            return False


_BINARY: Final = (bytes, bytearray, memoryview, File)
