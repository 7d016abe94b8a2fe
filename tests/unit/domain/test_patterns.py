"""No foreign text costs more than in proportion to its length: every pattern of `re` is fed what costs it most.

Counted are the steps of a matcher that goes the same ways as `re` (`regex_steps`), so nothing is timed. A pattern
that is new in `bridge` or `web` has to be listed here.
"""

from __future__ import annotations

import ast
import importlib
import re
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from bridge.domain import secret_text
from bridge.domain.redaction import mask_text
from tests.unit.regex_steps import CountedPattern, TooManySteps

ROOT: Final = Path(__file__).parents[3]
SIZES: Final = (150, 300, 600)
LINEAR: Final = 2.3
"""How many times the steps for twice the length: 2, and what is the same for any length. A square would have 4."""
MOST: Final = 600
"""Steps for a character."""

OURS: Final = {
    "gateway/scaffold/names.py": "the name that a developer types",
}
"""Files whose patterns see no foreign text."""

# Of each pattern the pieces that cost it most: repeated, alone and after one another.
PATTERNS: Final[dict[str, tuple[str, ...]]] = {
    "bridge.domain.access._KEY": ("wag_", "a", "0"),
    "bridge.domain.access._NAME": ("a", "@", "."),
    "bridge.domain.access._PREFIX": ("a",),
    "bridge.adapters.camunda.login._NAME": ("a", "-"),
    "bridge.adapters.logging.rate._NUMBERS": ("0x", "a", "-", "1", "abcdefabcdefabcg"),
    "bridge.adapters.rabbitmq.topology._INEQUIVALENT": ("inequivalent arg '", "inequivalent arg 'a' for ", "a", "'"),
    "bridge.access.sessions._SESSION": ("a", "0"),
    "bridge.domain.engine_product._LINE": ("1", "1.", "."),
    "bridge.domain.errors._TOO_SMALL": ("too long for ", "SQLCODE: ", "ORA-"),
    "bridge.domain.fingerprint._ADDRESS": ("a", "a@", "a://", "://", "@"),
    "bridge.domain.fingerprint._CAUSE_NUMBER": ("http/", "http/1.", "status ", "code (", "1"),
    "bridge.domain.fingerprint._DIGIT": ("a",),
    "bridge.domain.fingerprint._FRAME": ('File "', 'File "a", line 1, in ', " ", "|", '", line 1'),
    "bridge.domain.fingerprint._HEX": ("a", "A", "aA"),
    "bridge.domain.fingerprint._MANY": ("#", "#-", "#--", "-"),
    "bridge.domain.fingerprint._NAME": ("'", "a", ".", "'a"),
    "bridge.domain.fingerprint._PART": ("a", "-"),
    "bridge.domain.fingerprint._SPACES": (" ", "a "),
    "bridge.domain.fingerprint._TOKEN": ("«", "'", "'a", '"', "`", '"\n', "«\n", "a", "\0" + "1"),
    "bridge.domain.fingerprint._UUID": ("a", "a-", "aaaaaaaa-", "aaaa-"),
    "bridge.search.grammar._BARE": ("a", '"', "("),
    "bridge.search.grammar._NAME": ("a", ":"),
    "bridge.search.grammar._OPERATOR": ("<", "<="),
    "bridge.search.grammar._SAFE_NAME": ("a", ":"),
    "bridge.search.grammar._SAFE_VALUE": ("a", "<"),
    "bridge.search.grammar._SAFE_WORD": ("a", "-"),
    "bridge.search.grammar._SPACE": (" ", "a "),
    "bridge.search.grammar._VALUE": ("a", ","),
    "bridge.search.values._DAY": ("1", "1-"),
    "bridge.search.values._NUMBER": ("1", "-"),
    "bridge.search.values._SPAN": ("1", "1d"),
    "bridge.domain.secret_keys._NOT_A_LETTER": ("-", "a-"),
    "bridge.domain.secret_keys._WORD": ("a", "A", "Aa", "aA", "-"),
    "bridge.domain.secret_text._BARE": ("bearer ", "basic ", "a", "&"),
    "bridge.domain.secret_text._BRACKET_OR_QUOTE": ("\\", "\\'", "{", "a"),
    "bridge.domain.secret_text._ELEMENT": ("<", "<a", "<a ", "<a:", "a:", "<a />", "a"),
    "bridge.domain.secret_text._END_OF_ADDRESS": ("a", " "),
    "bridge.domain.secret_text._END_OF_KEY": ("a", "a ", "-"),
    "bridge.domain.secret_text._GATEWAY_KEY": ("wag_", "wag_a_", "a", "_"),
    "bridge.domain.secret_text._KEY": ("a", "-"),
    "bridge.domain.secret_text._OPTION": ("--", "--a", "--a ", "--a' ", "-", "a", " "),
    "bridge.domain.secret_text._PROGRAM": ("mysql", "mongo", "a", "curl "),
    "bridge.domain.secret_text._QUOTED": ("\\", "\\'"),
    "bridge.domain.secret_text._REST_OF_LINE": ("a", "\n"),
    "bridge.domain.secret_text._SCHEME": ("bearer ", "bearer  ", "a", "bearer a", " ", "."),
    "bridge.domain.secret_text._SHORT_OPTION": (" -p", " -p ", " -u ", " -u a", " -u a:", "a", " ", ":"),
    "bridge.domain.secret_text._SHORT_WORD": ("rg", "a", "R", "C", "au"),
    "bridge.domain.secret_text._USER": ("a", "a:", ":"),
    "bridge.domain.secret_text._WEB_TOKEN": ("eyJ", "eyJ.", "eyJaaaaaaaa.", "eyJaaaaaaaa", "a", "."),
    "bridge.domain.tls_faults._ALERT": ("alert ", "a", " ", "alert a", " (_ssl"),
    "bridge.domain.tls_faults._VERIFY": ("certificate verify failed: ", "a", "("),
    "bridge.domain.trace_context._PARENT": ("0", "00-", "0-"),
    "bridge.domain.variables.dates._AFTER": ("1", "1-", "11111-11-11T11:11:11."),
    "web.dashboard.openid_login._PART": ("a", "-", "."),
    "web.dashboard.topic_names._TYPED": ('"', '"\\', "\\", '\\"', "a", " ", '"\\\n'),
    "web.dashboard.preview._TOKEN": ("A", "0"),
    "web.i18n.texts._PREFERENCE": (" ", "a", "a ", "a-", ";", "; q=", " ;"),
}
ANCHORED: Final = frozenset(
    {
        "bridge.domain.access._KEY",
        "bridge.domain.access._NAME",
        "bridge.domain.access._PREFIX",
        "bridge.adapters.camunda.login._NAME",
        "bridge.access.sessions._SESSION",
        "bridge.domain.fingerprint._ADDRESS",
        "bridge.domain.fingerprint._FRAME",
        "bridge.domain.fingerprint._HEX",
        "bridge.domain.fingerprint._NAME",
        "bridge.search.grammar._SAFE_NAME",
        "bridge.search.grammar._SAFE_VALUE",
        "bridge.search.grammar._SAFE_WORD",
        "bridge.domain.secret_text._QUOTED",
        "bridge.domain.secret_text._USER",
        "bridge.domain.variables.dates._AFTER",
        "web.i18n.texts._PREFERENCE",
    }
)
"""Those that are asked at one place alone, by `match` or `fullmatch`; the others may begin at any."""
INLINE: Final[dict[str, tuple[str, ...]]] = {
    r"[\s.,']": (" ", "1 "),
    r"[0-9]{1,9}": ("1",),
    r"~([0-9A-F]{2})": ("~", "~0"),
    r"\\(.)": ("\\", "\\a", "a"),
    r'[^\s,;"\\]+': ("a", '"'),
}
"""Patterns that stand where they are used."""


def _texts(pieces: tuple[str, ...], size: int) -> list[str]:
    texts = [piece * (size // len(piece)) for piece in pieces]
    heads = [first + text for first in pieces for text in texts] if len(pieces) < 10 else []
    mixed = [("".join(pieces) * size)[:size]]
    return [*texts, *heads, *(text + "\n!" for text in texts), *mixed]


def _grows_faster(pattern: re.Pattern[str], pieces: tuple[str, ...], *, searches: bool = True) -> list[str]:
    """Return the texts whose steps grow faster than their length, by their beginning."""
    counts: list[list[int]] = []
    for size in SIZES:
        row: list[int] = []
        for text in _texts(pieces, size):
            counted = CountedPattern(pattern, MOST * len(text) + 1000)
            try:
                counted.sub(text) if searches else counted.fullmatch(text)
            except TooManySteps:
                return [f"{text[:20]!r}…: more than {MOST} steps a character"]
            row.append(counted.steps)
        counts.append(row)
    shown = _texts(pieces, SIZES[0])
    return [
        f"{shown[at][:20]!r}…: {[row[at] for row in counts]}"
        for at in range(len(shown))
        if any(later[at] > LINEAR * former[at] + 1000 for former, later in pairwise(counts))
    ]


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_a_pattern_takes_steps_in_proportion_to_the_text(name: str) -> None:
    module, _, constant = name.rpartition(".")
    pattern = getattr(importlib.import_module(module), constant)
    assert _grows_faster(pattern, PATTERNS[name], searches=name not in ANCHORED) == []


@pytest.mark.parametrize("pattern", sorted(INLINE))
def test_a_pattern_within_a_line_does_so_too(pattern: str) -> None:
    assert _grows_faster(re.compile(pattern), INLINE[pattern]) == []


@pytest.mark.parametrize("also", [(), ("tax_number", "a")])
def test_what_finds_secret_keys_does_so_too(also: tuple[str, ...]) -> None:
    pattern = secret_text._assignment(frozenset(also))
    units = ("token", "token ", "token\\", "token'", "passwd-", "pin", "api ", "TypedValue(type='", "=", "a")
    assert _grows_faster(pattern, units) == []


@pytest.mark.parametrize("bad", [r"(?:a+)+b", r"a*a*b", r"eyJ[\w-]{8,}\.[\w-]+", r"\s+$"])
def test_the_count_finds_what_grows_faster(bad: str) -> None:
    assert _grows_faster(re.compile(bad), ("a", " ", "eyJ")) != []


def test_the_count_agrees_with_re_on_what_matches() -> None:
    texts = [
        "a-1 #2-#3",
        "eyJaaaaaaaaa.bbb.c eyJ",
        "bearer abc.def12 x",
        "'a' «b» \"c\"",
        '"a\\"b", c',
        "wag_a1_00ff00ff00",
    ]
    for name in PATTERNS:
        module, _, constant = name.rpartition(".")
        pattern = getattr(importlib.import_module(module), constant)
        for text in texts:
            assert CountedPattern(pattern).sub(text) == len([*_matches(pattern, text)]), (name, text)
            assert CountedPattern(pattern).fullmatch(text) is (pattern.fullmatch(text) is not None), (name, text)


def _matches(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    found, at = [], 0
    while at <= len(text):
        match = pattern.match(text, at)
        if match is not None:
            found.append(match)
        at = at + 1 if match is None or match.end() == at else match.end()
    return found


def test_every_pattern_is_listed() -> None:
    found: set[str] = set()
    inline: set[str] = set()
    for path in sorted([*(ROOT / "bridge").rglob("*.py"), *(ROOT / "web").rglob("*.py")]):
        name = path.relative_to(ROOT).as_posix()
        if name in OURS:
            continue
        tree = ast.parse(path.read_text())
        module = name.removesuffix(".py").replace("/", ".")
        compiled = {
            id(statement.value): f"{module}.{statement.target.id}"
            for statement in tree.body
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
        }
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re.")):
                continue
            if node.func.attr == "escape":  # type: ignore[attr-defined]  # it is `re.` something
                continue
            if id(node) in compiled:
                found.add(compiled[id(node)])
            else:
                inline.add(f"{module}: {ast.unparse(node.args[0])}")
    assert found == set(PATTERNS)
    assert inline == {
        "bridge.domain.secret_text: f'{assigned}|{variable}'",  # `_assignment`
        "web.dashboard.topic_names: " + repr(r"\\(.)"),
        "web.dashboard.topic_names: " + repr(r'[^\s,;"\\]+'),
        "web.dashboard.topic_names: " + repr(r'(["\\])'),
        "web.components.page_urls: special",  # one character
        "web.components.page_urls: " + repr(r"~([0-9A-F]{2})"),
        "web.dashboard.preview: " + ast.unparse(ast.parse(r'''r"[\s.,']"''', mode="eval")),
        "web.dashboard.preview: " + repr(r"[0-9]{1,9}"),
    }


@pytest.mark.parametrize(
    "unit",
    [
        "://a:", "://", "@://a", "token", "token:", "eyJ", "eyJ.", "input_value=", "bearer ", "password='", "{[(",
        "\\", "token:{\\", "token:'\\\"", 'token:\\"\\\'', "<password>", "<token></", "--password ", "--token '",
        "mysql -p", "mysql -u ", "pin", "cookie:\"", "\\'", "pin:",
    ],
)  # fmt: skip
def test_masking_looks_at_each_character_a_bounded_number_of_times(monkeypatch: pytest.MonkeyPatch, unit: str) -> None:
    looked = 0

    class Watched:
        """Counts how many characters a search passes; that each costs the same is proven above."""

        def __init__(self, pattern: re.Pattern[str]) -> None:
            self._pattern = pattern

        def search(self, text: str, at: int = 0, end: int | None = None) -> re.Match[str] | None:
            found = self._pattern.search(text, at, len(text) if end is None else end)
            return self._count(text, at, end, found)

        def match(self, text: str, at: int = 0, end: int | None = None) -> re.Match[str] | None:
            found = self._pattern.match(text, at, len(text) if end is None else end)
            return found if found is None else self._count(text, at, end, found)

        def sub(self, new: object, text: str) -> str:
            self._count(text, 0, None, None)
            return self._pattern.sub(new, text)  # type: ignore[call-overload,no-any-return]

        @staticmethod
        def _count(text: str, at: int, end: int | None, found: re.Match[str] | None) -> re.Match[str] | None:
            nonlocal looked
            looked += (len(text) if end is None else end) - at if found is None else found.end() - at
            return found

    for name, value in vars(secret_text).copy().items():
        if isinstance(value, re.Pattern):
            monkeypatch.setattr(secret_text, name, Watched(value))
    pattern = Watched(secret_text._assignment(frozenset()))
    monkeypatch.setattr(secret_text, "_assignment", lambda _also: pattern)
    for text in (unit * (20_000 // len(unit)), "token:'" + unit * (20_000 // len(unit))):
        looked = 0
        mask_text(text)
        assert 0 < looked + len(text) < 40 * len(text)
