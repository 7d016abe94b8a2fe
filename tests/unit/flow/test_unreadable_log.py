"""The log tells once of what can't be read, and nothing of its secrets."""

from __future__ import annotations

import pytest

from bridge.domain.task import UnreadableTask
from bridge.flow import unreadable
from bridge.flow.unreadable import UnreadableLog
from tests.unit.fakes import Notes


def found(task_id: str, reason: str = "state: 'paused' is not a valid State") -> UnreadableTask:
    return UnreadableTask(task_id, reason, {"topic": "orders"}, {"state": "paused"})


def test_each_is_told_of_once_and_again_for_another_reason() -> None:
    notes = Notes()
    log = UnreadableLog(notes)
    for one in (found("a"), found("a"), found("b"), found("a", "retries: missing"), found("a")):
        log(one)
    told = [(line.values["task_id"], line.values["reason"]) for line in notes.of("task_unreadable")]
    assert told == [("a", found("a").reason), ("b", found("b").reason), ("a", "retries: missing")]
    assert notes.of("task_unreadable")[0].values["topic"] == "orders"


def test_a_secret_in_the_reason_is_masked() -> None:
    notes = Notes()
    UnreadableLog(notes)(found("a", "properties: password=s3cret"))
    assert "s3cret" not in str(notes.of("task_unreadable")[0].values)


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = Notes()
    monkeypatch.setattr(unreadable, "_MOST", 2)
    log = UnreadableLog(notes)
    for name in ("a", "b", "c", "a"):
        log(found(name))
    assert [line.values["task_id"] for line in notes.of("task_unreadable")] == ["a", "b", "c", "a"]
