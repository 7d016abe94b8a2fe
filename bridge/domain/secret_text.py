"""Secrets in text: by the key that they stand under, in whatever form that is written, or by their own form.

Foreign text is scanned here: each pattern takes time in proportion to the text's length, whatever it is fed. None looks
twice at more than a bounded number of characters: what a repetition took it keeps (`++`), or what follows it can't
begin within it. `tests/unit/domain/test_patterns.py` counts the steps.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Final

from bridge.domain.secret_keys import LONGEST_KEPT, SHORT_WORDS, WORDS, is_secret

MASK: Final = "***"
REACH: Final = 8_192
"""Characters beyond what is shown that are looked at, too, so that a secret which begins before is known as one."""
HINTS: Final[Mapping[str, Collection[str]]] = {
    "INSECURE_COOKIES": ("true", "false"),
    "AUTH": ("required", "open"),
    "CAMUNDA_OAUTH_TOKEN_URL": (),
}
"""Settings that sound like secrets and are none, and what a message says to set them to, where it says so."""

_SPLIT: Final = (("api", "key"), ("access", "key"), ("private", "key"), ("camunda", "headers"))
_PARTS: Final = (*WORDS, "api", "access", "private", "headers", "session", "typedvalue")
"""One of these, or a short word, is in every text that `_assignment` finds something in."""
_SHORT_WORD: Final = re.compile(
    r"(?i:(?<![a-z])(?:cpf|rg|pin|otp|cvv|cvc|auth|jwt))|[CRPOAJ](?i:pf|g|in|tp|vv|vc|uth|wt)"
)
"""Where a short word may begin: after no letter, or by a capital."""
_HEADERS: Final = ("authorization", "cookie")
"""Keys whose unquoted value has spaces in it, and so goes on to the end of the line."""

_KEY: Final = re.compile(r"[\w-]{1,128}")
_END_OF_KEY: Final = re.compile(r"(?<![\w-])[\w-]++\Z")
_USER: Final = re.compile(r"[^\s/:]{0,1024}+:(?!\d{1,5}[/?#])")
"""A user's name and the colon after it; not a host and its port."""
_END_OF_ADDRESS: Final = re.compile(r'[\s"<>]|$')
_SCHEME: Final = re.compile(
    r"\b(bearer|basic|digest|negotiate)(\s{1,8})(?=[^\W\d_]*+[\d._~+/=-])[\w.~+/=-]{8,}+", re.IGNORECASE
)
_GATEWAY_KEY: Final = re.compile(r"\b(wag_[a-z0-9]{1,32}_)[0-9a-f]{8,}+")
_WEB_TOKEN: Final = re.compile(r"eyJ(?:[\w-]{8,}+(?P<more>\.[\w-]++(?:\.[\w-]*+)?)?|[\w-]*+)")
"""A run that begins like a token is taken whole, token or not: the rest of it isn't looked at again."""
_QUOTED: Final = re.compile(r"\\*+[\"']")
_BARE: Final = re.compile(r"(?:(?:bearer|basic|digest|negotiate)\s{1,8})?[^\s&\"<>]*+", re.IGNORECASE)
_REST_OF_LINE: Final = re.compile(r"[^\r\n\"]*+")
_BRACKET_OR_QUOTE: Final = re.compile(r"[\[\]{}()]|\\*+[\"']|\\++")
_OPTION: Final = re.compile(
    r"(?<![\w-])--(?P<name>[A-Za-z][\w-]{0,63}+)(?:\\{0,8}+[\"'],\s{0,8}+|\s{1,8}+)(?![\s-])", re.ASCII
)
_ELEMENT: Final = re.compile(r"<(?:[\w.-]{1,64}+:)?(?P<name>[\w.-]{1,64}+)(?:\s[^<>]*+)?+(?<!/)>")
_PROGRAM: Final = re.compile(r"\b(?:mysql\w{0,16}+|mariadb\w{0,16}+|mongo\w{0,16}+|sshpass|redis-cli|curl)\b")
_SHORT_OPTION: Final = re.compile(
    r"(?<=\s)(?:-p|-a(?=\s)|-u(?=\s)\s{1,8}+[^\s:]{0,256}+:)\s{0,8}+(?P<value>[^\s-]\S*+)"
)


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
        text = _WEB_TOKEN.sub(_without_token, text)
    if "wag_" in text:
        text = _GATEWAY_KEY.sub(rf"\1{MASK}", text)
    if "</" in text:
        text = _mask_elements(text, also)
    if " " in text:
        text = _SCHEME.sub(rf"\1\2{MASK}", text)
        if " -" in text or "--" in text:
            text = _mask_commands(text, also)
    return text


def mask_start(text: str, most: int, also: Collection[str] = ()) -> str:
    """Return the first `most` characters of `text` with secrets masked; what comes far behind them costs nothing."""
    if len(text) <= most:
        return mask_text(text, also)[:most]
    seen = text[: most + REACH]
    masked = mask_text(seen, also)
    # A secret that the cut goes through may not be known as one: the last characters before it are not shown.
    sure = len(masked) if len(seen) == len(text) else max(0, len(masked) - REACH)
    return masked[: min(sure, most)]


@lru_cache(maxsize=256)
def _assignment(also: frozenset[str]) -> re.Pattern[str]:
    """Return what finds a secret key in text, up to where its value begins."""
    words = "|".join(r"[-_. ]?".join(parts) for parts in _SPLIT)
    known = "|".join((*WORDS, words, r"session[-_. ]?id"))
    short = "|".join(SHORT_WORDS)
    further = "".join(rf"|(?<![\w-]){re.escape(key)}(?![\w-])" for key in sorted(also) if key)
    key = rf"(?:{known})[\w-]{{0,32}}+|(?P<short>{short})[\w-]{{0,32}}+{further}"
    assigned = rf"(?:{key})\\{{0,8}}+[\"']?\s{{0,8}}+(?:=>|[:=])\s{{0,8}}+"
    # the repr of a process variable, within that of a task or of an error's arguments
    variable = r"TypedValue\(type=\\?'[^']{0,64}+', value="
    return re.compile(rf"{assigned}|{variable}", re.IGNORECASE)


def _without_token(found: re.Match[str]) -> str:
    return found[0] if found["more"] is None else MASK


def _mask_elements(text: str, also: Collection[str]) -> str:
    """Mask what stands within an XML element whose name is a secret's."""
    pieces: list[str] = []
    done = 0
    found = _ELEMENT.search(text)
    while found is not None:
        at = found.end()
        if is_secret(found["name"], also):
            closing = text.find(f"{found['name']}>", at)
            end = text.rfind("</", at, closing) if closing >= 0 else -1
            end = len(text) if end < 0 else end
            pieces += (text[done:at], MASK if end > at else "")
            done = at = end
        found = _ELEMENT.search(text, at)
    return "".join(pieces) + text[done:]


def _mask_commands(text: str, also: Collection[str]) -> str:
    """Mask what follows `--password`, and `-p` where the line names a program that takes a password so."""
    pieces: list[str] = []
    done = 0
    found = _OPTION.search(text)
    while found is not None:
        at = found.end()
        if is_secret(found["name"], also):
            start, end = _value(text, found)
            pieces += (text[done:start], MASK if end > start else "")
            done = at = max(at, end)
        found = _OPTION.search(text, at)
    text = "".join(pieces) + text[done:]
    if " -p" not in text and " -u" not in text and " -a" not in text:
        return text
    return "".join(_mask_short_options(line) for line in text.splitlines(keepends=True))


def _mask_short_options(line: str) -> str:
    program = _PROGRAM.search(line)
    if program is None:
        return line
    named = line[program.end() :]
    return line[: program.end()] + _SHORT_OPTION.sub(lambda found: f"{found[0][: -len(found['value'])]}{MASK}", named)


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
    if not _may_assign(text, also):
        return text
    pattern = _assignment(frozenset(also))
    found = pattern.search(text)
    if found is None:
        return text
    pieces: list[str] = []
    done = 0
    while found is not None:
        start, end = _value(text, found) if _is_meant(text, found, also) else (found.end(), found.end())
        pieces.append(text[done:start])
        if end > start and not _is_hint(text, found, start, end):
            pieces.append(MASK)
        else:
            pieces.append(text[start:end])
        done = end
        found = pattern.search(text, max(end, found.end()))
    return "".join(pieces) + text[done:]


def _may_assign(text: str, also: Collection[str]) -> bool:
    """Return whether there may be a secret key in the text: most have none, and a search costs ten times this."""
    folded = text.casefold()
    if any(part in folded for part in _PARTS) or any(key.casefold() in folded for key in also):
        return True
    return any(short in folded for short in SHORT_WORDS) and _SHORT_WORD.search(text) is not None


def _is_meant(text: str, found: re.Match[str], also: Collection[str]) -> bool:
    """Return whether a short word is one of the key's own: `pin` isn't in `shipping`."""
    return found["short"] is None or is_secret(_key_at(text, found), also)


def _key_at(text: str, found: re.Match[str]) -> str:
    """Return the whole key that a word was found in."""
    before = _END_OF_KEY.search(text, max(0, found.start() - LONGEST_KEPT), found.start())
    after = _KEY.match(text, found.start())
    return f"{'' if before is None else before[0]}{'' if after is None else after[0]}"


def _is_hint(text: str, found: re.Match[str], start: int, end: int) -> bool:
    """Return whether it is what a message of ours says to set, as in `set INSECURE_COOKIES=true`."""
    if end - start > LONGEST_KEPT or not text.startswith("=", start - 1):
        return False
    return text[start:end].lower().rstrip(".:") in HINTS.get(_key_at(text, found), ())


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
    at = last = opening.end()
    while (at := text.find(sign, at)) >= 0:
        before = at - last - len(text[last:at].rstrip("\\"))
        if before == escapes if escapes else before % 2 == 0:
            return at - escapes
        at = last = at + 1
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
        if sign[-1] == "\\":
            continue
        depth += 1 if sign in "{[(" else -1
        if depth == 0:
            return at
    return len(text)
