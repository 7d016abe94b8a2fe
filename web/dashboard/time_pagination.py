"""Where a page of a list that is ordered by time begins: behind the entry with this time and id."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime

from bridge.search.moments import is_text, read_instant


def write_position(at: datetime, last: str) -> str:
    """Return the cursor behind the entry with that time and id."""
    text = json.dumps([at.isoformat(), last], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode("ascii")


def read_position(text: str) -> tuple[datetime, str] | None:
    """Return the place that a cursor stands for; None, the beginning, for what is no cursor."""
    try:
        padded = text + "=" * (-len(text) % 4)
        match json.loads(base64.b64decode(padded, altchars=b"-_", validate=True)):
            case [str(moment), str(last)] if is_text(last):
                at = read_instant(moment)
                return None if at is None else (at, last)
            case _:
                return None
    except (binascii.Error, ValueError, RecursionError):
        return None
