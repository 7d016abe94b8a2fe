"""Crash points are read, counted, and struck on the right side of the right call."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence

import pytest

from bridge.domain.lifecycle import Event, Move
from tests.faults.crash_points import CrashPoints, Point, When, read_points


class Store:
    """Notes the calls that reach it."""

    limit = 7

    def __init__(self, found: Sequence[str] = ("one",)) -> None:
        self.calls: list[str] = []
        self.found = found

    async def move(self, moves: Sequence[Move]) -> Sequence[str]:
        self.calls += [move.task_id for move in moves]
        return self.found

    async def due(self) -> Sequence[str]:
        return self.found


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("store.accept:after", Point("store.accept", When.AFTER)),
        ("store.accept:before:3", Point("store.accept", When.BEFORE, 3)),
        ("acknowledger.ack:before:term", Point("acknowledger.ack", When.BEFORE, 1, signal.SIGTERM)),
        ("engine.complete:after:stop:2", Point("engine.complete", When.AFTER, 2, signal.SIGSTOP)),
        ("store.move.decide:before:delay=0.5", Point("store.move.decide", When.BEFORE, 1, None, 0.5)),
    ],
)
def test_points_are_read(text: str, point: Point) -> None:
    assert read_points(text) == (point,)
    assert read_points(f" {text} , store.get:before") == (point, Point("store.get", When.BEFORE))


@pytest.mark.parametrize("text", ["store", "store.accept", "store.accept:during", "a.b:after:0", "a.b:after:burn"])
def test_what_is_no_point_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no point"):
        read_points(text)


async def test_the_point_strikes_at_its_turn_and_tells(capfd: pytest.CaptureFixture[str]) -> None:
    store = CrashPoints(read_points("store.move.decide:after:delay=0:2")).over(Store(), "store")
    for event in (Event.DECIDE, Event.RENEW, Event.DECIDE, Event.DECIDE):
        await store.move([Move(event.value, event, 1)])
        told = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
        if len(store.calls) == 3:
            assert [line["event"] for line in told] == ["crash_point", "crash_point_passed"]
            assert told[0]["point"] == "store.move.decide:after"
        else:
            assert told == []
    assert store.calls == ["decide", "renew", "decide", "decide"]


async def test_an_answer_without_anything_is_no_turn(capfd: pytest.CaptureFixture[str]) -> None:
    store = CrashPoints(read_points("store.due:after:delay=0")).over(Store(found=()), "store")
    assert await store.due() == ()
    assert capfd.readouterr().err == ""


async def test_all_else_is_the_parts_own() -> None:
    store = CrashPoints(()).over(Store(), "store")
    assert store.limit == 7
    assert await store.due() == ("one",)
