"""What became of an operation's tasks, told in the reader's language: `bridge.flow` says it in English."""

from __future__ import annotations

from typing import Final

from web.i18n.error_words import told_error
from web.i18n.retold import retold
from web.i18n.task_words import REASONS, state_word
from web.i18n.texts import msg, translations

_CHANGED: Final = msg("it was %(before)s and is %(now)s now")
_FETCHED: Final = msg("it was fetched again, and is %(now)s once more")
_REFUSED: Final = msg("it can't be tried again: %(reason)s")
_UNKNOWN: Final = msg("it is not kept here any more")


def told_detail(language: str, task_id: str, detail: str) -> str:
    """Return why a task was left alone; what isn't one of the known reasons stays as it is."""
    text = detail.removeprefix(f"task {task_id} ").removeprefix("is not as it was shown: ")
    text = text.removesuffix("; look at it again")
    if text.startswith(f"no task {task_id} is kept here"):
        return str(translations(language).gettext(_UNKNOWN))
    if text.startswith("can't be tried again: "):
        reason = retold(language, text.removeprefix("can't be tried again: "), REASONS)
        return str(translations(language).gettext(_REFUSED)) % {"reason": reason}
    for template in (_CHANGED, _FETCHED):
        found = _values(template, text)
        if found is not None:
            names = {name: state_word(language, value) for name, value in found.items()}
            return str(translations(language).gettext(template)) % names
    return told_error(language, detail)


def _values(template: str, text: str) -> dict[str, str] | None:
    """Return what stands in the text where the template has a name; None where it's another text."""
    words, parts = text.split(), template.split()
    if len(words) != len(parts):
        return None
    found: dict[str, str] = {}
    for word, part in zip(words, parts, strict=True):
        if part.startswith("%("):
            found[part[2:-2]] = word
        elif part != word:
            return None
    return found
