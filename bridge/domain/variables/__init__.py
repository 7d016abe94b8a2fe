"""Process variables as Python values and back. Pure: no I/O, and nothing of the engine but its type names.

`decoding` reads, `encoding` writes, `reading` gives a topic's model what it names, `results` writes what a handler
returns, `dates` is about moments and days, `wire` about the forms of the REST interface and of submissions.
"""

from bridge.domain.variables.dates import format_date, parse_date
from bridge.domain.variables.decoding import decode
from bridge.domain.variables.encoding import STRING_LIMIT, EngineFormat, encode, java_length, long_text_as_object
from bridge.domain.variables.reading import read_input
from bridge.domain.variables.results import encode_result
from bridge.domain.variables.wire import from_wire, parse_submitted, to_wire

__all__ = [
    "STRING_LIMIT",
    "EngineFormat",
    "decode",
    "encode",
    "encode_result",
    "format_date",
    "from_wire",
    "java_length",
    "long_text_as_object",
    "parse_date",
    "parse_submitted",
    "read_input",
    "to_wire",
]
