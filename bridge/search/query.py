"""What a search asks for: a frozen, typed tree. Nothing in it is ever read as an operator of a database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from bridge.domain.messages import Message
from bridge.domain.task import State


class Field(StrEnum):
    """What of a task can be asked for by name."""

    ID = "id"
    STATE = "state"
    TOPIC = "topic"
    ERROR = "error"
    FINGERPRINT = "fp"
    KEY = "key"
    PROCESS = "process"
    INSTANCE = "instance"
    ACTIVITY = "activity"
    TENANT = "tenant"
    WORKER = "worker"
    REPLICA = "replica"
    SOURCE = "source"
    OPERATION = "operation"
    PRIORITY = "priority"
    ATTEMPTS = "attempts"
    RETRIES = "retries"
    CREATED = "created"
    UPDATED = "updated"
    FINISHED = "finished"
    WAITING = "waiting"


class Kind(StrEnum):
    """What values a field has: a choice of a few words, text, numbers, moments, or a length of time."""

    CHOICE = "choice"
    TEXT = "text"
    NUMBER = "number"
    MOMENT = "moment"
    SPAN = "span"


class Operator(StrEnum):
    """How a value is compared."""

    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="


@dataclass(frozen=True, slots=True)
class Word:
    """A bare word: the task's id, its business key or its process instance's id begins with it."""

    text: str


@dataclass(frozen=True, slots=True)
class Among:
    """The field has one of the values."""

    field: Field
    values: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """The field has a value that compares so. Without a value it doesn't."""

    field: Field
    operator: Operator
    value: int | datetime | timedelta


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that the handler is given has one of the values, as text, number or boolean."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The term does not hold."""

    term: Node


@dataclass(frozen=True, slots=True)
class All:
    """Every term holds. Without terms it holds for every task."""

    terms: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of the terms holds."""

    terms: tuple[Node, ...]


Node = Word | Among | Compare | Variable | Not | All | Either
Query = Node

EVERYTHING: Final = All(())

KINDS: Final[Mapping[Field, Kind]] = {
    **dict.fromkeys(Field, Kind.TEXT),
    Field.STATE: Kind.CHOICE,
    Field.SOURCE: Kind.CHOICE,
    **dict.fromkeys((Field.PRIORITY, Field.ATTEMPTS, Field.RETRIES), Kind.NUMBER),
    **dict.fromkeys((Field.CREATED, Field.UPDATED, Field.FINISHED), Kind.MOMENT),
    Field.WAITING: Kind.SPAN,
}

ATTRIBUTES: Final[Mapping[Field, str]] = {
    Field.ID: "id",
    Field.STATE: "state",
    Field.TOPIC: "topic",
    Field.ERROR: "error_type",
    Field.FINGERPRINT: "error_fp",
    Field.KEY: "business_key",
    Field.PROCESS: "process_definition_key",
    Field.INSTANCE: "process_instance_id",
    Field.ACTIVITY: "activity_id",
    Field.TENANT: "tenant_id",
    Field.WORKER: "worker_id",
    Field.REPLICA: "replica",
    Field.SOURCE: "source",
    Field.OPERATION: "operation",
    Field.PRIORITY: "priority",
    Field.ATTEMPTS: "attempts",
    Field.RETRIES: "retries",
    Field.CREATED: "created_at",
    Field.UPDATED: "updated_at",
    Field.FINISHED: "finished_at",
    # a task waits since its last change
    Field.WAITING: "updated_at",
}
"""Which attribute of `Task` a field stands for."""

WORDS: Final = (Field.ID, Field.KEY, Field.INSTANCE)
"""Where a bare word is looked for."""
WAITS: Final = (State.RECEIVED, State.QUEUED, State.RETRYING)
"""The states in which a task waits."""


def all_of(terms: Iterable[Node]) -> Node:
    """Return the query for which every term holds; one within another is merged into it."""
    flat = [part for term in terms for part in (term.terms if isinstance(term, All) else (term,))]
    return flat[0] if len(flat) == 1 else All(tuple(flat))


def either(terms: Iterable[Node]) -> Node:
    """Return the query for which one of the terms holds, at least one of which must be given."""
    flat = [part for term in terms for part in (term.terms if isinstance(term, Either) else (term,))]
    return flat[0] if len(flat) == 1 else Either(tuple(flat))


def negated(term: Node) -> Node:
    """Return the query for which the term does not hold."""
    return term.term if isinstance(term, Not) else Not(term)


def among(field: Field, values: Iterable[str | int]) -> Among:
    """Return the query for a field with one of the values, each named once."""
    return Among(field, tuple(dict.fromkeys(values)))


def conditions(query: Node) -> tuple[Node, ...]:
    """Return the terms that must all hold: what a page shows as chips that can be dropped one by one."""
    return query.terms if isinstance(query, All) else (query,)


def scalars(text: str) -> tuple[str | int | float | bool, ...]:
    """Return what values of a variable are written like this: the text itself, a number, a boolean."""
    found: list[str | int | float | bool] = [text]
    if text in {"true", "false"}:
        found.append(text == "true")
    try:
        number = int(text) if text.isascii() else None
        if number is not None and -(1 << 63) <= number < 1 << 63:
            found.append(number)
    except ValueError:
        try:
            decimal = float(text)
        except ValueError:
            return tuple(found)
        if decimal == decimal and abs(decimal) != float("inf"):  # noqa: PLR0124 - it tells a NaN
            found.append(decimal)
    return tuple(found)


class QueryError(ValueError):
    """A query that can't be read: what is wrong, from which position to which, and what could be meant."""

    def __init__(self, message: Message, position: int, end: int, hint: Message | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.position = position
        self.end = max(end, position)
        self.hint = hint
