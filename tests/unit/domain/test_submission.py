"""A submission's fingerprint is the same for small bodies and for large ones, which are hashed in parts."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.errors import VariableError
from bridge.domain.submission import LARGE, Submission, fingerprint

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(min_size=1), JSON, max_size=4))
def test_the_size_of_the_body_is_no_part_of_it(variables: dict[str, Any]) -> None:
    small = Submission("t1", "w1", "a", variables)
    assert fingerprint(replace(small, size=LARGE + 1)) == fingerprint(small)


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), {1: {2: {3}}}])
@pytest.mark.parametrize("size", [0, LARGE + 1])
def test_what_is_no_json_has_none(value: object, size: int) -> None:
    with pytest.raises(VariableError, match="JSON"):
        fingerprint(Submission("t1", "w1", "a", {"v": value}, size=size))


def test_what_nests_without_end_has_none_either() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(VariableError, match="JSON"):
        fingerprint(Submission("t1", "w1", "a", {"v": endless}, size=LARGE + 1))
