"""What a query means, told of one task: the store in memory goes by this, and MongoDB's must agree with it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from bridge.domain.task import UNREADABLE, Task
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
    scalars,
)

_COMPARE: Final[Mapping[Operator, Callable[[Any, Any], bool]]] = {
    Operator.LESS: operator.lt,
    Operator.AT_MOST: operator.le,
    Operator.MORE: operator.gt,
    Operator.AT_LEAST: operator.ge,
}
_TURNED: Final[Mapping[Operator, Operator]] = {
    Operator.LESS: Operator.MORE,
    Operator.AT_MOST: Operator.AT_LEAST,
    Operator.MORE: Operator.LESS,
    Operator.AT_LEAST: Operator.AT_MOST,
}


def since(compare: Compare, now: datetime) -> tuple[Operator, datetime]:
    """Return which moments of a last change a comparison with a length of time from then to now allows."""
    assert isinstance(compare.value, timedelta)
    return _TURNED[compare.operator], now - compare.value


def matches(query: Node, task: Task, now: datetime, *, aside: bool = False) -> bool:  # noqa: PLR0911 - one for each kind of term
    """Return whether the task is what the query asks for; `aside`: its document was set aside as unreadable."""
    match query:
        case All(terms):
            return all(matches(term, task, now, aside=aside) for term in terms)
        case Either(terms):
            return any(matches(term, task, now, aside=aside) for term in terms)
        case Not(term):
            return not matches(term, task, now, aside=aside)
        case Word(text):
            return any((getattr(task, ATTRIBUTES[field]) or "").startswith(text) for field in WORDS)
        case Among(Field.STATE, values) if aside and UNREADABLE in values:
            return True
        case Among(field, values):
            return getattr(task, ATTRIBUTES[field]) in values
        case Compare(Field.WAITING):
            wanted, moment = since(query, now)
            return task.state in WAITS and _COMPARE[wanted](task.updated_at, moment)
        case Compare(field, wanted, value):
            found = getattr(task, ATTRIBUTES[field])
            return found is not None and _COMPARE[wanted](found, value)
        case Variable(name, values):
            sought = [scalar for value in values for scalar in scalars(value)]
            return any(_holds(variables, name, sought) for variables in (task.variables, task.given))


def _holds(variables: Mapping[str, Any] | None, name: str, sought: list[Any]) -> bool:
    found = None if variables is None else variables.get(name)
    # 1 equals True, and is not what was asked for
    return found is not None and any(
        found.value == one and isinstance(found.value, bool) == isinstance(one, bool) for one in sought
    )
