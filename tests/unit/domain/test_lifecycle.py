"""The transition table says what the design says, in every stand and under every fence."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bridge.domain.lifecycle import (
    HISTORY_LIMIT,
    TABLE,
    Event,
    Move,
    apply,
    claim_of,
    counts,
    delivered,
    lease_anew,
    leased_by,
    refetch,
    sets,
)
from bridge.domain.task import (
    FINAL,
    Attempt,
    BpmnFault,
    Completion,
    Failure,
    Outcome,
    Source,
    State,
    Task,
    TaskKey,
    TypedValue,
)
from tests.unit.domain.lifecycle_rows import (
    CLEARS_CLAIM,
    CLEARS_LOST_CLAIMS,
    CLEARS_NEXT,
    CLEARS_OUTCOME,
    COUNTS,
    NOW,
    OUTCOME,
    check_event,
)

TASK = Task("t", "topic", "w1", NOW, NOW, NOW, 3, next_at=NOW)


@pytest.mark.parametrize("event", Event)
def test_an_event_is_allowed_and_refused_as_designed(event: Event) -> None:
    assert check_event(event) > 0


def test_the_table_has_a_row_for_every_event() -> None:
    assert set(TABLE) == set(Event)


@pytest.mark.parametrize("state", sorted(FINAL))
def test_only_the_engines_offer_leads_out_of_a_final_state(state: State) -> None:
    leaving = {event for event, rules in TABLE.items() for rule in rules if state in rule.sources}
    assert leaving == {Event.REOPEN, Event.REPLACE}


def test_only_a_new_lease_or_the_end_leads_out_of_superseded() -> None:
    leaving = {event for event, rules in TABLE.items() for rule in rules if State.SUPERSEDED in rule.sources}
    assert leaving == {Event.REFETCH, Event.REPLACE, Event.GONE}


@pytest.mark.parametrize("event", Event)
def test_an_event_sets_and_counts_as_designed(event: Event) -> None:
    wanted = {
        **({"claim_id": None} if event in CLEARS_CLAIM else {}),
        **({"outcome": None} if event in CLEARS_OUTCOME else {}),
        **({"next_at": None} if event in CLEARS_NEXT else {}),
        **({"lost_claims": 0} if event in CLEARS_LOST_CLAIMS else {}),
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


ENDED = TASK.changed(
    state=State.COMPLETED, outcome=Completion({"a": TypedValue("Integer", 1)}), process_instance_id="i", epoch=3,
    attempts=2, next_at=None, finished_at=NOW, verified=False, given={"b": TypedValue("Integer", 2)}, fingerprint="f",
    source=Source.PUSHED, business_key="old", error_fp="e", history=(Attempt(2, "c", "r", NOW, NOW, "completed"),),
)  # fmt: skip
LATER = NOW + timedelta(minutes=1)
LEASE = Task(
    "t", "topic", "w2", LATER, LATER, LATER, 1, {"a": TypedValue("Integer", 3)}, next_at=LATER, replica="r2",
    process_instance_id="i", business_key="new",
)  # fmt: skip


def _anew(known: Task, lease: Task) -> Task | None:
    move = lease_anew(known, lease)
    return None if move is None else apply(known, move)


@pytest.mark.parametrize("outcome", [Completion({"a": TypedValue("Integer", 1)}), BpmnFault("code", "why")])
def test_a_completion_that_the_engine_lost_is_delivered_again(outcome: Outcome) -> None:
    kept = _anew(ENDED.changed(outcome=outcome), LEASE)
    assert kept is not None
    assert (kept.state, kept.outcome, kept.epoch, kept.worker_id) == (State.REPORTING, outcome, 4, "w2")
    assert (kept.business_key, kept.variables, kept.given) == ("new", LEASE.variables, ENDED.given)
    assert (kept.attempts, kept.finished_at, kept.next_at) == (2, None, LATER)
    assert kept.history[0] == ENDED.history[0]
    assert (kept.history[1].ended, kept.history[1].error) == ("reopened", "CompletionLost")
    assert "the engine lost this completion" in (kept.error or "")
    assert leased_by(kept, LEASE) is Event.REOPEN


@pytest.mark.parametrize(("outcome", "state"), [(None, State.RECEIVED), (OUTCOME, State.REPORTING)])
def test_a_cancelled_task_that_is_offered_again_goes_on(outcome: Outcome | None, state: State) -> None:
    kept = _anew(ENDED.changed(state=State.CANCELLED, outcome=outcome), LEASE)
    assert kept is not None
    assert (kept.state, kept.outcome, kept.epoch, kept.finished_at) == (state, outcome, 4, None)


@pytest.mark.parametrize("other", [{}, {"topic": "mail"}, {"process_instance_id": "j"}])
def test_a_lease_of_before_its_end_does_not_reopen_a_task(other: dict[str, str]) -> None:
    ended = ENDED.changed(finished_at=LATER)
    assert lease_anew(ended, LEASE.changed(**other)) is None
    assert lease_anew(ended, LEASE.changed(**other, created_at=LATER + timedelta(milliseconds=1))) is not None


def test_a_lease_of_an_earlier_life_does_not_bring_it_back() -> None:
    stale = LEASE.changed(process_instance_id="j", created_at=NOW)
    assert lease_anew(ENDED.changed(state=State.RUNNING), stale) is None


def test_an_open_task_is_not_reopened() -> None:
    assert lease_anew(ENDED.changed(state=State.RUNNING), LEASE) is None


@pytest.mark.parametrize("other", [{"topic": "mail"}, {"process_instance_id": "j"}])
@pytest.mark.parametrize("state", State)
def test_another_task_under_a_known_id_is_a_new_life(state: State, other: dict[str, str]) -> None:
    lease = LEASE.changed(**other)
    known = ENDED.changed(state=state)
    assert apply(known, refetch(lease)) is None
    kept = _anew(known, lease)
    assert kept == lease.changed(epoch=4)
    assert leased_by(lease.changed(epoch=4), lease) is Event.REPLACE


def test_what_is_not_known_of_an_unchecked_submission_makes_it_no_other_task() -> None:
    unchecked = ENDED.changed(state=State.RECEIVED, process_instance_id=None, outcome=None)
    kept = apply(unchecked, refetch(LEASE))
    assert kept is not None
    assert (kept.process_instance_id, kept.business_key, kept.verified, kept.given) == ("i", "new", True, ENDED.given)
    assert leased_by(kept, LEASE) is Event.REFETCH
    assert leased_by(LEASE, LEASE) is None
    again = apply(LEASE, refetch(LEASE.changed(verified=False, process_instance_id=None, business_key=None)))
    assert again is not None
    assert (again.process_instance_id, again.business_key, again.verified) == ("i", "new", False)


def test_a_claim_is_fenced_by_the_lease_of_its_message() -> None:
    until = NOW + timedelta(minutes=1)
    move = claim_of("topic", TaskKey("t", 1), "c1", replica="r1", now=NOW, until=until)
    claimed = apply(TASK, move)
    assert claimed == TASK.changed(
        state=State.RUNNING, claim_id="c1", claimed_at=NOW, replica="r1", next_at=until, attempts=1
    )
    assert apply(claimed, move) is None, "the duplicate of its message"
    assert apply(TASK.changed(epoch=2), move) is None, "a message of an older lease"
    assert apply(TASK.changed(topic="other"), move) is None, "a message on another topic's queue"
