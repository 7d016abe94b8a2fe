"""Reads forms to plain text: only named fields of bounded length are passed on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from litestar import Request
from litestar.enums import RequestEncodingType
from litestar.exceptions import ValidationException

from bridge.domain.access import Scope
from bridge.domain.messages import message
from web.auth.guard import needs
from web.auth.security import FORM_FIELD

FORM_BYTES: Final = 16_384
MAX_NAME_SHOWN: Final = 64


def changing(scope: Scope, *, status: int = 303, most: int = FORM_BYTES) -> dict[str, Any]:
    """Return the options of a route that a form is sent to, and that needs `scope`.

    The answer leads on to a page by 303. With another `status` the answer is the result itself: a file, or a secret
    that is shown once. `most` is in bytes.
    """
    return {"opt": needs(scope), "status_code": status, "request_max_body_size": most}


async def read_form(
    request: Request[Any, Any, Any], fields: Mapping[str, int], repeated: Mapping[str, int] | None = None
) -> dict[str, str]:
    """Return the form's fields, those that are left out as empty; `fields` has their names and greatest lengths.

    Those of `repeated` may be given often: `read_repeated` returns them.
    Raises `ValidationException` (400) for an unknown, repeated or too long field, and for a body that is no form.
    """
    content_type, _ = request.content_type
    if content_type != RequestEncodingType.URL_ENCODED:
        raise ValidationException(detail=message("request.form"))
    form = await request.form()
    often = repeated or {}
    known = {**fields, **often, FORM_FIELD: 64}
    problems = []
    for name, times in Counter(name for name, _ in form.multi_items()).items():
        values = form.getall(name)
        if name not in known:
            problems.append((name, message("field.unknown", fields=", ".join(sorted(fields)))))
        elif (times > 1 and name not in often) or not all(isinstance(value, str) for value in values):
            problems.append((name, message("field.repeated")))
        elif any(len(value) > known[name] for value in values):
            problems.append((name, message("field.too_long", count=known[name])))
    if problems:
        raise ValidationException(
            detail=message("request.fields"),
            extra=[{"key": name[:MAX_NAME_SHOWN], "source": "body", "message": why} for name, why in problems],
        )
    return {name: str(form.get(name, "")) for name in fields}


async def read_repeated(request: Request[Any, Any, Any], name: str) -> list[str]:
    """Return all values of a field that may be given often, after `read_form` has looked at the form."""
    form = await request.form()
    return [str(value) for value in form.getall(name, [])]
