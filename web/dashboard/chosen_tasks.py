"""The tasks chosen for a bulk operation: by their ids, or by a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from litestar import Request
from litestar.exceptions import ValidationException

from bridge.domain.access import Principal
from bridge.domain.messages import message
from bridge.search.grammar import MAX_LENGTH, parse
from bridge.search.query import Among, Field, Query, all_of, among
from web.components.forms import read_form, read_repeated

IDS: Final = ("ids", "id")
"""Both names are read: a list's boxes may have either."""
MOST_IDS: Final = 2000
MOST_IN_ADDRESS: Final = 100
"""So many ids still fit into an address, which can be passed on."""

_ID_LENGTH: Final = 255
_FIELDS: Final = {"q": MAX_LENGTH, "action": 32}


@dataclass(frozen=True, slots=True)
class Chosen:
    """Ids, or where there are none, a search; nothing is chosen by an empty one."""

    ids: tuple[str, ...] = ()
    q: str = ""

    def __bool__(self) -> bool:
        return bool(self.ids or self.q)

    def wanted(self, principal: Principal) -> Query | Sequence[str]:
        """Return the search, bound to the topics of `principal`. Raises `QueryError`."""
        if principal.topics is None:
            return self.ids or parse(self.q)
        query = Among(Field.ID, self.ids) if self.ids else parse(self.q)
        return all_of([query, among(Field.TOPIC, sorted(principal.topics))])


def chosen_by_address(request: Request[Any, Any, Any]) -> Chosen:
    """Return the choice in an address."""
    params = request.query_params
    ids = [value for name in IDS for value in params.getall(name, [])]
    return _chosen(ids, params.get("q", ""))


async def chosen_by_form(request: Request[Any, Any, Any], **others: int) -> tuple[Chosen, dict[str, str]]:
    """Return the choice in a form, and its other fields, of which `others` has the greatest lengths."""
    fields = await read_form(request, {**_FIELDS, **others}, dict.fromkeys(IDS, _ID_LENGTH))
    ids = [value for name in IDS for value in await read_repeated(request, name)]
    return _chosen(ids, fields["q"]), fields


def _chosen(ids: Sequence[str], q: str) -> Chosen:
    wanted = tuple(dict.fromkeys(value.strip() for value in ids if value.strip()))
    if len(wanted) > MOST_IDS or any(len(value) > _ID_LENGTH or "\0" in value for value in wanted):
        problem = {"key": "ids", "source": "query", "message": message("field.ids", count=MOST_IDS)}
        raise ValidationException(detail=message("request.fields"), extra=[problem])
    return Chosen(wanted, "" if wanted else q.strip())
