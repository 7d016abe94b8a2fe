"""Messages as documents keep them: the English text in a field of its own, and beside it the code and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bridge.domain.message_texts import TEXTS
from bridge.domain.messages import JOINED, Message

_DEEPEST: Final = 8
"""How many messages stand within each other at most; deeper ones are not the gateway's."""


def to_code(text: str | None) -> dict[str, Any] | None:
    """Return the code and the parameters of a text; None for one without a code."""
    if not isinstance(text, Message) or not text.code:
        return None
    return {"code": text.code, "parameters": {name: _stored(value) for name, value in text.parameters.items()}}


def from_code(text: str | None, stored: Any) -> str | None:
    """Return a stored text as the message that it was.

    A document of an older version has no code, and one of a newer version may have a code that is unknown here: they
    give their English text.
    """
    if text is None or stored is None:
        return text
    return _message(text, stored, 0) or text


def _stored(value: str) -> Any:
    if not isinstance(value, Message):
        return value
    return {"text": str(value), **(to_code(value) or {})}


def _message(text: str, stored: Any, depth: int) -> Message | None:
    if not isinstance(stored, Mapping) or depth > _DEEPEST:
        return None
    code, parameters = stored.get("code", ""), stored.get("parameters", {})
    if not isinstance(code, str) or not isinstance(parameters, Mapping):
        return None
    values = {str(name): _parameter(value, depth) for name, value in parameters.items()}
    found = {name: value for name, value in values.items() if value is not None}
    if len(found) < len(values) or not (code in {"", JOINED} or _fills(code, found)):
        return None
    return Message(text, code, found)


def _parameter(value: Any, depth: int) -> str | None:
    if isinstance(value, str):
        return value
    text = value.get("text") if isinstance(value, Mapping) else None
    return _message(text, value, depth + 1) if isinstance(text, str) else None


def _fills(code: str, parameters: Mapping[str, str]) -> bool:
    """Tell whether this version has a text for the code, and the parameters are all that it needs."""
    try:
        return bool(TEXTS[code] % parameters)
    except KeyError:
        return False
