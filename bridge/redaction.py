"""What must not be shown: the one place that tells a secret, for logs, pages, exports and spans.

A secret is known by the key that it stands under (`password`, `api_key`, `Set-Cookie` …), in mappings at any depth and
in text that looks like JSON, a Python repr, a header or a query; or by its own form: the password within an address
(`amqp://user:password@host`), `Bearer …`, a JSON web token, a key of the gateway's own API, and what pydantic quotes of
the input that it refused. In doubt more is masked than needed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from bridge.task import TypedValue

MASK: Final = "***"
DEEPEST: Final = 32
"""Levels of nesting that are looked into; what lies deeper is masked as a whole."""

_WORDS: Final = (
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
)
_HEADERS: Final = ("authorization", "cookie")
"""Keys whose unquoted value has spaces in it, and so goes on to the end of the line."""

_NOT_A_LETTER: Final = re.compile(r"[^a-z0-9]+")
_USER: Final = re.compile(r"[^\s/:]{0,1024}:(?!\d{1,5}[/?#])")
"""A user's name and the colon after it; not a host and its port."""
_END_OF_ADDRESS: Final = re.compile(r'[\s"<>]|$')
_SCHEME: Final = re.compile(
    r"\b(bearer|basic|digest|negotiate)(\s{1,8})(?=[\w.~+/=-]{0,4096}[\d._~+/=-])[\w.~+/=-]{8,}", re.IGNORECASE
)
_GATEWAY_KEY: Final = re.compile(r"\b(wag_[a-z0-9]{1,32}_)[0-9a-f]{8,}")
_WEB_TOKEN: Final = re.compile(r"eyJ[\w-]{8,4096}\.[\w-]{1,8192}(?:\.[\w-]*)?")
_QUOTED: Final = re.compile(r"\\*[\"']")
_BARE: Final = re.compile(r"(?:(?:bearer|basic|digest|negotiate)\s{1,8})?[^\s&\"<>]*", re.IGNORECASE)
_REST_OF_LINE: Final = re.compile(r"[^\r\n\"]*")
_BRACKET_OR_QUOTE: Final = re.compile(r"[\[\]{}()]|\\*[\"']")


def is_secret(key: str, also: Collection[str] = ()) -> bool:
    """Tell whether what stands under `key` is a secret; `also` names further such keys.

    Case and separators don't matter: `apiKey`, `API-KEY` and `api_key` are one. A key that contains a secret word is
    secret (`db_password_2`); one of `also` must be equal.
    """
    return _has_word(key) or (bool(also) and _plain(key) in {_plain(other) for other in also})


def mask(key: str | None, value: Any, also: Collection[str] = ()) -> Any:
    """Return `value` with every secret in it replaced by `***`; `value` itself is left as it was.

    `key` is what it stands under, None where it stands under nothing. Looks into mappings, lists, tuples, sets
    (returned as lists), text and process variables, and leaves any other type alone. None and booleans stay.
    """
    return _mask(key, value, also, 0)


def mask_text(text: str, also: Collection[str] = ()) -> str:
    """Return `text` with every secret in it replaced by `***`. Takes time in proportion to its length."""
    assigns = ":" in text or "=" in text
    if assigns:
        if "://" in text and "@" in text:
            text = _mask_addresses(text)
        if "input_value=" in text:
            text = _mask_input(text)
        text = _mask_assigned(text, also)
    if "eyJ" in text:
        text = _WEB_TOKEN.sub(MASK, text)
    if "wag_" in text:
        text = _GATEWAY_KEY.sub(rf"\1{MASK}", text)
    if " " in text:
        text = _SCHEME.sub(rf"\1\2{MASK}", text)
    return text


def _mask(key: str | None, value: Any, also: Collection[str], depth: int) -> Any:  # noqa: PLR0911 - one case a type
    if value is None or isinstance(value, bool):
        return value
    hidden = depth > DEEPEST or (key is not None and is_secret(key, also))
    match value:
        case TypedValue():
            info = {} if hidden else _mask(None, value.value_info, also, depth + 1)
            return replace(value, value=MASK if hidden else _mask(None, value.value, also, depth + 1), value_info=info)
        case _ if hidden:
            return MASK
        case str():
            return mask_text(value, also)
        case Mapping():
            return {name: _mask(str(name), item, also, depth + 1) for name, item in value.items()}
        case tuple():
            return tuple(_mask(None, item, also, depth + 1) for item in value)
        case list() | set() | frozenset():
            return [_mask(None, item, also, depth + 1) for item in value]
        case _:
            return value


def _plain(key: str) -> str:
    return _NOT_A_LETTER.sub("", key.lower())


@lru_cache(maxsize=4096)
def _has_word(key: str) -> bool:
    plain = _plain(key)
    return any(word in plain for word in _WORDS)


@lru_cache(maxsize=256)
def _assignment(also: frozenset[str]) -> re.Pattern[str]:
    """Return what finds a secret key in text, up to where its value begins."""
    words = "|".join(r"[-_. ]?".join(parts) for parts in (("api", "key"), ("access", "key"), ("private", "key")))
    known = "|".join((*_WORDS, words, r"session[-_. ]?id"))
    further = "".join(rf"|(?<![\w-]){re.escape(key)}(?![\w-])" for key in sorted(also) if key)
    assigned = rf"(?:(?:{known})[\w-]{{0,32}}{further})\\{{0,8}}[\"']?\s{{0,8}}(?:=>|[:=])\s{{0,8}}"
    # the repr of a process variable, within that of a task or of an error's arguments
    variable = r"TypedValue\(type=\\?'[^']{0,64}', value="
    return re.compile(rf"{assigned}|{variable}", re.IGNORECASE)


def _mask_addresses(text: str) -> str:
    """Mask in each run that holds `://` from the user's colon to the last `@`: a raw password may hold any sign."""
    pieces: list[str] = []
    done = end = 0
    last = -1
    while (start := text.find("://", done)) >= 0:
        start += 3
        if start > end:
            found = _END_OF_ADDRESS.search(text, start)
            end = len(text) if found is None else found.start()
            last = text.rfind("@", start, end)
        user = _USER.match(text, start, last) if last >= start else None
        pieces.append(text[done : start if user is None else user.end()])
        done = start
        if user is not None:
            pieces.append(MASK)
            done = last
    return "".join(pieces) + text[done:]


def _mask_input(text: str) -> str:
    pieces: list[str] = []
    done = 0
    while (start := text.find("input_value=", done)) >= 0:
        start += len("input_value=")
        end = text.find(", input_type=", start)
        pieces += (text[done:start], MASK)
        done = len(text) if end < 0 else end
    return "".join(pieces) + text[done:]


def _mask_assigned(text: str, also: Collection[str]) -> str:
    pattern = _assignment(frozenset(also))
    found = pattern.search(text)
    if found is None:
        return text
    pieces: list[str] = []
    done = 0
    while found is not None:
        start, end = _value(text, found)
        pieces.append(text[done:start])
        if end > start:
            pieces.append(MASK)
        done = end
        found = pattern.search(text, max(end, found.end()))
    return "".join(pieces) + text[done:]


def _value(text: str, key: re.Match[str]) -> tuple[int, int]:
    """Return where the value of a key begins and ends, without its quotes."""
    start = key.end()
    if quote := _QUOTED.match(text, start):
        return quote.end(), _closing_quote(text, quote)
    if text[start : start + 1] in {"{", "[", "("}:
        return start, _closing_bracket(text, start)
    pattern = _REST_OF_LINE if any(word in key.group().lower() for word in _HEADERS) else _BARE
    found = pattern.match(text, start)
    if found is None:
        return start, start
    return start, start + len(found.group().rstrip(",;)]}'"))


def _closing_quote(text: str, opening: re.Match[str]) -> int:
    """Return where the quote that closes `opening` begins; within JSON in JSON both stand behind backslashes."""
    escapes, sign = len(opening.group()) - 1, opening.group()[-1]
    at = opening.end()
    while (at := text.find(sign, at)) >= 0:
        before = at - len(text[opening.end() : at].rstrip("\\")) - opening.end()
        if before == escapes if escapes else before % 2 == 0:
            return at - escapes
        at += 1
    return len(text)


def _closing_bracket(text: str, start: int) -> int:
    depth, at = 0, start
    while found := _BRACKET_OR_QUOTE.search(text, at):
        at = found.end()
        sign = found.group()
        if sign[-1] in "\"'":
            closed = _closing_quote(text, found)
            at = min(len(text), closed + len(sign))
            continue
        depth += 1 if sign in "{[(" else -1
        if depth == 0:
            return at
    return len(text)
