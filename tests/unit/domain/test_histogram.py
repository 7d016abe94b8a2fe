"""A histogram's quantiles are within its error, and histograms add up."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.histogram import ERROR, LONGEST, SHORTEST, bucket_of, merged, quantile, seconds_of

times = st.floats(SHORTEST, LONGEST)


def counted(values: list[float]) -> dict[int, int]:
    found: dict[int, int] = {}
    for value in values:
        found[bucket_of(value)] = found.get(bucket_of(value), 0) + 1
    return found


@given(times)
def test_what_stands_for_a_time_is_within_the_error(seconds: float) -> None:
    assert abs(seconds_of(bucket_of(seconds)) - seconds) <= ERROR * seconds * (1 + 1e-9)


@given(st.lists(times, min_size=1, max_size=200), st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_within_the_error(values: list[float], share: float) -> None:
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    found = quantile(counted(values), share)
    assert found is not None
    assert abs(found - exact) <= ERROR * exact * (1 + 1e-9)


@given(st.lists(times, max_size=50), st.lists(times, max_size=50))
def test_histograms_of_parts_add_up(one: list[float], other: list[float]) -> None:
    assert merged([counted(one), counted(other)]) == counted(one + other)


@pytest.mark.parametrize(("seconds", "bucket"), [(-1.0, 0), (0.0, 0), (SHORTEST, 0), (LONGEST, 104), (1e12, 104)])
def test_what_is_out_of_bounds_counts_at_the_bound(seconds: float, bucket: int) -> None:
    assert bucket_of(seconds) == bucket


def test_nothing_has_no_quantile() -> None:
    assert quantile({}, 0.5) is None
