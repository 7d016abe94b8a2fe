"""The codec of cursors: where a page of an ordered listing ends, as opaque text that anybody may have written."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from datetime import datetime
from typing import Final, TypeVar

from bridge.search.moments import is_text, read_instant

MAX_LENGTH: Final = 512
"""The longest cursor that is read."""


MAX_ID_LENGTH: Final = 255

Value = TypeVar("Value", datetime, int)


class NotACursor(ValueError):
    """The text was not written by `write_cursor`."""


class AnotherListing(ValueError):
    """The cursor belongs to a listing with another filter or order."""


def write_cursor(value: datetime | int, last_id: str, listing: str | None = None) -> str:
    """Return the cursor behind the entry with this value of the order and this id, for a listing with that digest."""
    parts = [value.isoformat() if isinstance(value, datetime) else value, last_id]
    text = json.dumps(parts if listing is None else [*parts, listing], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode("ascii")


def read_cursor(cursor: str, kind: type[Value], listing: str | None = None) -> tuple[Value, str]:
    """Return the value, of that kind, and the id in the cursor. Raises `NotACursor` or `AnotherListing`."""
    match _unpack(cursor):
        case [written, str(last_id)] if listing is None:
            digest = None
        case [written, str(last_id), str(digest)] if listing is not None:
            pass
        case _:
            raise NotACursor
    value = read_instant(written) if isinstance(written, str) else written
    if not isinstance(value, kind) or isinstance(value, bool) or not 0 < len(last_id) <= MAX_ID_LENGTH:
        raise NotACursor
    if (isinstance(value, int) and abs(value) >= 1 << 63) or not is_text(last_id):
        raise NotACursor
    if digest != listing:
        raise AnotherListing
    return value, last_id


def digest_of(listing: str) -> str:
    """Return what tells one filter and order from another in a cursor."""
    return hashlib.sha256(listing.encode()).hexdigest()[:16]


def _unpack(cursor: str) -> object:
    if not cursor.isascii() or len(cursor) > MAX_LENGTH:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return None
