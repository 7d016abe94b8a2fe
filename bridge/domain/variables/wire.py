"""Variables as requests and answers of the engine's REST interface carry them, and as submissions do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from bridge.domain.task import TypedValue, Variables
from bridge.domain.variables.decoding import canonical, decode, is_json, is_known, refuse
from bridge.domain.variables.encoding import encode, to_json

_TYPED_KEYS: Final = frozenset({"type", "value", "valueInfo", "local"})


def parse_submitted(raw: Mapping[str, Any]) -> Variables:
    """Read the variables of a submission, each either plain JSON or in Camunda's typed form.

    Typed is an object with `value` and a `type` that is known here, and no keys but `valueInfo` and `local` besides;
    every other object is plain data. Json may come as text, or as what it stands for. Raises `VariableError` where a
    typed value doesn't fit its type.
    """
    typed = {name: found for name, value in raw.items() if (found := _typed(name, value)) is not None}
    decode(typed)
    return {name: typed.get(name) or encode({name: value})[name] for name, value in raw.items()}


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


def _typed(name: str, value: Any) -> TypedValue | None:
    if not isinstance(value, Mapping) or "value" not in value or not _TYPED_KEYS.issuperset(value):
        return None
    kind, info = value.get("type"), value.get("valueInfo") or {}
    if not isinstance(kind, str) or not is_known(kind) or not isinstance(info, Mapping):
        return None
    if not all(isinstance(each, str | bool | None) for each in info.values()):
        refuse(name, "its valueInfo has texts and booleans alone")
    found = TypedValue(canonical(kind), value["value"], dict(info))
    if isinstance(found.value, str | None):
        return found
    if is_json(found):
        return replace(found, value=to_json(name, found.value))
    if found.type == "Object":
        refuse(name, "not a valid Object: its value is text, serialized as its valueInfo says")
    return found
