"""The positions of a chart's lines and bars. Geometry alone: templates have the texts, colours and escaping.

A plot is 1000 wide and drawn as wide as its place is; its height is in pixels. Shares of the width are in percent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

Values = Sequence[float | None]

WIDTH: Final = 1000
HEIGHT: Final = 144
_TICKS: Final = 5
_GAP: Final = 0.2
_MOST_GAP: Final = 6.0
_LEAST: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis: where it is (pixels from above, or percent from the left), and what it stands for."""

    at: float
    value: float
    index: int = 0
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class Rect:
    """A bar, and which of the buckets it belongs to."""

    x: float
    y: float
    width: float
    height: float
    index: int


@dataclass(frozen=True, slots=True)
class Series:
    """What one kind of value looks like: bars, or a line with the area under it."""

    name: str
    values: tuple[float | None, ...]
    bars: tuple[Rect, ...] = ()
    line: str = ""
    area: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """A chart over buckets of time, or of a value; `columns` are the whole buckets, for what a pointer finds there.

    `written` keeps it as it was written for readers of a language and zone: that takes most of a page's time.
    """

    series: tuple[Series, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    columns: tuple[Rect, ...]
    top: float
    moments: tuple[datetime, ...] = ()
    span: timedelta = timedelta(0)
    edges: tuple[float, ...] = ()
    width: int = WIDTH
    height: int = HEIGHT
    written: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def empty(self) -> bool:
        """Whether the chart has no values."""
        return not any(value for series in self.series for value in series.values)


@dataclass(frozen=True, slots=True)
class Sparkline:
    """A line without axes, to stand beside a number."""

    line: str
    area: str
    values: tuple[float | None, ...]
    width: int
    height: int


def sparkline(values: Values, width: int = 96, height: int = 24) -> Sparkline:
    """Return a line as wide as a word; its foot is zero."""
    top = max((value for value in values if value is not None), default=0.0) or 1.0
    points = _points(values, top, width, height - 2, 1.0)
    return Sparkline(_line(points, width), _area(points, height), tuple(values), width, height)


def stacked(moments: Sequence[datetime], series: Mapping[str, Values]) -> Plot:
    """Return bars over time, one series upon another: the first stands on the ground."""
    totals = [sum(values[i] or 0 for values in series.values()) for i in range(len(moments))]
    top, up = _scale(max(totals, default=0.0))
    columns = _columns(len(moments))
    gap = min(_MOST_GAP, columns[0].width * _GAP) if columns else 0.0
    grounds, found = [0.0] * len(moments), []
    for name, values in series.items():
        bars = []
        for column in columns:
            value = values[column.index] or 0.0
            height = value / top * HEIGHT
            ground = grounds[column.index]
            grounds[column.index] = ground + height
            if height:
                y = HEIGHT - ground - height
                bars.append(_rect(column.x + gap / 2, y, column.width - gap, height, column.index))
        found.append(Series(name, tuple(values), tuple(bars)))
    return Plot(tuple(found), _across(len(moments)), up, columns, top, tuple(moments), _span(moments))


def lines(moments: Sequence[datetime], series: Mapping[str, Values]) -> Plot:
    """Return lines over time; a None leaves a gap."""
    top, up = _scale(max((v for values in series.values() for v in values if v is not None), default=0.0))
    found = []
    for name, values in series.items():
        points = _points(values, top, WIDTH, HEIGHT, 0.0, middles=True)
        found.append(Series(name, tuple(values), line=_line(points, WIDTH), area=_area(points, HEIGHT)))
    count = len(moments)
    return Plot(tuple(found), _across(count), up, _columns(count), top, tuple(moments), _span(moments))


def histogram(edges: Sequence[float], counts: Sequence[int], name: str = "count") -> Plot:
    """Return a bar for each bucket; `edges` are the buckets' upper ends."""
    top, up = _scale(max(counts, default=0))
    columns = _columns(len(counts))
    bars = tuple(
        _rect(column.x + 1, HEIGHT - height, column.width - 2, height, column.index)
        for column in columns
        if (height := counts[column.index] / top * HEIGHT)
    )
    series = Series(name, tuple(float(count) for count in counts), bars)
    return Plot((series,), _across(len(counts)), up, columns, top, edges=tuple(edges))


# -- scales


def _scale(most: float) -> tuple[float, tuple[Tick, ...]]:
    """Return a round number that nothing exceeds, and round marks up to it."""
    if most < _LEAST or not math.isfinite(most):
        return 1.0, (Tick(HEIGHT, 0.0), Tick(0.0, 1.0))
    step = _round_step(most / 3)
    count = math.ceil(most / step - 1e-9)
    top = step * count
    return top, tuple(Tick(round(HEIGHT * (1 - i / count), 2), round(step * i, 10)) for i in range(count + 1))


def _round_step(rough: float) -> float:
    size = 10.0 ** math.floor(math.log10(rough))
    return next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= rough * (1 - 1e-9))


def _across(count: int) -> tuple[Tick, ...]:
    """Return marks under some of the buckets: the first, the last, and some between at even distances."""
    if count == 0:
        return ()
    chosen = sorted({round(i * (count - 1) / (_TICKS - 1)) for i in range(_TICKS)})
    ticks = []
    for index in chosen:
        anchor = "start" if index == 0 else "end" if index == count - 1 else "middle"
        at = 0.0 if index == 0 else 100.0 if index == count - 1 else (index + 0.5) / count * 100
        ticks.append(Tick(round(at, 2), float(index), index, anchor))
    return tuple(ticks)


def _span(moments: Sequence[datetime]) -> timedelta:
    return moments[-1] - moments[0] if moments else timedelta(0)


# -- shapes


def _columns(count: int) -> tuple[Rect, ...]:
    width = WIDTH / count if count else 0.0
    return tuple(_rect(i * width, 0.0, width, HEIGHT, i) for i in range(count))


def _rect(x: float, y: float, width: float, height: float, index: int) -> Rect:
    return Rect(round(x, 2), round(y, 2), round(width, 2), round(height, 2), index)


def _points(
    values: Values, top: float, width: float, height: float, margin: float, *, middles: bool = False
) -> list[list[tuple[float, float]]]:
    """Return runs of points, one for each stretch without a gap; `middles` puts them amid their buckets."""
    count = len(values)
    step = width / max(1, count) if middles else width / max(1, count - 1)
    first = step / 2 if middles else 0.0
    runs: list[list[tuple[float, float]]] = [[]]
    for i, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((round(first + i * step, 2), round(margin + height * (1 - value / top), 2)))
    return [run for run in runs if run]


def _line(runs: list[list[tuple[float, float]]], width: float) -> str:
    return "".join("M" + "L".join(f"{x:g} {y:g}" for x, y in _seen(run, width)) for run in runs)


def _seen(run: list[tuple[float, float]], width: float) -> list[tuple[float, float]]:
    """Return a run that can be seen: a point that stands alone becomes a short dash."""
    if len(run) > 1:
        return run
    ((x, y),) = run
    return [(max(0.0, x - width / 200), y), (min(width, x + width / 200), y)]


def _area(runs: list[list[tuple[float, float]]], ground: float) -> str:
    return "".join(
        f"M{run[0][0]:g} {ground:g}L" + "L".join(f"{x:g} {y:g}" for x, y in run) + f"L{run[-1][0]:g} {ground:g}Z"
        for run in runs
        if len(run) > 1
    )
