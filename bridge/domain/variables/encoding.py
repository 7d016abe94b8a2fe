"""From Python values to the engine's typed variables.

| Python | Camunda type |
|---|---|
| None, bool | Null, Boolean |
| int | Integer or Long by size; beyond 64 bits Json, which alone keeps every digit |
| float | Double; NaN and infinity are refused |
| Decimal | String, so that no digit of an amount is lost |
| str | String; what the engine's column can't hold goes as Object of `java.lang.String` |
| datetime | Date, to the millisecond; a naive one is taken as UTC |
| date | Date: that day's midnight in the engine's zone |
| bytes, `File` | Bytes, File |
| dict, list, tuple, set, pydantic model, dataclass | Json (models by alias, bytes inside as URL-safe base64) |
| Enum | as its value |
| UUID, time, timedelta, Path, URL | String, as pydantic writes it in JSON |
| `TypedValue` | as it is |

Long text is an Object rather than Json because an expression then sees a real string: `${text.length()}` works, where
a Json variable would need `${text.stringValue().length()}` (tried on Camunda 7.24).
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, Final

import orjson
from pydantic_core import PydanticSerializationError, to_jsonable_python

from bridge.domain.messages import message, message_of
from bridge.domain.task import TypedValue, Variables
from bridge.domain.topic import File
from bridge.domain.variables.dates import format_date, midnight
from bridge.domain.variables.decoding import JSON_FORMAT, fits, refuse

STRING_LIMIT: Final = 4000
"""How many characters, as Java counts them, the column for a String holds in most databases; Oracle's holds 2000."""


@dataclass(frozen=True, slots=True)
class EngineFormat:
    """How values are written for an engine: the zone of its days, and how long a String may be."""

    zone: tzinfo = UTC
    string_limit: int = STRING_LIMIT


def encode(values: Mapping[str, Any], into: EngineFormat = EngineFormat()) -> Variables:
    """Return the values as typed variables by name, by the table above.

    Raises `VariableError`, which names the variable, for a value that has no faithful form: NaN, infinity, text that
    isn't valid Unicode, a `File` without content, or an object that is none of the above.
    """
    return {name: encode_one(name, value, into) for name, value in values.items()}


def encode_one(name: str, value: Any, into: EngineFormat) -> TypedValue:
    """Return one value as a typed variable, as `encode` does."""
    value = without_enum(value)
    encoder = next((encoder for kinds, encoder in _ENCODERS if isinstance(value, kinds)), _encode_data)
    return encoder(name, value, into)


def long_text_as_object(variables: Variables, limit: int) -> Variables:
    """Return the variables with each String that is longer than the limit as an Object."""
    too_long = [
        name
        for name, variable in variables.items()
        if variable.type == "String" and isinstance(variable.value, str) and java_length(variable.value) > limit
    ]
    return {**variables, **{name: _as_object(variables[name]) for name in too_long}} if too_long else variables


def java_length(text: str) -> int:
    """Return how many characters Java counts: those of UTF-16. Raises `UnicodeEncodeError` for what isn't text."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def to_json(name: str, value: Any) -> str:
    """Return a value as JSON text. Raises `VariableError` for one that can't be.

    `json` and not orjson, which would write NaN as null and refuse integers beyond 64 bits.
    """
    try:
        return _dumped(_jsonable(value))
    except _NO_JSON as error:
        refuse(name, message("variable.not_serializable", kind=type(value).__name__, error=message_of(error)), error)


def encode_text(name: str, value: str, into: EngineFormat) -> TypedValue:
    """Return text as a String, or as an Object where a String can't hold it."""
    value = str(value)
    try:
        length = java_length(value)
    except UnicodeEncodeError as error:
        refuse(name, message("variable.not_unicode", error=message_of(error)), error)
    # PostgreSQL's text columns refuse NUL; serialized as JSON it is an escape.
    return TypedValue("String", value) if length <= into.string_limit and "\0" not in value else _text_object(value)


def without_enum(value: Any) -> Any:
    """Return what an Enum stands for; any other value as it is."""
    while isinstance(value, Enum):
        value = value.value
    return value


def _text_object(value: str) -> TypedValue:
    info = {"objectTypeName": "java.lang.String", "serializationDataFormat": JSON_FORMAT}
    return TypedValue("Object", orjson.dumps(value).decode(), info)


def _as_object(variable: TypedValue) -> TypedValue:
    typed = _text_object(variable.value)
    return replace(typed, local=variable.local, value_info={**variable.value_info, **typed.value_info})


def _encode_typed(_name: str, value: TypedValue, _into: EngineFormat) -> TypedValue:
    return value


def _encode_null(_name: str, _value: None, _into: EngineFormat) -> TypedValue:
    return TypedValue("Null")


def _encode_bool(_name: str, value: bool, _into: EngineFormat) -> TypedValue:
    return TypedValue("Boolean", value)


def _encode_int(name: str, value: int, into: EngineFormat) -> TypedValue:
    for kind in ("Integer", "Long"):
        if fits(value, kind):
            return TypedValue(kind, int(value))
    return _encode_data(name, value, into)


def _encode_float(name: str, value: float, _into: EngineFormat) -> TypedValue:
    if not math.isfinite(value):
        refuse(name, message("variable.not_finite", value=value))
    return TypedValue("Double", float(value))


def _encode_decimal(name: str, value: Decimal, into: EngineFormat) -> TypedValue:
    if not value.is_finite():
        refuse(name, message("variable.not_finite", value=value))
    return encode_text(name, str(value), into)


def _encode_moment(name: str, value: date, into: EngineFormat) -> TypedValue:
    moment = value if isinstance(value, datetime) else midnight(value, into.zone)
    try:
        return TypedValue("Date", format_date(moment))
    except OverflowError as error:
        refuse(name, message("variable.before_year_1", value=value), error)


def _encode_bytes(_name: str, value: bytes | bytearray | memoryview, _into: EngineFormat) -> TypedValue:
    return TypedValue("Bytes", base64.b64encode(value).decode("ascii"))


def _encode_file(name: str, value: File, _into: EngineFormat) -> TypedValue:
    if value.content is None:
        refuse(name, f"the file {value.name!r} has no content: read it with Context.read_file first")
    info = {"filename": value.name, "mimeType": value.mime_type}
    if value.encoding is not None:
        info["encoding"] = value.encoding
    return TypedValue("File", base64.b64encode(value.content).decode("ascii"), info)


def _encode_data(name: str, value: Any, into: EngineFormat) -> TypedValue:
    """Encode whatever pydantic can write as JSON."""
    try:
        plain = _jsonable(value)
        if not isinstance(plain, str):
            return TypedValue("Json", _dumped(plain))
    except _NO_JSON as error:
        refuse(name, message("variable.not_serializable", kind=type(value).__name__, error=message_of(error)), error)
    return encode_text(name, plain, into)


def _jsonable(value: Any) -> Any:
    return to_jsonable_python(value, by_alias=True, bytes_mode="base64", inf_nan_mode="constants")


def _dumped(plain: Any) -> str:
    text = json.dumps(plain, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    text.encode()  # raises where it isn't valid Unicode
    return text


_NO_JSON: Final = (PydanticSerializationError, TypeError, ValueError, RecursionError)

# In this order, because a bool is an int.
_ENCODERS: Final[Sequence[tuple[type | tuple[type, ...], Callable[[str, Any, EngineFormat], TypedValue]]]] = (
    (TypedValue, _encode_typed),
    (NoneType, _encode_null),
    (bool, _encode_bool),
    (int, _encode_int),
    (float, _encode_float),
    (Decimal, _encode_decimal),
    (str, encode_text),
    (date, _encode_moment),
    ((bytes, bytearray, memoryview), _encode_bytes),
    (File, _encode_file),
)
