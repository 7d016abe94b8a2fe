"""The texts of pages: written in English in the templates, and translated into the reader's language by the catalogs.

A catalog is read from its `.po` file, so that nothing has to be compiled before a start.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Final

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

FOLDER: Final = Path(__file__).parent / "locale"
ENGLISH: Final = "en"
PORTUGUESE: Final = "pt-BR"
LANGUAGES: Final[Mapping[str, str]] = {ENGLISH: "English", PORTUGUESE: "Português (Brasil)"}
"""The languages that there are, each by its own name."""

_PREFERENCE: Final = re.compile(r"\s*+([A-Za-z]{1,8})(?:-[A-Za-z0-9-]{1,32})?\s*+(?:;\s*+q=([01](?:\.\d{0,3})?))?\s*+")


def msg(text: str) -> str:
    """Mark a text that is translated later, where it's shown: by `_(text)` in a template."""
    return text


def language_of(accepted: str) -> str:
    """Return the language that an `Accept-Language` header prefers of those that there are."""
    best, weight = ENGLISH, 0.0
    for part in accepted[:500].split(","):
        found = _PREFERENCE.fullmatch(part)
        if found is None:
            continue
        language = {"en": ENGLISH, "pt": PORTUGUESE}.get(found[1].lower())
        preference = 1.0 if found[2] is None else float(found[2])
        if language is not None and preference > weight:
            best, weight = language, preference
    return best


def locale_of(language: str) -> Locale:
    """Return what Babel calls a language."""
    return Locale.parse(language, sep="-")


def catalog_file(language: str) -> Path:
    """Return the file that has the texts of a language."""
    return FOLDER / str(locale_of(language)) / "LC_MESSAGES" / "messages.po"


@lru_cache(maxsize=len(LANGUAGES))
def translations(language: str) -> Translations:
    """Return the texts of a language. One that isn't translated, or only by a guess, stays English."""
    with catalog_file(language).open("rb") as file:
        catalog = read_po(file, locale=locale_of(language))
    compiled = BytesIO()
    write_mo(compiled, catalog, use_fuzzy=False)
    compiled.seek(0)
    return Translations(compiled)
