"""Where the lines and bars of charts go."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.components.charts import HEIGHT, WIDTH, Plot, histogram, lines, sparkline, stacked

MOMENTS = [datetime(2026, 3, 18, 17, minute, tzinfo=UTC) for minute in range(4)]
VALUES = st.lists(st.none() | st.floats(0, 1e12, allow_nan=False), min_size=0, max_size=40)


def test_bars_stand_upon_each_other() -> None:
    plot = stacked(MOMENTS, {"completed": [10, 0, 20, 30], "failed": [0, 5, None, 10]})
    assert plot.top == 40
    completed, failed = plot.series
    assert [bar.index for bar in completed.bars] == [0, 2, 3]
    assert [bar.index for bar in failed.bars] == [1, 3]
    assert failed.bars[1].y + failed.bars[1].height == pytest.approx(completed.bars[2].y)
    assert completed.bars[2].height == pytest.approx(HEIGHT * 30 / 40)
    assert plot.span == timedelta(minutes=3)
    assert not plot.empty


def test_a_line_has_gaps() -> None:
    (series,) = lines(MOMENTS, {"p50": [1.0, None, 3.0, 2.0]}).series
    assert series.line.count("M") == 2
    assert series.area.count("M") == 1, "one point alone has no area"


def test_marks_are_round_and_nothing_is_above_them() -> None:
    plot = stacked(MOMENTS, {"all": [7, 13, 170, 2]})
    assert [tick.value for tick in plot.up] == [0, 100, 200]
    assert [tick.at for tick in plot.up] == [HEIGHT, HEIGHT / 2, 0]
    assert [(tick.at, tick.anchor) for tick in (plot.across[0], plot.across[-1])] == [(0.0, "start"), (100.0, "end")]


@pytest.mark.parametrize(
    "plot",
    [stacked([], {"all": []}), lines([], {"all": []}), histogram([], []), stacked(MOMENTS, {"all": [0, 0, None, 0]})],
)
def test_nothing_is_no_chart(plot: Plot) -> None:
    assert plot.empty


def test_a_histogram_has_a_bar_for_each_bucket_that_has_something() -> None:
    plot = histogram([0.1, 1, 10], [5, 0, 20])
    assert [bar.index for bar in plot.series[0].bars] == [0, 2]
    assert plot.edges == (0.1, 1, 10)


@given(VALUES)
def test_a_sparkline_stays_in_its_frame(values: list[float | None]) -> None:
    spark = sparkline(values)
    numbers = [float(number) for number in re.findall(r"[\d.e+-]+", spark.line)]
    assert all(0 <= x <= spark.width for x in numbers[::2])
    assert all(0 <= y <= spark.height for y in numbers[1::2])


@given(VALUES)
def test_bars_stay_in_their_frame(values: list[float | None]) -> None:
    moments = [MOMENTS[0] + timedelta(minutes=i) for i in range(len(values))]
    plot = stacked(moments, {"one": values, "other": values})
    for bar in (bar for series in plot.series for bar in series.bars):
        assert bar.x >= 0
        assert bar.x + bar.width <= WIDTH + 0.1
        assert -0.1 <= bar.y <= HEIGHT
        assert bar.y + bar.height <= HEIGHT + 0.1
