"""A document that this version can't read as a task: as a row of the list, and as a page of its own."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from litestar import Request, Response

from bridge.domain.access import Principal, Scope, may
from bridge.domain.errors import UnknownTask
from bridge.domain.messages import message
from bridge.domain.redaction import MASK, is_secret, mask, mask_start
from bridge.domain.task import UNREADABLE, Task, UnreadableTask
from web.components.page import pages_of, render
from web.dashboard.dependencies import DashboardDependencies

_MOST_SHOWN: Final = 8_000
"""How many characters of a stored field are shown."""
_OURS: Final = frozenset({"tokens", "unreadable"})
"""Internal fields, which are not shown."""


def as_row(found: UnreadableTask) -> Mapping[str, Any]:
    """Return the fields that the list shows, by their names in `Task`; None for an unreadable field."""
    known = {**dict.fromkeys(Task.__struct_fields__), "attempts": 0, **found.fields}
    return {**known, "id": found.id, "topic": found.topic or "", "state": UNREADABLE}


async def show_unreadable(
    request: Request[Any, Any, Any], principal: Principal, dashboard: DashboardDependencies, found: UnreadableTask
) -> Response[str]:
    """Show the stored fields, with secrets masked; raise `UnknownTask` for a topic that the reader may not see."""
    if not may(principal, Scope.READ, found.topic):
        raise UnknownTask(message("task.unknown", task=found.id))
    also = dashboard.secrets_of(found.topic or "")
    return render(
        request,
        "unreadable.html",
        task=as_row(found),
        found=found,
        reason=mask_start(found.reason, _MOST_SHOWN, also),
        stored=await pages_of(request).in_thread(request, partial(stored_fields, found.document, also)),
    )


def stored_fields(document: Mapping[str, Any], also: Collection[str]) -> list[tuple[str, str]]:
    """Return the fields of a document as text, by name, with every secret in them masked."""
    return [(name, _text(_masked(name, document[name], also))) for name in sorted(document.keys() - _OURS)]


def _text(value: Any) -> str:
    if isinstance(value, str | datetime):
        text = str(value)
    else:
        text = json.dumps(value, ensure_ascii=False, default=str, indent=2)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]} …"


def _masked(name: str, value: Any, also: Collection[str]) -> Any:
    """Mask a stored value: that of a variable stands under the name beside it, and is masked where it has none."""
    match value:
        case _ if is_secret(name, also):
            return MASK
        case {"name": str(variable), **rest} if _VALUES & rest.keys():
            masked = {key: mask(variable if key in _VALUES else str(key), each, also) for key, each in rest.items()}
            return {"name": variable, **masked}
        case Mapping() if _VALUES & value.keys():
            return MASK
        case Mapping():
            return {str(key): _masked(str(key), each, also) for key, each in value.items()}
        case list():
            return [_masked(name, each, also) for each in value]
        case _:
            return mask(name, value, also)


_VALUES: Final = frozenset({"value", "json_value"})
