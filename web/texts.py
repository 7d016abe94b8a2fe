"""The texts of pages: written in English in the templates, and told in Portuguese to who prefers that."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

ENGLISH: Final = "en"
PORTUGUESE: Final = "pt-BR"

_PREFERENCE: Final = re.compile(r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]{1,32})?\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*")
_IN_PORTUGUESE: Final[Mapping[str, str]] = {
    "Sign in": "Entrar",
    "Sign out": "Sair",
    "Name": "Nome",
    "Password": "Senha",
    "The name or the password is wrong.": "O nome ou a senha está incorreto.",
    "Too many tries: wait {seconds} s and try again.": "Tentativas demais: espere {seconds} s e tente de novo.",
    "Signed in as {name} ({role}).": "Conectado como {name} ({role}).",
    "No account yet? An admin makes one with": "Ainda sem conta? Um administrador cria uma com",
    "Back to the dashboard": "Voltar ao painel",
    "Dashboard": "Painel",
}


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


def translation(language: str) -> Callable[[str], str]:
    """Return what gives a text in `language`; a text that isn't translated stays English."""
    known = _IN_PORTUGUESE if language == PORTUGUESE else {}
    return lambda text: known.get(text, text)
