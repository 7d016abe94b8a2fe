"""A listing's filter, parsed from the query to typed values: nothing else of a query ever reaches the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, TypeVar

from litestar.exceptions import ValidationException
from litestar.params import QueryParameter

from bridge.domain.messages import Message, message
from bridge.domain.task import Source, State
from bridge.ports.reader import TaskFilter
from bridge.search.moments import read_instant

MAX_CHOICES = 50

Choice = TypeVar("Choice", bound=StrEnum)


def query_error(name: str, why: Message, *, where: str = "query", position: int | None = None) -> ValidationException:
    """Return the error (400) that says what is wrong with the parameter `name`, and at which character of it."""
    problem = {"key": name, "source": where, "message": why, "position": position}
    return ValidationException(detail=message("request.fields"), extra=[problem])


def choice_error(name: str, choices: Iterable[str]) -> ValidationException:
    """Return the error (400) that says what the parameter `name` may be."""
    return query_error(name, message("parameter.choice", choices=", ".join(choices)))


def read_choice(name: str, text: str, choices: type[Choice]) -> Choice:
    """Return the member that a parameter names; raises `ValidationException`, whose message names them all."""
    try:
        return choices(text)
    except ValueError:
        raise choice_error(name, choices) from None


def given_filter(
    *,
    status: Annotated[
        Sequence[State],
        QueryParameter(max_items=MAX_CHOICES, description="Only tasks in this state; repeat it to name several."),
    ] = (),
    topic: Annotated[
        Sequence[str],
        QueryParameter(max_items=MAX_CHOICES, description="Only tasks of this topic; repeat it to name several."),
    ] = (),
    source: Annotated[Source | None, QueryParameter(description="Only tasks that came this way.")] = None,
    business_key: Annotated[
        str | None, QueryParameter(max_length=255, description="Exactly this business key.")
    ] = None,
    process_instance_id: Annotated[
        str | None, QueryParameter(max_length=64, description="Only tasks of this process instance.")
    ] = None,
    since: Annotated[
        str | None,
        QueryParameter(
            description="Created at this moment or later: ISO 8601 with its offset.",
            schema_extra={"format": "date-time"},
        ),
    ] = None,
    until: Annotated[
        str | None,
        QueryParameter(
            description="Created before this moment: ISO 8601 with its offset.", schema_extra={"format": "date-time"}
        ),
    ] = None,
) -> TaskFilter:
    """Parse the filter of a listing to typed values; raises `ValidationException` for one that is no time in UTC."""
    return TaskFilter(
        states=tuple(status),
        topics=tuple(topic),
        source=source,
        business_key=business_key,
        process_instance_id=process_instance_id,
        since=_moment("since", since),
        until=_moment("until", until),
    )


def _moment(name: str, text: str | None) -> datetime | None:
    """Return the moment that a parameter names. Litestar would take a number for seconds since 1970, too."""
    if text is None:
        return None
    moment = read_instant(text)
    if moment is None and read_instant(text, UTC) is not None:
        raise query_error(name, message("parameter.offset"))
    if moment is None:
        raise query_error(name, message("parameter.moment"))
    return moment
