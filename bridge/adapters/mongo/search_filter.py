"""Searches as MongoDB's filters. Pure. A value only ever stands behind an operator, so none can be read as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from bridge.adapters.mongo.documents import BEGINNING
from bridge.documents.raw import Raw
from bridge.domain.task import UNREADABLE, State
from bridge.search.match import since
from bridge.search.page import MOMENTS, SORTED_BY, Position, Sort, SortKey
from bridge.search.query import (
    ATTRIBUTES,
    WAITS,
    WORDS,
    All,
    Among,
    Compare,
    Either,
    Field,
    Node,
    Not,
    Operator,
    Variable,
    Word,
    conditions,
    scalars,
)

_OPERATORS: Final[Mapping[Operator, str]] = {
    Operator.LESS: "$lt",
    Operator.AT_MOST: "$lte",
    Operator.MORE: "$gt",
    Operator.AT_LEAST: "$gte",
}
_LAST: Final = "\U0010ffff"
"""The last character: no text that begins with a word comes behind the word and this."""
_EVERY_STATE: Final = tuple(state.value for state in State)


def clauses_of(query: Node, now: datetime) -> list[Raw]:
    """Return the filters that must all match."""
    return [_clause(term, now) for term in conditions(query)]


def joined(clauses: Sequence[Raw]) -> Raw:
    """Return one filter of all clauses."""
    match len(clauses):
        case 0:
            return {}
        case 1:
            return clauses[0]
        case _:
            return {"$and": list(clauses)}


def ordered(query: Node, clauses: Sequence[Raw], sort: Sort) -> list[Raw]:
    """Return the clauses with what they need for an index to give them in order.

    The index of a topic's tasks has their state in front of their last change: with all states named MongoDB merges
    its parts in order, instead of sorting all tasks of the topic. What has not ended isn't in the order of ends.
    """
    match sort.key:
        case SortKey.UPDATED if Field.TOPIC in _named(query):
            return with_states(query, clauses)
        case SortKey.FINISHED:
            return [*clauses, {"finished_at": {"$gt": BEGINNING}}]
        case _:
            return list(clauses)


def with_states(query: Node, clauses: Sequence[Raw]) -> list[Raw]:
    """Return the clauses with all states named where the query names none, for an index that has the state in it."""
    return [*clauses] if Field.STATE in _named(query) else [*clauses, {"state": {"$in": list(_EVERY_STATE)}}]


def _named(query: Node) -> frozenset[Field]:
    return frozenset(term.field for term in conditions(query) if isinstance(term, Among))


def order_of(sort: Sort) -> list[tuple[str, int]]:
    """Return the order as MongoDB takes it."""
    way = -1 if sort.descending else 1
    return [(SORTED_BY[sort.key], way), ("_id", way)]


def behind(sort: Sort, position: Position) -> tuple[list[Raw], list[Raw]]:
    """Return what finds the tasks behind a position: first those with the same value, then all others.

    As two queries, since each then begins right there in the index; as one `$or` all with the same value are read.
    """
    name, way = SORTED_BY[sort.key], "$lt" if sort.descending else "$gt"
    return [{name: {"$eq": position.value}}, {"_id": {way: position.task_id}}], [{name: {way: position.value}}]


def windows(query: Node, sort: Sort, begin: datetime, spans: Sequence[timedelta]) -> list[list[Raw]]:
    """Return bounds that cut the order into pieces, the latest first: each reaches further back than the one before.

    A page is mostly in the first, so that a server that has to sort sorts few; no piece is read twice. What few tasks
    have is looked for everywhere at once.
    """
    if not sort.descending or sort.key not in MOMENTS or any(_is_rare(term) for term in conditions(query)):
        return [[]]
    edges = [begin - span for span in spans]
    tests = [{"$gte": edges[0]}, *({"$gte": low, "$lt": high} for high, low in pairwise(edges)), {"$lt": edges[-1]}]
    return [[{SORTED_BY[sort.key]: test}] for test in tests]


def _is_rare(term: Node) -> bool:
    if isinstance(term, Among):
        return term.field in WORDS or (term.field is Field.STATE and UNREADABLE in term.values)
    return isinstance(term, Word | Variable | Either)


def _clause(query: Node, now: datetime) -> Raw:  # noqa: PLR0911 - one for each kind of term
    match query:
        case All(terms):
            # an empty one can't stand within another query, and would be an error in `$and`
            return {"$and": [_clause(term, now) for term in terms]}
        case Either(terms):
            return {"$or": [_clause(term, now) for term in terms]}
        case Not(term):
            return {"$nor": [_clause(term, now)]}
        case Word(text):
            return {"$or": [{_name(field): {"$gte": text, "$lt": text + _LAST}} for field in WORDS]}
        case Among(Field.STATE, values) if UNREADABLE in values:
            others = tuple(value for value in values if value != UNREADABLE)
            marked: Raw = {"unreadable": {"$eq": True}}
            return {"$or": [marked, _clause(Among(Field.STATE, others), now)]} if others else marked
        case Among(field, values):
            return {_name(field): {"$eq": values[0]} if len(values) == 1 else {"$in": list(values)}}
        case Compare():
            return _compared(query, now)
        case Variable(name, values):
            sought = [scalar for value in values for scalar in scalars(value)]
            wanted = {"$elemMatch": {"name": {"$eq": name}, "value": {"$in": sought}}}
            return {"$or": [{"variables": wanted}, {"given": wanted}]}


def _compared(query: Compare, now: datetime) -> Raw:
    if query.field is Field.WAITING:
        operator, moment = since(query, now)
        waits: Any = {"$in": [state.value for state in WAITS]}
        return {"$and": [{"state": waits}, {"updated_at": {_OPERATORS[operator]: moment}}]}
    return {_name(query.field): {_OPERATORS[query.operator]: query.value}}


def _name(field: Field) -> str:
    return "_id" if field is Field.ID else ATTRIBUTES[field]
