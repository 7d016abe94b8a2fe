"""Process variables as Python values and back. Pure: no I/O, and nothing of the engine but its type names.

| Python | Camunda type |
|---|---|
| None, bool | Null, Boolean |
| int | Integer or Long by size; beyond 64 bits Json, which alone keeps every digit |
| float | Double; NaN and infinity are refused |
| Decimal | String, so that no digit of an amount is lost |
| str | String; what the engine's 4000-character column can't hold goes as Object of `java.lang.String` |
| datetime, date | Date, in UTC to the millisecond; a naive datetime is taken as UTC, a date as its midnight |
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
import binascii
import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, Final, NoReturn

from pydantic_core import PydanticSerializationError, to_jsonable_python

from bridge.errors import VariableError
from bridge.task import TypedValue, Variables
from bridge.topic import File

STRING_LIMIT: Final = 4000
"""How many characters, as Java counts them, the engine's column for a String holds."""

_INTEGERS: Final = {"Short": 16, "Integer": 32, "Long": 64}
_JSON: Final = "application/json"
_TYPED_KEYS: Final = frozenset({"type", "value", "valueInfo", "local"})


def decode(variables: Variables) -> dict[str, Any]:
    """Return the variables as Python values by name.

    A Json, or an Object serialized as JSON, is parsed. An Object in another format, Xml, and a type unknown here stay
    the text that the engine sent: who declares such a variable as `str` can read it, and who doesn't isn't disturbed.
    Raises `VariableError`, which names the variable, where a value doesn't fit its type.
    """
    return {name: _decode(name, variable) for name, variable in variables.items()}


def encode(values: Mapping[str, Any]) -> Variables:
    """Return the values as typed variables by name, by the table above.

    Raises `VariableError`, which names the variable, for a value that has no faithful form: NaN, infinity, text that
    isn't valid Unicode, a `File` without content, or an object that is none of the above.
    """
    return {name: _encode(name, value) for name, value in values.items()}


def parse_submitted(raw: Mapping[str, Any]) -> Variables:
    """Read the variables of a submission, each either plain JSON or in Camunda's typed form.

    Typed is an object with `value` and a `type` that is known here, and no keys but `valueInfo` and `local` besides;
    every other object is plain data. Raises `VariableError` where a typed value doesn't fit its type.
    """
    variables = {name: _typed(value) or _encode(name, value) for name, value in raw.items()}
    decode(variables)
    return variables


def to_wire(variables: Variables) -> dict[str, dict[str, Any]]:
    """Return the variables as a request to the engine's REST interface carries them."""
    return {
        name: {
            "type": variable.type,
            "value": variable.value,
            **({"valueInfo": dict(variable.value_info)} if variable.value_info else {}),
        }
        for name, variable in variables.items()
    }


def from_wire(raw: Mapping[str, Mapping[str, Any]]) -> Variables:
    """Read the variables of an answer of the engine's REST interface; nothing is decoded."""
    return {
        name: TypedValue(item.get("type") or "Null", item.get("value"), item.get("valueInfo") or {})
        for name, item in raw.items()
    }


def format_date(moment: datetime) -> str:
    """Return the moment in the one form the engine reads, `2026-01-01T00:00:00.000+0000`; naive is taken as UTC.

    Raises `OverflowError` where the moment has no place in the years 1 to 9999 of UTC.
    """
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.replace(tzinfo=None).isoformat(timespec="milliseconds") + "+0000"


def parse_date(text: str) -> datetime:
    """Read a moment as the engine writes it; return it in UTC. Raises `ValueError` or `OverflowError`."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _refuse(name: str, why: str, cause: BaseException | None = None) -> NoReturn:
    raise VariableError(f"variable {name!r}: {why}") from cause


def _encode(name: str, value: Any) -> TypedValue:
    while isinstance(value, Enum):
        value = value.value
    encoder = next((encoder for kinds, encoder in _ENCODERS if isinstance(value, kinds)), _encode_data)
    return encoder(name, value)


def _encode_typed(_name: str, value: TypedValue) -> TypedValue:
    return value


def _encode_null(_name: str, _value: None) -> TypedValue:
    return TypedValue("Null")


def _encode_bool(_name: str, value: bool) -> TypedValue:
    return TypedValue("Boolean", value)


def _encode_int(name: str, value: int) -> TypedValue:
    for kind in ("Integer", "Long"):
        if _fits(value, kind):
            return TypedValue(kind, int(value))
    return _encode_data(name, value)


def _encode_float(name: str, value: float) -> TypedValue:
    if not math.isfinite(value):
        _refuse(name, f"{value} is not a number that the engine can store")
    return TypedValue("Double", float(value))


def _encode_decimal(name: str, value: Decimal) -> TypedValue:
    if not value.is_finite():
        _refuse(name, f"{value} is not a number that the engine can store")
    return _encode_text(name, str(value))


def _encode_text(name: str, value: str) -> TypedValue:
    value = str(value)
    try:
        units = len(value.encode("utf-16-le")) // 2
    except UnicodeEncodeError as error:
        _refuse(name, f"the text is not valid Unicode: {error.reason}", error)
    # PostgreSQL's text columns refuse NUL; serialized as JSON it is an escape.
    if units <= STRING_LIMIT and "\0" not in value:
        return TypedValue("String", value)
    return TypedValue(
        "Object",
        json.dumps(value, ensure_ascii=False),
        {"objectTypeName": "java.lang.String", "serializationDataFormat": _JSON},
    )


def _encode_moment(name: str, value: date) -> TypedValue:
    moment = value if isinstance(value, datetime) else datetime.combine(value, time(), UTC)
    try:
        return TypedValue("Date", format_date(moment))
    except OverflowError as error:
        _refuse(name, f"{value} is outside the years 1 to 9999 in UTC", error)


def _encode_bytes(_name: str, value: bytes | bytearray | memoryview) -> TypedValue:
    return TypedValue("Bytes", base64.b64encode(value).decode("ascii"))


def _encode_file(name: str, value: File) -> TypedValue:
    if value.content is None:
        _refuse(name, f"the file {value.name!r} has no content: read it with Context.read_file first")
    info = {"filename": value.name, "mimeType": value.mime_type}
    if value.encoding is not None:
        info["encoding"] = value.encoding
    return TypedValue("File", base64.b64encode(value.content).decode("ascii"), info)


def _encode_data(name: str, value: Any) -> TypedValue:
    """Encode whatever pydantic can write as JSON.

    `json` and not orjson, which would write NaN as null and refuse integers beyond 64 bits.
    """
    try:
        plain = to_jsonable_python(value, by_alias=True, bytes_mode="base64", inf_nan_mode="constants")
        if isinstance(plain, str):
            return _encode_text(name, plain)
        text = json.dumps(plain, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        text.encode()
    except (PydanticSerializationError, TypeError, ValueError, RecursionError) as error:
        _refuse(name, f"a {type(value).__name__} can't be written as JSON: {error}", error)
    return TypedValue("Json", text)


def _typed(value: Any) -> TypedValue | None:
    if not isinstance(value, Mapping) or "value" not in value or not _TYPED_KEYS.issuperset(value):
        return None
    kind, info = value.get("type"), value.get("valueInfo") or {}
    if not isinstance(kind, str) or _canonical(kind) not in _DECODERS or not isinstance(info, Mapping):
        return None
    return TypedValue(_canonical(kind), value["value"], dict(info))


def _canonical(kind: str) -> str:
    """Return the type's name as the engine writes it; it reads `string` and `String` alike."""
    return kind[:1].upper() + kind[1:]


def _decode(name: str, variable: TypedValue) -> Any:
    decoder = _DECODERS.get(_canonical(variable.type))
    if decoder is None or (variable.value is None and decoder is not _decode_file):
        return variable.value
    try:
        return decoder(variable)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        _refuse(name, f"not a valid {variable.type}: {error}", error)


def _expect(variable: TypedValue, *kinds: type) -> Any:
    if type(variable.value) not in kinds:
        raise TypeError(f"it is a {type(variable.value).__name__}")
    return variable.value


def _decode_null(variable: TypedValue) -> None:
    if variable.value is not None:
        raise ValueError("it has a value")


def _decode_bool(variable: TypedValue) -> bool:
    return bool(_expect(variable, bool))


def _decode_int(variable: TypedValue) -> int:
    value = int(_expect(variable, int))
    if not _fits(value, _canonical(variable.type)):
        raise ValueError("it is out of range")
    return value


def _decode_float(variable: TypedValue) -> float:
    return float(_expect(variable, float, int))


def _decode_text(variable: TypedValue) -> str:
    return str(_expect(variable, str))


def _decode_date(variable: TypedValue) -> datetime:
    return parse_date(_expect(variable, str))


def _decode_bytes(variable: TypedValue) -> bytes:
    try:
        return base64.b64decode(_expect(variable, str), validate=True)
    except binascii.Error as error:
        raise ValueError(f"it is not base64: {error}") from error


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
    is_json = str(variable.value_info.get("serializationDataFormat", "")).partition(";")[0].strip() == _JSON
    return _decode_json(variable) if is_json else variable.value


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _fits(value: int, kind: str) -> bool:
    bound: int = 1 << (_INTEGERS[kind] - 1)
    return -bound <= value < bound


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

# In this order, because a bool is an int.
_ENCODERS: Final[Sequence[tuple[type | tuple[type, ...], Callable[[str, Any], TypedValue]]]] = (
    (TypedValue, _encode_typed),
    (NoneType, _encode_null),
    (bool, _encode_bool),
    (int, _encode_int),
    (float, _encode_float),
    (Decimal, _encode_decimal),
    (str, _encode_text),
    (date, _encode_moment),
    ((bytes, bytearray, memoryview), _encode_bytes),
    (File, _encode_file),
)
