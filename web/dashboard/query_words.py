"""What is wrong with a query, told in the reader's language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from litestar import Request

from bridge.search.query import QueryError
from web.components.page import language_of_reader
from web.i18n.retold import retold
from web.i18n.texts import msg


@dataclass(frozen=True, slots=True)
class Told:
    """A fault of the query: where it is, and what is said of it."""

    message: str
    position: int


_MESSAGES: Final = (
    msg("the query is longer than %(count)s characters"),
    msg("this character can't be searched for"),
    msg("there is no ( for this )"),
    msg("there is nothing before OR"),
    msg("there is nothing after OR"),
    msg("parentheses and negations go deeper than %(count)s"),
    msg("- needs a term right behind it"),
    msg("this ( is never closed"),
    msg("there is nothing between the parentheses"),
    msg("the query has more than %(count)s terms"),
    msg("there is no field before the colon"),
    msg("a word can't be empty"),
    msg("var. needs the name of a variable"),
    msg("a variable needs a value"),
    msg("there is no field %(name)s"),
    msg("a comparison takes one value"),
    msg("%(field)s has more than %(count)s values"),
    msg("%(field)s: needs a value"),
    msg("this quote is never closed"),
    msg("%(field)s takes one day, or a comparison"),
    msg("%(field)s needs a comparison"),
    msg("%(field)s can't be compared by %(operator)s"),
    msg("%(value)s is no %(field)s: it is one of %(choices)s"),
    msg("%(field)s takes whole numbers, not %(value)s"),
    msg("%(field)s takes days and moments, not %(value)s"),
    msg("%(field)s takes a time such as 30s, 5m, 2h or 1d, not %(value)s"),
    msg("%(field)s takes days before the year 9999, not %(value)s"),
)
_HINTS: Final = (
    msg("did you mean %(name)s:? As text it needs quotes: %(quoted)s"),
    msg("As text it needs quotes: %(quoted)s"),
    msg("quote it to search for it: %(quoted)s"),
    msg("quote it as text: %(quoted)s"),
    msg("an empty one is written %(written)s"),
    msg("add %(sign)s"),
    msg("%(one)s or %(other)s"),
)


def told(request: Request[Any, Any, Any], error: QueryError) -> Told:
    """Return what the reader is told."""
    language = language_of_reader(request)
    message = retold(language, error.message, _MESSAGES)
    hint = "" if not error.hint else f" ({retold(language, error.hint, _HINTS)})"
    return Told(f"{message[:1].upper()}{message[1:]}{hint}", error.position)
