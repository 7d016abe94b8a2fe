"""A backtracking matcher that counts its steps, of the patterns that `re` has parsed.

`re` itself tells nobody how often it went back. This one takes the same ways in the same order, without the shortcuts
that make `re` faster by a constant; so what takes it a number of steps that grows as the text's length does, takes `re`
a time that grows no faster, on any machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from re import _constants as ops  # type: ignore[attr-defined]  # the parsed form has no public name
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

Items = list[tuple[Any, Any]]


class TooManySteps(AssertionError):
    """The bound of steps was reached; nothing is waited for beyond it."""


class CountedPattern:
    """A compiled pattern whose searches are counted: `steps` is how many characters and places were tried."""

    def __init__(self, pattern: re.Pattern[str], most: int = 1_000_000) -> None:
        parsed = parser.parse(pattern.pattern, pattern.flags)
        self._items: Items = list(parsed)
        self._ignore_case = bool(pattern.flags & re.IGNORECASE)
        self._dot_all = bool(pattern.flags & re.DOTALL)
        self._most = most
        self.steps = 0

    def _count(self) -> None:
        self.steps += 1
        if self.steps > self._most:
            raise TooManySteps(f"more than {self._most} steps")

    def sub(self, text: str) -> int:
        """Look for every match, as `sub`, `findall` and `split` do; return how many there are."""
        at = found = 0
        while at <= len(text):
            end = next(self._ends(self._items, 0, text, at), None)
            found += end is not None
            at = at + 1 if end is None or end == at else end
        return found

    def fullmatch(self, text: str) -> bool:
        """Tell whether the whole text is a match."""
        return any(end == len(text) for end in self._ends(self._items, 0, text, 0))

    def _ends(self, items: Items, index: int, text: str, at: int) -> Iterator[int]:
        """Yield where the items from `index` on may end, in the order in which they are tried."""
        self._count()
        if index == len(items):
            yield at
            return
        op, value = items[index]
        for end in self._item(op, value, text, at):
            yield from self._ends(items, index + 1, text, end)

    def _item(self, op: Any, value: Any, text: str, at: int) -> Iterator[int]:
        self._count()
        match op:
            case ops.LITERAL | ops.NOT_LITERAL | ops.IN | ops.ANY:
                if at < len(text) and self._fits(op, value, text[at]):
                    yield at + 1
            case ops.BRANCH:
                for branch in value[1]:
                    yield from self._ends(list(branch), 0, text, at)
            case ops.SUBPATTERN:
                yield from self._ends(list(value[3]), 0, text, at)
            case ops.ATOMIC_GROUP:
                yield from self._first(self._ends(list(value), 0, text, at))
            case ops.MAX_REPEAT | ops.POSSESSIVE_REPEAT:
                low, high, inner = value
                ends = self._repeated(low, high, list(inner), text, at)
                yield from self._first(ends) if op is ops.POSSESSIVE_REPEAT else ends
            case ops.MIN_REPEAT:
                raise NotImplementedError("a lazy repetition: say what it may not take instead")
            case ops.ASSERT | ops.ASSERT_NOT:
                if self._looks(value, text, at) is (op is ops.ASSERT):
                    yield at
            case ops.AT:
                if self._is_at(value, text, at):
                    yield at
            case _:
                raise NotImplementedError(f"{op} in a pattern over foreign text")

    def _repeated(self, low: int, high: int, inner: Items, text: str, at: int) -> Iterator[int]:
        ways = [(at, self._ends(inner, 0, text, at))]
        while ways:
            here, more = ways[-1]
            end = next(more, None) if len(ways) - 1 < high else None
            if end is not None and (end != here or len(ways) <= low):
                ways.append((end, self._ends(inner, 0, text, end)))
                continue
            ways.pop()
            if len(ways) >= low:
                yield here

    @staticmethod
    def _first(ends: Iterator[int]) -> Iterator[int]:
        first = next(ends, None)
        if first is not None:
            yield first

    def _looks(self, value: Any, text: str, at: int) -> bool:
        direction, inner = value
        start = at if direction > 0 else at - inner.getwidth()[0]
        if start < 0:
            return False
        ends = self._ends(list(inner), 0, text, start)
        return any(direction > 0 or end == at for end in ends)

    def _is_at(self, where: Any, text: str, at: int) -> bool:
        match where:
            case ops.AT_BEGINNING | ops.AT_BEGINNING_STRING:
                return at == 0
            case ops.AT_END:
                return at == len(text) or text[at:] == "\n"
            case ops.AT_END_STRING:
                return at == len(text)
            case ops.AT_BOUNDARY:
                before, after = text[at - 1 : at] if at else "", text[at : at + 1]
                return _is_word(before) is not _is_word(after)
            case _:
                raise NotImplementedError(f"{where} in a pattern over foreign text")

    def _fits(self, op: Any, value: Any, sign: str) -> bool:
        if op is ops.ANY:
            return self._dot_all or sign != "\n"
        signs = {sign, sign.lower(), sign.upper()} if self._ignore_case else {sign}
        if op is ops.IN:
            negated = value[0] == (ops.NEGATE, None)
            return any(_in(value, each) for each in signs) is not negated
        return any(ord(each) == value for each in signs if len(each) == 1) is (op is ops.LITERAL)


def _is_word(sign: str) -> bool:
    return bool(sign) and (sign.isalnum() or sign == "_")


_CATEGORIES: dict[Any, Callable[[str], bool]] = {
    ops.CATEGORY_SPACE: str.isspace,
    ops.CATEGORY_NOT_SPACE: lambda sign: not sign.isspace(),
    ops.CATEGORY_DIGIT: str.isdecimal,
    ops.CATEGORY_NOT_DIGIT: lambda sign: not sign.isdecimal(),
    ops.CATEGORY_WORD: _is_word,
    ops.CATEGORY_NOT_WORD: lambda sign: not _is_word(sign),
}


def _in(members: Items, sign: str) -> bool:
    code = ord(sign) if len(sign) == 1 else -1
    for op, value in members:
        match op:
            case ops.LITERAL if code == value:
                return True
            case ops.RANGE if value[0] <= code <= value[1]:
                return True
            case ops.CATEGORY if _CATEGORIES[value](sign):
                return True
    return False
