"""From the engine's typed variables to Python values."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final, NoReturn

from bridge.domain.errors import VariableError
from bridge.domain.messages import message, message_of
from bridge.domain.task import TypedValue, Variables
from bridge.domain.topic import File
from bridge.domain.variables.dates import parse_date

INTEGERS: Final = {"Short": 16, "Integer": 32, "Long": 64}
"""The bits of each whole number."""
JSON_FORMAT: Final = "application/json"


def decode(variables: Variables, zone: tzinfo = UTC) -> dict[str, Any]:
    """Return the variables as Python values by name; `zone` is the engine's.

    A Json, or an Object serialized as JSON, is parsed. An Object in another format, Xml, and a type unknown here stay
    the text that the engine sent: a topic that declares such a variable as `str` can read it.
    A Date is a moment in UTC; `dates.parse_date` says what becomes of one that UTC's years don't hold.
    Raises `VariableError`, which names the variable, where a value doesn't fit its type.
    """
    return {name: decode_one(name, variable, zone) for name, variable in variables.items()}


def decode_one(name: str, variable: TypedValue, zone: tzinfo = UTC) -> Any:
    """Return one variable's Python value, as `decode` does."""
    kind = canonical(variable.type)
    decoder = _DECODERS.get(kind)
    if decoder is None or (variable.value is None and decoder is not _decode_file):
        return variable.value
    try:
        return _decode_date(variable, zone) if kind == "Date" else decoder(variable)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        refuse(name, message("variable.not_of_type", type=variable.type, error=message_of(error)), error)


def refuse(name: str, why: str, cause: BaseException | None = None) -> NoReturn:
    """Raise the `VariableError` that names the variable."""
    raise VariableError(message("variable.unusable", name=repr(name), why=why)) from cause


def canonical(kind: str) -> str:
    """Return the type's name as the engine writes it; it reads `string` and `String` alike."""
    return kind[:1].upper() + kind[1:]


def is_known(kind: str) -> bool:
    """Return whether values of the type are decoded here."""
    return canonical(kind) in _DECODERS


def is_json(variable: TypedValue) -> bool:
    """Return whether the value is JSON text: a Json, or an Object serialized as such."""
    form = str(variable.value_info.get("serializationDataFormat", "")).partition(";")[0].strip()
    return variable.type == "Json" or (variable.type == "Object" and form == JSON_FORMAT)


def fits(value: int, kind: str) -> bool:
    """Return whether a whole number has room in the type."""
    bound: int = 1 << (INTEGERS[kind] - 1)
    return -bound <= value < bound


def _expect(variable: TypedValue, *kinds: type) -> Any:
    if type(variable.value) not in kinds:
        raise TypeError(message("variable.kind", kind=type(variable.value).__name__))
    return variable.value


def _decode_null(variable: TypedValue) -> None:
    if variable.value is not None:
        raise ValueError(message("variable.has_value"))


def _decode_bool(variable: TypedValue) -> bool:
    return bool(_expect(variable, bool))


def _decode_int(variable: TypedValue) -> int:
    value = int(_expect(variable, int))
    if not fits(value, canonical(variable.type)):
        raise ValueError(message("variable.out_of_range"))
    return value


def _decode_float(variable: TypedValue) -> float:
    return float(_expect(variable, float, int))


def _decode_text(variable: TypedValue) -> str:
    return str(_expect(variable, str))


def _decode_date(variable: TypedValue, zone: tzinfo = UTC) -> datetime:
    return parse_date(_expect(variable, str), zone)


def _decode_bytes(variable: TypedValue) -> bytes:
    """Decode base64, also as MIME writes it: in lines (RFC 2045, 6.8)."""
    try:
        return base64.b64decode("".join(_expect(variable, str).split()), validate=True)
    except binascii.Error as error:
        raise ValueError(message("variable.not_base64", error=message_of(error))) from error


def _decode_file(variable: TypedValue) -> File:
    info = variable.value_info
    return File(
        name=str(info.get("filename") or ""),
        content=None if variable.value is None else _decode_bytes(variable),
        mime_type=str(info.get("mimeType") or "application/octet-stream"),
        encoding=info.get("encoding"),
    )


def _decode_json(variable: TypedValue) -> Any:
    # An engine asked to deserialize sends the parsed value itself.
    if not isinstance(variable.value, str):
        return variable.value
    return json.loads(variable.value, parse_constant=_refuse_constant)


def _decode_object(variable: TypedValue) -> Any:
    return _decode_json(variable) if is_json(variable) else variable.value


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(message("json.not_json", text=text))


_DECODERS: Final[Mapping[str, Callable[[TypedValue], Any]]] = {
    "Null": _decode_null,
    "Boolean": _decode_bool,
    "Short": _decode_int,
    "Integer": _decode_int,
    "Long": _decode_int,
    "Double": _decode_float,
    "String": _decode_text,
    "Xml": _decode_text,
    "Date": _decode_date,
    "Bytes": _decode_bytes,
    "File": _decode_file,
    "Json": _decode_json,
    "Object": _decode_object,
}
