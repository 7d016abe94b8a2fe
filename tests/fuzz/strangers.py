"""What strangers send: JSON, texts and numbers, with a preference for those that have been trouble somewhere."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

from hypothesis import strategies as st

_ODD_TEXTS: Final = (
    "", " ", "\0", "\ud800", "\udfff", "\ufeff", "\u202e", "\r\n", "a\nb", "é", "e\u0301", "😀", "null", "NaN", "1e999",
    "__proto__", "$gt", "a.b", "..", "%00", "%2e%2e", "'", '"', "\\", "{{7*7}}", "=1+1", "<b>", "-", "~", "0",
    "2026-02-30", "0001-01-01T00:00:00.000+1400", "9999-12-31T23:59:59.999-1400", "eyJ.eyJ.",
    "x" * 256, "é" * 256, "1" * 400,
)  # fmt: skip
_ODD_NUMBERS: Final = (0, -1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63, -(2**63), 2**64, 10**400, -0.0, 1e308, 5e-324)

texts: Final = st.one_of(
    st.sampled_from(_ODD_TEXTS),
    st.text(max_size=40),
    st.text(st.characters(), max_size=20),
    st.builds(lambda one, other: one + other, st.sampled_from(_ODD_TEXTS), st.text(max_size=10)),
)
numbers: Final = st.one_of(st.sampled_from(_ODD_NUMBERS), st.integers(), st.floats(allow_nan=False))
scalars: Final = st.one_of(st.none(), st.booleans(), numbers, texts)
values: Final = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
"""JSON as Python reads it."""

moments: Final = st.datetimes(
    min_value=datetime(1, 1, 2),  # noqa: DTZ001 - the strategy adds the zone
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.just(UTC),
)

types: Final = st.one_of(
    st.sampled_from(
        ["String", "Boolean", "Short", "Integer", "Long", "Double", "Date", "Json", "Xml", "Object", "Bytes", "File",
         "Null", "string", "json", "spin", ""]
    ),
    texts,
)  # fmt: skip
"""Of variables."""
infos: Final = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {},
        optional={
            "serializationDataFormat": st.just("application/json") | texts,
            "objectTypeName": st.just("java.lang.String") | texts,
            "filename": texts,
            "mimeType": texts,
            "encoding": texts,
            "transient": st.booleans() | texts,
        },
    ),
    st.dictionaries(texts, values, max_size=3),
)
"""Of variables: their `valueInfo`."""
typed_values: Final = st.one_of(
    values,
    values.map(json.dumps),
    st.binary(max_size=20).map(lambda data: data.hex()),
    moments.map(lambda moment: moment.isoformat(timespec="milliseconds")),
)
"""Of variables: what stands under `value`, often what its type could mean."""


def is_utf8(found: Any) -> bool:
    """Tell whether every text in it can be written as UTF-8."""
    match found:
        case str():
            return not any("\ud800" <= sign <= "\udfff" for sign in found)
        case dict():
            return all(is_utf8(key) and is_utf8(value) for key, value in found.items())
        case list():
            return all(map(is_utf8, found))
        case _:
            return True
