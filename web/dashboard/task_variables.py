"""The variables of a task as a page shows them, with secrets masked, and as a person edits them."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from bridge.domain.errors import VariableError
from bridge.domain.messages import message, message_of
from bridge.domain.redaction import MASK, is_secret, mask, mask_start, mask_text
from bridge.domain.task import Task, TypedValue, Variables
from bridge.domain.variables import parse_submitted
from bridge.search.moments import is_text
from web.i18n.messages import translate
from web.i18n.texts import msg

MOST_SHOWN: Final = 20_000
"""How many characters of a value are shown."""
_JSON_TYPES: Final = frozenset({"Json", "Object"})
_HALF_PAIR: Final = "\\ud"
_PLAIN: Final[dict[str, type | tuple[type, ...]]] = {
    "String": str,
    "Boolean": bool,
    "Short": int,
    "Integer": int,
    "Long": int,
    "Double": (int, float),
    "Date": str,
    "Xml": str,
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A variable as it is shown. `place` tells which of the name's it is: `given`, `engine` or `result`.

    `hidden`: something in it is masked. `rest` counts the characters that are left out.
    """

    name: str
    type: str
    value: Any
    place: str
    hidden: bool = False
    revealed: bool = False
    rest: int = 0


class EditFault(ValueError):
    """A fault in the edited text: a text to be translated, and its values."""

    def __init__(self, text: str, *, also: Collection[str] = (), **values: str) -> None:
        super().__init__(text)
        self.text = text
        self.values = values
        self._also = also

    def translate(self, language: str) -> None:
        """Have the reader's language also for the error that it came of, with secrets masked."""
        if "error" in self.values:
            self.values["error"] = mask_text(translate(language, self.values["error"]), self._also)


def shown(variables: Variables, place: str, also: Collection[str], revealed: Collection[str] = ()) -> tuple[Shown, ...]:
    """Return variables by name; secrets are masked but for those named `place:name` in `revealed`."""
    return tuple(
        _shown(name, variable, place, also, f"{place}:{name}" in revealed)
        for name, variable in sorted(variables.items())
    )


def _shown(name: str, variable: TypedValue, place: str, also: Collection[str], revealed: bool) -> Shown:
    plain = readable(variable)
    if isinstance(plain, str) and len(plain) > MOST_SHOWN:
        start = MASK if is_secret(name, also) else mask_start(plain, MOST_SHOWN, also)
        hidden = not plain.startswith(start)
        value = plain[:MOST_SHOWN] if revealed else start
        return Shown(name, variable.type, value, place, hidden, revealed and hidden, len(plain) - MOST_SHOWN)
    masked = mask(name, plain, also)
    value = plain if revealed else masked
    rest = 0
    if isinstance(value, dict | list):
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
        if len(text) > MOST_SHOWN:
            value, rest = text[:MOST_SHOWN], len(text) - MOST_SHOWN
    return Shown(name, variable.type, value, place, masked != plain, revealed and masked != plain, rest)


def readable(variable: TypedValue) -> Any:
    """Return a variable's value as JSON has it: parsed where it is JSON text, else as the engine sent it."""
    if variable.type not in _JSON_TYPES or not isinstance(variable.value, str):
        return variable.value
    try:
        found = json.loads(variable.value)
    except (ValueError, RecursionError):
        return variable.value
    # Half of a surrogate pair can't be written on a page, while the JSON that names it can.
    return variable.value if _HALF_PAIR in variable.value.lower() and not is_text(_compact(found)) else found


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def as_text(task: Task, also: Collection[str]) -> str:
    """Return the task's inputs as the JSON text that is edited; secrets stand in it masked."""
    values = {name: mask(name, readable(variable), also) for name, variable in sorted(task.inputs.items())}
    return json.dumps(values, indent=2, ensure_ascii=False, default=str)


def edited(task: Task, text: str, also: Collection[str]) -> Variables:
    """Return the changes of the task's inputs in the text. Inputs that it leaves out, or leaves unchanged, stay.

    Raises `EditFault` for a text that is no JSON object, for a mask within a value that was changed, and for a value
    that can't be a variable.
    """
    try:
        given = json.loads(text)
    except ValueError as error:
        raise EditFault(msg("This is not JSON: %(error)s."), error=message_of(error)) from None
    except RecursionError:
        raise EditFault(msg("This is not JSON: %(error)s."), error=message("json.too_deep")) from None
    if not isinstance(given, dict):
        raise EditFault(msg("The variables must be one JSON object, like %(example)s."), example='{"name": 1}')
    changed: dict[str, TypedValue] = {}
    plain: dict[str, Any] = {}
    for name, value in given.items():
        before = task.inputs.get(name)
        if before is not None and _same(value, mask(name, readable(before), also)):
            continue
        if MASK in json.dumps(value, ensure_ascii=False):
            text = msg("“%(name)s” still has a masked part (%(mask)s): write it out in full, or leave it out.")
            raise EditFault(text, name=name, mask=MASK)
        kept = None if before is None else _as_before(before, value)
        if kept is None:
            plain[name] = value
        else:
            changed[name] = kept
    try:
        return {**changed, **parse_submitted(plain)}
    except VariableError as error:
        raise EditFault(msg("This can't be a variable: %(error)s."), also=also, error=error.message) from None


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True, default=str) == json.dumps(other, sort_keys=True, default=str)


def _as_before(before: TypedValue, value: Any) -> TypedValue | None:
    """Return the value under the type that the variable had; None where it is of another kind."""
    if before.type in _JSON_TYPES and isinstance(readable(before), dict | list) and isinstance(value, dict | list):
        return TypedValue(before.type, json.dumps(value, ensure_ascii=False), before.value_info)
    kind = _PLAIN.get(before.type)
    if kind is None or not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        return None
    return TypedValue(before.type, value, before.value_info)
