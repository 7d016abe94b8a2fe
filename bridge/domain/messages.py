"""The gateway's messages: a code, parameters, and the English text that the table of texts makes of them.

The API and the log give the English text and the code. Pages translate the code's text by the catalogs, which have
each text of the table (`web.i18n.messages.translate`).
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Self

from pydantic_core import ValidationError

from bridge.domain.message_texts import TEXTS

JOINED: Final = "joined"
"""The code of several messages in one; its parameters are the messages, by their place."""


class Message(str):
    """An English text that knows its `code` and `parameters`; some of them may be messages themselves.

    It is a plain text wherever a text is stored or written; `code` is empty for a text that isn't the gateway's own.
    """

    __slots__ = ("code", "parameters")
    code: str
    parameters: Mapping[str, str]

    def __new__(cls, text: str, code: str = "", parameters: Mapping[str, str] = MappingProxyType({})) -> Self:
        made = super().__new__(cls, text)
        made.code = code
        made.parameters = parameters
        return made

    def with_text(self, text: str) -> Message:
        """Return the same message in other words."""
        return Message(text, self.code, self.parameters)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.code, dict(self.parameters))


def message(code: str, **parameters: object) -> Message:
    """Return the message of a code of the table. Raises `KeyError` for another code, or where a parameter is missing.

    Parameters that are no messages are kept as text.
    """
    values = {name: value if isinstance(value, Message) else str(value) for name, value in parameters.items()}
    return Message(TEXTS[code] % values, code, values)


def joined(messages: Iterable[Message]) -> Message:
    """Return several messages as one, separated by semicolons."""
    parts = {str(place): each for place, each in enumerate(messages)}
    return Message("; ".join(parts.values()), JOINED, parts)


def message_of(error: BaseException) -> Message:
    """Return what an error says: with its code where it has one, or is of a library whose errors are known here."""
    first = error.args[0] if error.args else None
    if isinstance(first, Message):
        return first
    match error:
        case json.JSONDecodeError(msg=said):
            return message("json.fault", error=_json_fault(said), line=error.lineno, column=error.colno, char=error.pos)
        case binascii.Error():
            return Message(str(error), _BASE64.get(str(error), ""))
        case UnicodeEncodeError(reason="surrogates not allowed"):
            return Message("surrogates not allowed", "text.surrogates")
        case ValidationError():
            return joined(map(_field_fault, error.errors(include_input=False, include_url=False)))
    return Message(str(error))


def _json_fault(said: str) -> Message:
    if said.endswith(" delimiter"):
        return message("json.delimiter", sign=said.removeprefix("Expecting ").removesuffix(" delimiter"))
    return Message(said, _JSON.get(said, ""))


def fault_of(fault: Any) -> Message:
    """Return what is wrong with one field of a model. `type` and `ctx` are pydantic's, as its errors are documented."""
    context = fault.get("ctx", {})
    parameters = {
        _MODEL_PARAMETERS[name]: _quoted(value) for name, value in context.items() if name in _MODEL_PARAMETERS
    }
    plural = "_one" if parameters.get("count") == "1" else ""
    code = f"input.{fault['type']}{plural}"
    return Message(fault["msg"], code if code in TEXTS else "", parameters)


def _field_fault(fault: Any) -> Message:
    field = ".".join(str(part) for part in fault["loc"]) or "input"
    return message("input.field", field=field, error=fault_of(fault))


def _quoted(value: object) -> str:
    return message_of(value) if isinstance(value, Exception) else str(value)


_JSON: Final = {
    "Expecting value": "json.value",
    "Expecting property name enclosed in double quotes": "json.name",
    "Unterminated string starting at": "json.open_string",
    "Invalid control character at": "json.control_character",
    "Invalid \\escape": "json.escape",
    "Extra data": "json.extra",
}
"""What Python's `json` says, by its text: it gives no code."""
_BASE64: Final = {"Only base64 data is allowed": "base64.alphabet", "Incorrect padding": "base64.padding"}
_MODEL_PARAMETERS: Final = {
    "ge": "bound", "gt": "bound", "le": "bound", "lt": "bound", "expected": "choices", "min_length": "count",
    "max_length": "count", "pattern": "pattern", "class_name": "name", "error": "error",
}  # fmt: skip
