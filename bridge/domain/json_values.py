"""How many values a JSON text holds, counted before it is decoded: its three bytes `{},` become an object of 64."""

from __future__ import annotations

from typing import Final

import ijson

MOST_VALUES: Final = 100_000
"""How many values a large body or answer may hold, nested ones included: some 50 ms of decoding at a stretch."""

_STEP: Final = 65_536
"""Bytes that are looked at before another thread may have its turn."""
_CONTAINER_ENDS_AND_KEYS: Final = frozenset({"map_key", "end_map", "end_array"})


def has_more_values(text: bytes | bytearray, most: int = MOST_VALUES) -> bool:
    """Return whether a JSON text holds more than `most` values; False as well for what is no JSON.

    Each value but the first of all follows a comma or opens its container, so where these bytes are few, those within
    strings included, nothing is parsed. Else the text is parsed up to the value that is too many, and nothing is kept.
    """
    if text.count(b",") + text.count(b"[") + text.count(b"{") < most:
        return False
    found = 0
    events = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events)
    try:
        for start in range(0, len(text), _STEP):
            parser.send(bytes(text[start : start + _STEP]))
            found += sum(event not in _CONTAINER_ENDS_AND_KEYS for event, _ in events)
            if found > most:
                return True
            events.clear()
        parser.close()  # a text that is one number ends here alone
        found += sum(event not in _CONTAINER_ENDS_AND_KEYS for event, _ in events)
    except ijson.JSONError:  # its decoder says what is wrong with it
        return False
    return found > most
