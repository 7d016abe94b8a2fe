"""The keys that name a secret: `password`, `api_key`, `Set-Cookie`, `cpf` …, in any case and with any separators."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final

WORDS: Final = (
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "senha",
    "secret",
    "token",
    "authorization",
    "apikey",
    "accesskey",
    "privatekey",
    "cookie",
    "credential",
    "bearer",
    "sessionid",
    "camundaheaders",
)
"""A key that contains one of these is secret."""
SHORT_WORDS: Final = ("cpf", "rg", "pin", "otp", "cvv", "cvc", "auth", "jwt")
"""A key that has one of these as a word of its own is secret: `userPin` and `nr_cpf`, not `shipping` or `author`."""
LONGEST_KEPT: Final = 128
"""Characters of a key up to which it is remembered whether it is secret."""

_NOT_A_LETTER: Final = re.compile(r"[^a-z0-9]+")
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def is_secret(key: str, also: Collection[str] = ()) -> bool:
    """Return whether what stands under `key` is a secret; `also` names further such keys.

    Case and separators don't matter: `apiKey`, `API-KEY` and `api_key` are one. A key that contains a secret word is
    secret (`db_password_2`); one of `also` must be equal.
    """
    known = _kept(key) if len(key) <= LONGEST_KEPT else _has_word(key)
    return known or (bool(also) and _plain(key) in {_plain(other) for other in also})


def _plain(key: str) -> str:
    return _NOT_A_LETTER.sub("", key.lower())


def _has_word(key: str) -> bool:
    plain = _plain(key)
    if any(word in plain for word in WORDS):
        return True
    return any(short in plain for short in SHORT_WORDS) and any(
        word.lower() in SHORT_WORDS for word in _WORD.findall(key)
    )


@lru_cache(maxsize=4096)
def _kept(key: str) -> bool:
    return _has_word(key)
