"""Forms, read to plain text: nothing but named fields of bounded length gets any further."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from litestar import Request
from litestar.enums import RequestEncodingType
from litestar.exceptions import ValidationException

from web.security import FORM_FIELD

MAX_NAME_SHOWN = 64


async def read_form(request: Request[Any, Any, Any], fields: Mapping[str, int]) -> dict[str, str]:
    """Return the form's fields, those that are left out as empty; `fields` has their names and greatest lengths.

    Raises `ValidationException` (400) for an unknown, repeated or too long field, and for what is no form.
    """
    content_type, _ = request.content_type
    if content_type != RequestEncodingType.URL_ENCODED:
        raise ValidationException("The body must be a form: send it as application/x-www-form-urlencoded.")
    form = await request.form()
    known = {**fields, FORM_FIELD: 64}
    problems = []
    for name, times in Counter(name for name, _ in form.multi_items()).items():
        value = form[name]
        if name not in known:
            problems.append((name, f"unknown field; known here: {', '.join(sorted(fields))}"))
        elif times > 1 or not isinstance(value, str):
            problems.append((name, "may be given only once, as text"))
        elif len(value) > known[name]:
            problems.append((name, f"has more than {known[name]} characters"))
    if problems:
        raise ValidationException(
            "the form has fields that can't be used",
            extra=[{"key": name[:MAX_NAME_SHOWN], "source": "body", "message": why} for name, why in problems],
        )
    return {name: str(form.get(name, "")) for name in fields}
