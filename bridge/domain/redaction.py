"""Redaction: the one place that recognizes secrets, for logs, pages, exports, the API and spans.

A secret is known by the key that it stands under (`password`, `api_key`, `Set-Cookie` …), in mappings at any depth and
in text that looks like JSON, XML, a Python repr, a header, a query or a command line; or by its own form: the password
within an address (`amqp://user:password@host`), `Bearer …`, a JSON web token, a key of the gateway's own API, and what
pydantic quotes of the input that it refused. In doubt more is masked than needed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from bridge.domain.secret_keys import is_secret
from bridge.domain.secret_text import MASK, mask_start, mask_text
from bridge.domain.task import TypedValue

__all__ = ["DEEPEST", "MASK", "is_secret", "mask", "mask_start", "mask_text"]

DEEPEST: Final = 32
"""Levels of nesting that are looked into; what lies deeper is masked as a whole."""


def mask(key: str | None, value: Any, also: Collection[str] = ()) -> Any:
    """Return `value` with every secret in it replaced by `***`; `value` itself is left as it was.

    `key` is what it stands under, None where it stands under nothing. Looks into mappings, lists, tuples, sets
    (returned as lists), text and process variables, and leaves any other type alone. None and booleans stay.
    """
    return _mask(key, value, also, 0)


def _mask(key: str | None, value: Any, also: Collection[str], depth: int) -> Any:  # noqa: PLR0911 - one case a type
    if value is None or isinstance(value, bool):
        return value
    hidden = depth > DEEPEST or (key is not None and is_secret(key, also))
    match value:
        case TypedValue():
            info = {} if hidden else _mask(None, value.value_info, also, depth + 1)
            return replace(value, value=MASK if hidden else _mask(None, value.value, also, depth + 1), value_info=info)
        case _ if hidden:
            return MASK
        case str():
            return mask_text(value, also)
        case Mapping():
            return {name: _mask(str(name), item, also, depth + 1) for name, item in value.items()}
        case tuple():
            return tuple(_masked_items(value, also, depth + 1))
        case list() | set() | frozenset():
            return list(_masked_items(value, also, depth + 1))
        case _:
            return value


def _masked_items(items: Iterable[Any], also: Collection[str], depth: int) -> Iterator[Any]:
    """Mask each; of a command's arguments the one after `--password` stands under that."""
    option: str | None = None
    for item in items:
        yield _mask(option, item, also, depth)
        option = item if isinstance(item, str) and item.startswith("--") and "=" not in item else None
