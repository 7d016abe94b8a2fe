"""The values of a JSON text are counted without decoding it."""

from __future__ import annotations

import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.domain.json_values import has_more_values

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(alphabet='a,[{"\\é', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(alphabet='k,[{"', max_size=4), inner, max_size=5)
    ),
    max_leaves=40,
)


def count(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(count, inner))


@given(JSON, st.integers(-3, 3))
@example(0, -1)
def test_it_is_told_exactly_from_which_number_on(value: Any, off: int) -> None:
    values = count(value)
    assert has_more_values(orjson.dumps(value), values + off) == (off < 0)


@pytest.mark.parametrize(
    "text", [b"", b"[" * 400_000, b'{"a":' * 300_000, b"{}," * 5, b"x,[{" * 100_000, b"\xff,[{" * 90]
)
def test_what_is_no_json_is_left_to_the_decoder(text: bytes) -> None:
    assert not has_more_values(text, 1_000_000)


def test_commas_within_a_text_are_no_values() -> None:
    assert not has_more_values(orjson.dumps({"csv": "1,[2],{3}" * 200_000}))


def test_nothing_is_kept_of_what_is_counted() -> None:
    text = bytearray(b"[" + b"{}," * 1_000_000 + b"1]")
    tracemalloc.start()
    try:
        assert has_more_values(text)
        assert not has_more_values(text, 1_000_002)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000, "a million objects have 64 MB"
