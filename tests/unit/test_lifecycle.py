"""The transition table says what the design says, in every stand and under every fence."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bridge.lifecycle import HISTORY_LIMIT, TABLE, Event, Move, apply, claim_of, counts, delivered, refetch, sets
from bridge.task import FINAL, Attempt, BpmnFault, Completion, Failure, Outcome, State, Task, TaskKey, TypedValue
from tests.unit.lifecycle_rows import CLEARS_CLAIM, CLEARS_NEXT, CLEARS_OUTCOME, COUNTS, NOW, OUTCOME, check_event

TASK = Task("t", "topic", "w1", NOW, NOW, NOW, 3, next_at=NOW)


@pytest.mark.parametrize("event", Event)
def test_an_event_is_allowed_and_refused_as_designed(event: Event) -> None:
    assert check_event(event) > 0


def test_the_table_has_a_row_for_every_event() -> None:
    assert set(TABLE) == set(Event)


@pytest.mark.parametrize("state", sorted(FINAL))
def test_nothing_leads_out_of_a_final_state(state: State) -> None:
    assert [event for event, rules in TABLE.items() for rule in rules if state in rule.sources] == []


def test_only_a_new_lease_or_the_end_leads_out_of_superseded() -> None:
    leaving = {event for event, rules in TABLE.items() for rule in rules if State.SUPERSEDED in rule.sources}
    assert leaving == {Event.REFETCH, Event.GONE}


@pytest.mark.parametrize("event", Event)
def test_an_event_sets_and_counts_as_designed(event: Event) -> None:
    wanted = {
        **({"claim_id": None} if event in CLEARS_CLAIM else {}),
        **({"outcome": None} if event in CLEARS_OUTCOME else {}),
        **({"next_at": None} if event in CLEARS_NEXT else {}),
    }
    assert sets(event) == wanted
    assert counts(event) == COUNTS.get(event, {})


@pytest.mark.parametrize(
    ("outcome", "event"),
    [
        (Completion(), Event.DELIVERED_COMPLETION),
        (BpmnFault("code"), Event.DELIVERED_COMPLETION),
        (Failure("E", "", "", 0, timedelta(seconds=1)), Event.DELIVERED_INCIDENT),
        (Failure("E", "", "", 1), Event.DELIVERED_RETRY),
    ],
)
def test_what_the_engine_took_decides_what_follows(outcome: Outcome, event: Event) -> None:
    assert delivered(outcome) is event


def test_what_the_mover_sets_goes_before_what_the_event_sets_and_counts() -> None:
    reporting = TASK.changed(state=State.REPORTING, reports=4)
    moved = apply(reporting, Move("t", Event.DEFER, 1, changes={"reports": 0, "next_at": None}))
    assert moved == reporting.changed(reports=0, next_at=None)


def test_the_history_keeps_the_latest_attempts_in_order() -> None:
    attempts = [Attempt(number, "c", "r", NOW, NOW, "failed") for number in range(HISTORY_LIMIT + 2)]
    task = TASK
    for attempt in attempts:
        moved = apply(task, Move("t", Event.RENEW, 1, attempt=attempt))
        assert moved is not None
        task = moved
    assert task.history == tuple(attempts[2:])


def test_a_refused_move_leaves_no_attempt_behind() -> None:
    completed = TASK.changed(state=State.COMPLETED)
    attempt = Attempt(1, "c", "r", NOW, NOW, "failed")
    assert apply(completed, Move("t", Event.GONE, 1, attempt=attempt)) is None
    assert completed.history == ()


@pytest.mark.parametrize(
    ("outcome", "state"), [(None, State.RECEIVED), (OUTCOME, State.REPORTING)], ids=["without", "with an outcome"]
)
def test_a_new_lease_replaces_the_old_and_keeps_what_was_done(outcome: Outcome | None, state: State) -> None:
    old = TASK.changed(
        state=State.FAILED, outcome=outcome, epoch=3, attempts=2, claim_id="c1", finished_at=NOW, created_at=NOW,
        verified=False, next_at=None,
    )  # fmt: skip
    later = NOW + timedelta(minutes=1)
    new = Task(
        "t", "topic", "w2", later, later, later, 1, {"a": TypedValue("Integer", 1)}, next_at=later, priority=9,
        replica="r2",
    )  # fmt: skip
    assert apply(old, refetch(new)) == new.changed(
        state=state, outcome=outcome, epoch=4, attempts=2, created_at=NOW, verified=True
    )


def test_a_claim_is_fenced_by_the_lease_of_its_message() -> None:
    until = NOW + timedelta(minutes=1)
    move = claim_of(TaskKey("t", 1), "c1", "r1", NOW, until)
    claimed = apply(TASK, move)
    assert claimed == TASK.changed(
        state=State.RUNNING, claim_id="c1", claimed_at=NOW, replica="r1", next_at=until, attempts=1
    )
    assert apply(claimed, move) is None, "the duplicate of its message"
    assert apply(TASK.changed(epoch=2), move) is None, "a message of an older lease"
