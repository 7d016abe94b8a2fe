"""Texts that the gateway's other parts made in English, told again in the reader's language.

They are known by their patterns: `task %(task)s is suspended` is also how `task t1 is suspended` is found.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from web.texts import translations

_PLACE: Final = re.compile(r"%\\\((\w+)\\\)s|%\((\w+)\)s")


def as_it_is(_name: str, value: str) -> str:
    """Leave what stands in a text as it is."""
    return value


def retold(language: str, text: str, known: tuple[str, ...], inner: Callable[[str, str], str] = as_it_is) -> str:
    """Return a text that was made of one of the known ones in another language; one that wasn't, as it is.

    `inner` is asked for each value that stands in it, by its name.
    """
    for template in known:
        found = _pattern(template).fullmatch(text)
        if found is not None:
            values = {name: inner(name, value) for name, value in found.groupdict().items()}
            return str(translations(language).gettext(template)) % values
    return text


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(_PLACE.sub(lambda at: f"(?P<{at[1] or at[2]}>.+?)", re.escape(template)), re.DOTALL)
