"""Which moves are one write, and how many bytes values take at the most."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bridge.adapters.mongo.moves import alike, writes_of
from bridge.documents.payload import most_bytes_of
from bridge.documents.task_codec import encode, to_attempt, to_fields
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import Attempt, BpmnFault, Completion, Failure, TypedValue
from tests.unit.fakes import NOW, SECOND

ATTEMPT = Attempt(1, "c1", "r1", NOW, NOW + SECOND, "completed")
DONE: dict[str, Any] = {"error": None, "finished_at": NOW}
TEXTS = some.text(max_size=30)
PLAIN = some.none() | some.booleans() | TEXTS | some.floats() | some.integers(-(2**90), 2**90)
VARIABLES = some.dictionaries(TEXTS, some.builds(TypedValue, TEXTS, PLAIN), max_size=5)


def _done(task_id: str, epoch: int = 1, **changes: Any) -> Move:
    return Move(task_id, Event.DELIVERED_COMPLETION, epoch, changes={**DONE, **changes})


def _decided(task_id: str, claim_id: str, number: int = 1, outcome: Completion = Completion()) -> Move:
    changes = {"outcome": outcome, "updated_at": NOW}
    return Move(task_id, Event.DECIDE, 1, claim_id, changes, replace(ATTEMPT, number=number))


def _ids(moves: list[Move]) -> list[list[str]]:
    return [[move.task_id for move in group] for group in alike(moves)]


def test_what_says_the_same_of_many_tasks_is_one_write() -> None:
    moves = [_done("a"), _done("b"), _done("c", epoch=2), _done("d"), Move("e", Event.GONE, 1, changes=DONE)]
    groups = alike(moves)
    assert _ids(moves) == [["a", "b", "d"], ["c"], ["e"]]
    ((wanted, _),) = writes_of(groups[0], 1, None)
    assert wanted["_id"] == {"$in": ["a", "b", "d"]}
    ((alone, _),) = writes_of(groups[1], 1, None)
    assert alone["_id"] == {"$eq": "c"}


@pytest.mark.parametrize("changes", [{"finished_at": NOW + SECOND}, {"error": "x"}, {"retries": 1}])
def test_another_change_is_another_write(changes: dict[str, Any]) -> None:
    assert _ids([_done("a"), _done("b", **changes), _done("c", **changes)]) == [["a"], ["b", "c"]]


def test_what_is_of_one_task_alone_is_a_write_of_its_own() -> None:
    one = {"v": TypedValue("Boolean", True)}
    assert len(alike([_done("a", given=one), _done("b", given={"v": TypedValue("Boolean", 1)})])) == 2
    assert len(alike([_decided("a", "c1", outcome=Completion(one)), _decided("b", "c1", outcome=Completion(one))])) == 2


def test_what_was_claimed_together_and_ended_alike_is_one_write() -> None:
    moves = [_decided("a", "c1"), _decided("b", "c2"), _decided("c", "c1"), _decided("d", "c1", number=2)]
    late = Move("e", Event.DECIDE, 1, "c1", {"outcome": Completion()}, ATTEMPT)
    assert _ids([*moves, late, _decided("f", "c1")]) == [["a", "c"], ["b"], ["d"], ["e"], ["f"]]
    ((wanted, update),) = writes_of(alike(moves)[0], 1, None)
    assert wanted["claim_id"] == {"$eq": "c1"}
    assert update["$push"]["history"]["$each"] == [to_attempt(ATTEMPT)]


def test_what_is_only_done_where_it_is_due_goes_with_what_is_due_by_the_same_time() -> None:
    due = [
        Move(name, Event.TAKE, 1, changes={"updated_at": NOW}, due_by=NOW + late * SECOND)
        for name, late in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert _ids(due) == [["a", "b"], ["c"]]


@given(VARIABLES, VARIABLES)
def test_values_never_take_more_than_the_most(result: dict[str, TypedValue], thrown: dict[str, TypedValue]) -> None:
    changes = {"given": result, "outcome": BpmnFault("code", "message é", thrown), "variables": thrown}
    most = most_bytes_of(changes)
    assert most is not None
    # What BSON adds for the fields of an outcome, and for each of the three, is the same for every task.
    assert len(encode(to_fields(changes), "t1")) <= most + 300


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": Failure("ValueError", "no", "stack", 0)},
        {"given": {"list": TypedValue("Json", [1])}},
        {"outcome": Completion({"file": TypedValue("File", "x", {"filename": "x" * 300_000})})},
    ],
)
def test_what_only_writing_tells_is_not_guessed(changes: dict[str, Any]) -> None:
    assert most_bytes_of(changes) is None


def test_a_number_beyond_all_bounds_is_not_small() -> None:
    most = most_bytes_of({"given": {"n": TypedValue("Json", 10**300_000)}})
    assert most is not None
    assert most > 300_000
