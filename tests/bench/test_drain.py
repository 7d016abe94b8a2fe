"""When the engine is warm enough for the clock to start."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bench.drain import is_warm


@pytest.mark.parametrize(
    "rates",
    [
        [],
        [400, 400, 400],
        [190, 275, 228, 282],
        [190, 275, 228, 282, 400],
    ],
)
def test_an_engine_that_still_gets_faster_is_not_warm(rates: Sequence[float]) -> None:
    assert not is_warm(rates)


@pytest.mark.parametrize("rates", [[400, 400, 400, 400], [152, 276, 357, 372, 302, 366], [500, 200, 250, 300]])
def test_an_engine_that_gained_less_than_a_tenth_in_three_drains_is_warm(rates: Sequence[float]) -> None:
    assert is_warm(rates)
