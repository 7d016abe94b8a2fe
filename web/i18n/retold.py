"""Texts that the gateway's other parts made in English, told again in the reader's language.

They are known by their patterns: `task %(task)s is suspended` is also how `task t1 is suspended` is found.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from web.i18n.texts import translations

_PLACE: Final = re.compile(r"%\((\w+)\)s")


def as_it_is(_name: str, value: str) -> str:
    """Leave what stands in a text as it is."""
    return value


def retold(language: str, text: str, known: tuple[str, ...], inner: Callable[[str, str], str] = as_it_is) -> str:
    """Return a text that was made of one of the known ones in another language; one that wasn't, as it is.

    `inner` is asked for each value that stands in it, by its name.
    """
    for template in known:
        found = _values(template, text)
        if found is not None:
            values = {name: inner(name, value) for name, value in found.items()}
            return str(translations(language).gettext(template)) % values
    return text


def _values(template: str, text: str) -> dict[str, str] | None:
    """Return what stands in the template's places, each as short as can be; None where the text is not made of it.

    A place takes at least one character. Each part is looked for once, from where the one before it was found: what
    fits a later place of it fits the first one, too.
    """
    first, *rest = _PLACE.split(template)  # a text, and then by turns a name and the text after it
    names, parts = rest[::2], rest[1::2]
    if not names:
        return {} if text == template else None
    if not text.startswith(first):
        return None
    found: dict[str, str] = {}
    at = len(first)
    for name, part in zip(names[:-1], parts[:-1], strict=True):
        end = text.find(part, at + 1)
        if end < 0:
            return None
        found[name] = text[at:end]
        at = end + len(part)
    end = len(text) - len(parts[-1])
    if end <= at or not text.endswith(parts[-1]):
        return None
    return {**found, names[-1]: text[at:end]}
