"""What answers in the engine's place is counted each time, told once, and shown for as long as it lasts."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bridge.domain.errors import ForeignAnswer, PayloadRefused
from bridge.flow.engine.foreign_answers import ForeignAnswers
from tests.unit.fakes import Notes


class Rig:
    def __init__(self) -> None:
        self.now = 0.0
        self.notes = Notes()
        self.counted: list[tuple[str, int]] = []
        self.answers = ForeignAnswers(
            self.notes, lambda *one: self.counted.append(one), quiet=timedelta(seconds=60), monotonic=lambda: self.now
        )

    def observe(self, status: int, operation: str = "complete") -> None:
        message = f"{operation}: the engine's address answers {status}"
        self.answers.observe(operation, ForeignAnswer(message, status=status))


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_each_is_counted_and_each_status_is_told_once(rig: Rig) -> None:
    for status in (401, 401, 302, 401, 302):
        rig.observe(status)
        rig.now += 30
    rig.observe(401, "fetch")
    assert rig.counted == [("complete", s) for s in (401, 401, 302, 401, 302)] + [("fetch", 401)]
    assert [line.values["status"] for line in rig.notes.of("foreign_answer")] == [401, 302]


def test_what_comes_again_after_a_quiet_time_is_told_again(rig: Rig) -> None:
    rig.observe(401)
    rig.now += 60
    rig.observe(401)
    rig.now += 61
    rig.observe(401)
    assert len(rig.notes.lines) == 2


def test_the_latest_is_shown_while_it_lasts(rig: Rig) -> None:
    seen = [rig.answers.latest]
    rig.observe(401)
    rig.observe(302, "fetch")
    for seconds in (0, 60, 1):
        rig.now += seconds
        seen.append(rig.answers.latest)
    text = "fetch: the engine's address answers 302"
    assert seen == [None, text, text, None]


def test_a_refused_payload_is_counted_and_told_and_is_its_own_tasks_matter(rig: Rig) -> None:
    rig.answers.observe("complete", PayloadRefused("too large", status=413))
    assert (rig.counted, len(rig.notes.lines), rig.answers.latest) == ([("complete", 413)], 1, None)
