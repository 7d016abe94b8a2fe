"""Messages whose properties the AMQP library can't decode: each would end the connection that it is delivered on.

The library (pamqp, under aiormq) raises for a timestamp beyond the calendar, a text that isn't UTF-8, or a table nested
too deep; aiormq then closes the connection, the message comes again on the next one, and no topic is worked meanwhile.
"""

from __future__ import annotations

import struct
from typing import Final

from pamqp import decode, frame
from pamqp.commands import Basic
from pamqp.header import ContentHeader

UNREADABLE_PROPERTIES: Final = "x-unreadable-properties"
"""The header that a message has, and no other, whose properties can't be decoded: it says why."""
_FIXED: Final = struct.Struct(">HHQ")
"""What a content header has before its properties: the class, the weight, the body's size (AMQP 0-9-1, 4.2.6.1)."""
_REASON_LIMIT: Final = 200


def accept_any_properties() -> None:
    """Have the library read such a message as one that says so, for every connection of this process.

    There is no other place for it: aiormq calls the library's functions by their names.
    """
    frame._unmarshal_header_frame = read_header
    decode.METHODS["shortstr"] = read_short_string


def read_header(frame_data: bytes) -> ContentHeader:
    """Read a content header; where its properties can't be decoded, `UNREADABLE_PROPERTIES` is all that it has."""
    header = ContentHeader()
    try:
        header.unmarshal(frame_data)
    except Exception as error:  # noqa: BLE001 - whatever a stranger's bytes do to the decoder, the connection lives on
        _, weight, size = _FIXED.unpack(frame_data[: _FIXED.size])
        why = f"{type(error).__name__}: {error}"[:_REASON_LIMIT]
        return ContentHeader(weight, size, Basic.Properties(headers={UNREADABLE_PROPERTIES: why}))
    return header


def read_short_string(value: bytes) -> tuple[int, str]:
    """Read a text of 255 bytes at most; what isn't UTF-8 in it is replaced."""
    end = value[0] + 1
    return end, value[1:end].decode("utf-8", "replace")
