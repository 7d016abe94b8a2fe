"""The one place that translates the gateway's errors into the reader's language, by code and catalog.

Texts of the engine, the broker or the store themselves stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from bridge.domain.message_texts import TEXTS
from bridge.domain.messages import JOINED, Message
from bridge.search.query import QueryError
from web.i18n.labels import state_in_sentence
from web.i18n.texts import ENGLISH, msg, translations

_STATES: Final = frozenset({"before", "now"})
"""Parameters that are states of tasks, as `bridge.domain.message_texts` says."""
_UNKNOWN: Final = msg("it is not kept here any more")
_REFUSED: Final = msg("it can't be tried again: %(reason)s")


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a query, for its reader, and at which character."""

    message: str
    position: int


def translate(language: str, text: str) -> str:
    """Return a message in the reader's language. A text without a code of this version's table stays as it is."""
    if language == ENGLISH or not isinstance(text, Message):
        return str(text)
    if text.code == JOINED:
        return "; ".join(translate(language, part) for part in text.parameters.values())
    if text.code not in TEXTS:
        return str(text)
    return _filled(language, TEXTS[text.code], text.parameters)


def translate_result(language: str, text: str) -> str:
    """Return why a bulk operation left a task alone, as it stands beside the task's id."""
    match text:
        case Message(code="task.changed", parameters=parameters):
            return translate(language, parameters["change"])
        case Message(code="task.unknown"):
            return _gettext(language)(_UNKNOWN)
        case Message(code="task.cannot_retry", parameters=parameters):
            return _filled(language, _REFUSED, {"reason": parameters["reason"]})
    return translate(language, text)


def mistake_of(language: str, error: QueryError) -> Mistake:
    """Return what is wrong with a query, with a hint where there is one."""
    said = translate(language, error.message)
    hint = f" ({translate(language, error.hint)})" if error.hint else ""
    return Mistake(f"{said[:1].upper()}{said[1:]}{hint}", error.position)


def _filled(language: str, text: str, parameters: Mapping[str, str]) -> str:
    values = {
        name: state_in_sentence(language, value) if name in _STATES else translate(language, value)
        for name, value in parameters.items()
    }
    return _gettext(language)(text) % values


def _gettext(language: str) -> Callable[[str], str]:
    return translations(language).gettext
