"""Reads a query, and writes one.

A space joins terms that must all hold, `OR` terms of which one must; `-` negates, parentheses group. A term is a word,
`field:value`, `field:a,b` (one of them), or `field:>=value`. `var.NAME:value` asks for a variable. Values and words
with spaces or signs stand in double quotes, in which `\\` escapes. Moments without an offset are UTC; a day stands for
its first moment in a comparison, and for the whole day without one.
"""

from __future__ import annotations

import re
from typing import Final

from bridge.domain.messages import Message, message
from bridge.search.query import (
    EVERYTHING,
    All,
    Among,
    Compare,
    Either,
    Field,
    Node,
    Not,
    Operator,
    QueryError,
    Variable,
    Word,
    all_of,
    either,
    negated,
)
from bridge.search.values import ALIASES, ValueFault, compared, equal, nearest, written

MAX_LENGTH: Final = 2000
MAX_DEPTH: Final = 10
MAX_TERMS: Final = 50
MAX_VALUES: Final = 100

_SPACE: Final = re.compile(r"\s*")
_BARE: Final = re.compile(r'[^\s()"]+')
_NAME: Final = re.compile(r'[^\s()":,]+')
_VALUE: Final = re.compile(r'[^\s()",]+')
_OPERATOR: Final = re.compile(r"<=|>=|<|>")
_SAFE_WORD: Final = re.compile(r'[^\s()":\\-][^\s()":]*')
_SAFE_VALUE: Final = re.compile(r'[^\s()",<>][^\s()",]*')
_SAFE_NAME: Final = re.compile(r'[^\s()":,]+')
_QUOTE_OR: Final = message("query.hint.search", quoted='"OR"')
_RESERVED: Final = frozenset({"OR", "AND"})


def parse(text: str) -> Node:
    """Return what the text asks for; an empty one asks for every task. Raises `QueryError`."""
    if len(text) > MAX_LENGTH:
        raise QueryError(message("query.too_long", count=MAX_LENGTH), MAX_LENGTH, len(text))
    found = next((place for place, sign in enumerate(text) if sign == "\0" or "\ud800" <= sign <= "\udfff"), None)
    if found is not None:
        raise QueryError(message("query.character"), found, found + 1)
    reader = _Reader(text)
    query = reader.read_either(0)
    if not reader.at_end():
        raise QueryError(message("query.no_opening"), reader.place, reader.place + 1)
    return query


def to_text(query: Node) -> str:  # noqa: PLR0911 - one for each kind of term
    """Return the query as text that `parse` reads as the same query."""
    match query:
        case All(terms):
            return " ".join(_grouped(term, Either) for term in terms)
        case Either(terms):
            return " OR ".join(_grouped(term, ()) for term in terms)
        case Not(term):
            return f"-{_grouped(term, (All, Either))}"
        case Word(text):
            return text if _SAFE_WORD.fullmatch(text) and text not in _RESERVED else _quoted(text)
        case Among(field, values):
            return f"{field}:{','.join(_value(written(value)) for value in values)}"
        case Compare(field, operator, value):
            return f"{field}:{operator}{written(value)}"
        case Variable(name, values):
            plain = _SAFE_NAME.fullmatch(name) is not None
            return f"var.{name if plain else _quoted(name)}:{','.join(map(_value, values))}"


def _grouped(term: Node, kinds: type[Node] | tuple[type[Node], ...]) -> str:
    text = to_text(term)
    return f"({text})" if isinstance(term, kinds) else text


def _value(text: str) -> str:
    return text if _SAFE_VALUE.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class _Reader:
    """Goes through the text from left to right."""

    def __init__(self, text: str) -> None:
        self.place = 0
        self._text = text
        self._terms = 0

    def at_end(self) -> bool:
        self._skip(_SPACE)
        return self.place >= len(self._text)

    def read_either(self, depth: int) -> Node:
        terms = [self._read_all(depth)]
        while self._take_word("OR"):
            place = self.place
            if terms[-1] == EVERYTHING:
                raise QueryError(message("query.before_or"), place - 2, place, _QUOTE_OR)
            terms.append(self._read_all(depth))
            if terms[-1] == EVERYTHING:
                raise QueryError(message("query.after_or"), place - 2, place, _QUOTE_OR)
        return either(terms)

    def _read_all(self, depth: int) -> Node:
        terms: list[Node] = []
        while not self.at_end() and self._sign() != ")" and not self._is_word("OR"):
            if self._take_word("AND"):
                continue
            terms.append(self._read_term(depth))
        return all_of(terms) if terms else EVERYTHING

    def _read_term(self, depth: int) -> Node:
        start = self.place
        if depth > MAX_DEPTH:
            raise QueryError(message("query.too_deep", count=MAX_DEPTH), start, start + 1)
        match self._sign():
            case "-":
                self.place += 1
                if self.place >= len(self._text) or self._text[self.place].isspace() or self._sign() == ")":
                    hint = message("query.hint.text", quoted='"-"')
                    raise QueryError(message("query.negation"), start, start + 1, hint)
                return negated(self._read_term(depth + 1))
            case "(":
                return self._read_group(depth, start)
            case _:
                return self._read_leaf(start)

    def _read_group(self, depth: int, start: int) -> Node:
        self.place += 1
        inner = self.read_either(depth + 1)
        if self.at_end():
            raise QueryError(message("query.no_closing"), start, start + 1, message("query.hint.add", sign=")"))
        self.place += 1
        if inner == EVERYTHING:
            raise QueryError(message("query.empty_group"), start, self.place)
        return inner

    def _read_leaf(self, start: int) -> Node:
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise QueryError(message("query.too_many_terms", count=MAX_TERMS), start, len(self._text))
        if self._sign() == '"':
            return self._word(self._read_quoted(), start)
        name = _NAME.match(self._text, self.place)
        end = start if name is None else name.end()
        if name is not None and name[0].lower() == "var." and self._text[end : end + 1] == '"':
            self.place = end
            return self._read_variable(self._read_quoted(), start)
        if name is None or self._text[end : end + 1] != ":":
            bare = _BARE.match(self._text, self.place)
            if bare is None or ":" in bare[0]:
                hint = message("query.hint.text", quoted='":"')
                raise QueryError(message("query.no_field"), start, start + 1, hint)
            self.place = bare.end()
            return self._word(bare[0], start)
        self.place = end
        if name[0].lower().startswith("var."):
            return self._read_variable(name[0][len("var.") :], start)
        return self._read_field(name[0], start)

    def _word(self, text: str, start: int) -> Word:
        if not text:
            raise QueryError(message("query.empty_word"), start, self.place)
        return Word(text)

    def _read_variable(self, name: str, start: int) -> Variable:
        if not name:
            raise QueryError(message("query.variable_name"), start, self.place, Message("var.order.id:123"))
        if self._sign() != ":":
            raise QueryError(message("query.variable_value"), start, self.place, Message(f"var.{name}:123"))
        self.place += 1
        return Variable(name, tuple(dict.fromkeys(self._read_values(f"var.{name}", start))))

    def _read_field(self, name: str, start: int) -> Node:
        field = ALIASES.get(name.lower())
        if field is None:
            known = nearest(name, tuple(ALIASES))
            quoted = f'"{name}:…"'
            hint = message("query.hint.quotes", quoted=quoted)
            if known is not None:
                hint = message("query.hint.near", name=known, quoted=quoted)
            raise QueryError(message("query.unknown_field", name=repr(name)), start, self.place, hint)
        self.place += 1
        begin = self.place
        operator = _OPERATOR.match(self._text, self.place)
        try:
            if operator is None:
                return equal(field, self._read_values(field, start))
            self.place = operator.end()
            values = self._read_values(field, start)
            if len(values) > 1:
                raise ValueFault(message("query.one_value"))
            return compared(field, Operator(operator[0]), values[0])
        except ValueFault as fault:
            raise QueryError(fault.message, begin, self.place, fault.hint) from None

    def _read_values(self, name: str | Field, start: int) -> list[str]:
        values = [self._read_value(name, start)]
        while self._sign() == ",":
            self.place += 1
            values.append(self._read_value(name, start))
            if len(values) > MAX_VALUES:
                raise QueryError(message("query.too_many_values", field=name, count=MAX_VALUES), start, self.place)
        return values

    def _read_value(self, name: str | Field, start: int) -> str:
        if self._sign() == '"':
            return self._read_quoted()
        found = _VALUE.match(self._text, self.place)
        if found is None:
            hint = message("query.hint.empty", written=f'{name}:""')
            raise QueryError(message("query.value", field=name), start, self.place, hint)
        self.place = found.end()
        return found[0]

    def _read_quoted(self) -> str:
        start = self.place
        self.place += 1
        signs: list[str] = []
        while self.place < len(self._text):
            sign = self._text[self.place]
            self.place += 1
            if sign == '"':
                return "".join(signs)
            if sign == "\\" and self.place < len(self._text):
                sign = self._text[self.place]
                self.place += 1
            signs.append(sign)
        raise QueryError(message("query.open_quote"), start, start + 1, message("query.hint.add", sign='"'))

    def _sign(self) -> str:
        return self._text[self.place : self.place + 1]

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self.place)
        if found is not None:
            self.place = found.end()

    def _is_word(self, word: str) -> bool:
        end = self.place + len(word)
        after = self._text[end : end + 1]
        return self._text.startswith(word, self.place) and (not after or after.isspace() or after in "()")

    def _take_word(self, word: str) -> bool:
        if self.at_end() or not self._is_word(word):
            return False
        self.place += len(word)
        return True
