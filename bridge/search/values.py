"""How the values of each kind of field are written, and read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Final

from bridge.domain.messages import Message, message
from bridge.domain.task import UNREADABLE, Source, State
from bridge.search.moments import read_stored_instant
from bridge.search.query import KINDS, Compare, Field, Kind, Node, Operator, all_of, among

ALIASES: Final[Mapping[str, Field]] = {
    **{field.value: field for field in Field},
    "status": Field.STATE,
    "exception": Field.ERROR,
    "fingerprint": Field.FINGERPRINT,
    "business_key": Field.KEY,
    "process_definition_key": Field.PROCESS,
    "process_instance_id": Field.INSTANCE,
    "worker_id": Field.WORKER,
}
CHOICES: Final[Mapping[Field, tuple[str, ...]]] = {
    Field.STATE: (*(state.value for state in State), UNREADABLE),
    Field.SOURCE: tuple(source.value for source in Source),
}

_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SPAN: Final = re.compile(r"([0-9]{1,7})(s|m|h|d)")
_UNITS: Final[Mapping[str, timedelta]] = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
_DAY_LONG: Final = timedelta(days=1)
_LONGEST: Final = timedelta(days=36_500)
"""No task is older, and so long ago is still within the calendar."""


class ValueFault(ValueError):
    """A value that the field can't have; `hint` is what could be meant."""

    def __init__(self, said: Message, hint: Message | None = None) -> None:
        super().__init__(said)
        self.message = said
        self.hint = hint


def nearest(name: str, names: Sequence[str]) -> str | None:
    """Return the known name that is most like the given one, if one is."""
    found = get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    return found[0] if found else None


def equal(field: Field, texts: Sequence[str]) -> Node:
    """Return the query for a field with one of the values written so. Raises `ValueFault`."""
    match KINDS[field]:
        case Kind.TEXT:
            return among(field, texts)
        case Kind.CHOICE:
            return among(field, [_choice(field, text) for text in texts])
        case Kind.NUMBER:
            return among(field, [_number(field, text) for text in texts])
        case Kind.MOMENT:
            if len(texts) > 1:
                raise ValueFault(message("query.one_day", field=field), Message(f"{field}:>={texts[0]}"))
            return _on(field, texts[0])
        case Kind.SPAN:
            raise ValueFault(message("query.comparison", field=field), Message(f"{field}:>5m"))


def compared(field: Field, operator: Operator, text: str) -> Compare:
    """Return the query for a field that compares so with the value written. Raises `ValueFault`."""
    match KINDS[field]:
        case Kind.NUMBER:
            return Compare(field, operator, _number(field, text))
        case Kind.MOMENT:
            return Compare(field, operator, _moment(field, text))
        case Kind.SPAN:
            return Compare(field, operator, _span(field, text))
        case Kind.TEXT | Kind.CHOICE:
            said = message("query.not_compared", field=field, operator=operator)
            raise ValueFault(said, Message(f"{field}:{text}"))


def written(value: str | int | datetime | timedelta) -> str:
    """Return a value as it is written in a query, without quotes."""
    match value:
        case datetime():
            if value == datetime.combine(value.date(), datetime.min.time(), UTC):
                return value.date().isoformat()
            return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
        case timedelta():
            unit = next(unit for unit, long in _UNITS.items() if not value % long)
            return f"{value // _UNITS[unit]}{unit}"
        case _:
            return str(value)


def _choice(field: Field, text: str) -> str:
    choices = CHOICES[field]
    if text.lower() not in choices:
        near = nearest(text, choices)
        said = message("query.choice", value=repr(text), field=field, choices=", ".join(choices))
        raise ValueFault(said, None if near is None else Message(near))
    return text.lower()


def _number(field: Field, text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueFault(message("query.number", field=field, value=repr(text)), Message(f"{field}:>=3"))
    return int(text)


def _moment(field: Field, text: str) -> datetime:
    moment = read_stored_instant(text, UTC)
    if moment is None:
        hint = message("query.hint.either", one=f"{field}:>2026-01-31", other=f"{field}:>2026-01-31T08:00:00Z")
        raise ValueFault(message("query.moment", field=field, value=repr(text)), hint)
    return moment


def _span(field: Field, text: str) -> timedelta:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueFault(message("query.span", field=field, value=repr(text)), Message(f"{field}:>5m"))
    span = int(found[1]) * _UNITS[found[2]]
    if span > _LONGEST:
        said = message("query.span_length", field=field, most=_LONGEST.days, value=repr(text))
        raise ValueFault(said, Message(f"{field}:>{_LONGEST.days}d"))
    return span


def _on(field: Field, text: str) -> Node:
    """Return the query for a day, or for exactly a moment."""
    moment = _moment(field, text)
    if not _DAY.fullmatch(text):
        return all_of([Compare(field, Operator.AT_LEAST, moment), Compare(field, Operator.AT_MOST, moment)])
    try:
        following = moment + _DAY_LONG
    except OverflowError:
        raise ValueFault(message("query.last_day", field=field, value=repr(text))) from None
    return all_of([Compare(field, Operator.AT_LEAST, moment), Compare(field, Operator.LESS, following)])
