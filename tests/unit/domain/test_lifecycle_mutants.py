"""Each guard of the transition table is needed: take one away, and the machine sees a promise broken.

The machine lives by seeds here, without Hypothesis's search: a thousand lives a second, the same on every machine. What
chance meets too seldom is played step by step (`lifecycle_races`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import pytest

from bridge.domain import lifecycle
from bridge.domain.lifecycle import TABLE, Event, Move, Rule, admits, counts
from bridge.domain.task import State, Task
from tests.unit.domain import lifecycle_model, lifecycle_races, lifecycle_races_taken, lifecycle_races_unknown
from tests.unit.domain.lifecycle_machine import walk
from tests.unit.domain.lifecycle_promises import settle
from tests.unit.domain.lifecycle_races import DUE
from tests.unit.domain.lifecycle_rows import check_event, check_every_event

RACES = {**lifecycle_races.RACES, **lifecycle_races_taken.RACES, **lifecycle_races_unknown.RACES}
LIVES = 3000
STEPS = 60

# What no promise needs, so that only the rows see it gone.
ROWS_ONLY: Mapping[str, str] = {
    # The same again changes nothing, or only the moment of the next look.
    "confirm[0]": "queued",
    "stale[0]": "received",
    "release[0]": "retrying",
    "supersede[0]": "superseded completed",  # (completed: who stole it has it, our result can't be taken)
    "renew[1]": "reporting retrying failed",
    # There is no claim then, so that the fence of the claim refuses it as well.
    "renew[0]": "received queued",
    "release[1]": "received queued",
    "decide[0]": "received queued",
    # And what came since made the task due later, or at no time, so that the fence of the due time refuses it as well.
    # (From reporting it doesn't: a decision is due at once, by the clock of whoever decided.)
    "lose_claim[0]": "received queued retrying completed failed cancelled superseded unknown",
    "give_up[0]": "received queued retrying completed failed cancelled superseded unknown",
    "take[0]": "running",
    # Earlier states of the same lease: who writes this has seen a later one, and only a new lease leads back.
    # Later states: the engine takes one result a lease, so they are reached by the same result, or hold an incident
    # that was raised because of it; written over it, the one is as true as the other.
    "defer[0]": "received queued running failed",
    "delivered_completion[0]": "received queued running retrying failed superseded",
    "delivered_retry[0]": "received queued running retrying completed",
    "delivered_incident[0]": "received queued running retrying completed failed",
    "undeliverable[0]": "received queued running retrying failed",
    "ended_by_us[0]": "received queued running retrying failed superseded",
    "end_unknown[0]": "received queued running retrying failed superseded",
    "revive[0]": "received queued running reporting retrying completed",
    "exhausted[0]": "received queued running reporting failed",
    # Who reopens a task has read that it ended, and which task it is; only a lease changes either, so that the fence of
    # the epoch refuses it as well.
    "reopen[0]": "received queued running reporting retrying failed superseded cancelled",
    "reopen[1]": "received queued running reporting retrying failed superseded completed unknown",
    "reopen[2]": "received queued running reporting retrying failed superseded completed unknown",
    # There is no outcome where the handler has yet to run, and a task that has ended keeps none. (reporting: the other
    # rule allows it; retrying, superseded: a later state of the same lease.)
    "delivered_completion[1]": "received queued running reporting completed cancelled superseded",
    # It is found by a later look at an incident, which the machine doesn't take (`test_reconcile_looks`).
    "ended_by_us[1]": "received queued running reporting completed cancelled superseded unknown",
    "end_unknown[1]": "received queued running reporting completed cancelled superseded",
    # There is no outcome either, or (completed) it is the failure in whose place the model threw an error, which the
    # machine's engine has not.
    "failure_taken[0]": "received queued running retrying completed",
    "refetch[1]": "cancelled unknown",
    "refetch[0]": "completed unknown",  # they have an outcome
}
ROWS_ONLY_GUARDS = {
    "give_up[0] any claim",  # after the last claim there is no other under the same lease
    "lose_claim[0] any claim",  # the next claim lasts beyond the time at which the last was seen to be over
    "delivered_completion[1] any outcome",  # without one it failed by what was delivered, or was never decided
    "ended_by_us[1] any outcome",
    "ended_by_us[1] outcome inverted",
    "end_unknown[1] any outcome",
    "end_unknown[1] outcome inverted",
    "reopen[0] any origin",
    "reopen[1] any origin",
    "reopen[2] any origin",
    "reopen[2] any outcome",  # memory tries the one before first; MongoDB would take either
    "replace[0] any origin",
    "failure_taken[0] any outcome",  # who reports has an outcome
    "refetch[1] any outcome",  # memory tries the other rule first; MongoDB would take either
}
UNSEEN = ROWS_ONLY_GUARDS | {f"{rule} from {state}" for rule, states in ROWS_ONLY.items() for state in states.split()}


@dataclass(frozen=True, slots=True)
class Mutant:
    """The table with one guard less; `name` tells the event, the rule's place and the guard.

    `heedless` is a rule that doesn't look at the claim in whose name a move is made.
    """

    name: str
    event: Event
    table: Mapping[Event, tuple[Rule, ...]]
    heedless: Rule | None = None

    def put(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def heedless(rule: Rule, task: Task, move: Move) -> bool:
            if rule is not self.heedless:
                return admits(rule, task, move)
            return admits(replace(rule, claimed=False), task, replace(move, claim_id=None))

        monkeypatch.setattr(lifecycle, "TABLE", self.table)
        if self.heedless is not None:
            monkeypatch.setattr(lifecycle, "admits", heedless)


def mutants() -> Iterator[Mutant]:
    """Give the table with each rule's sources widened by each state, and without each of its other guards."""
    for event, rules in TABLE.items():
        for place, rule in enumerate(rules):
            name = f"{event.value}[{place}]"
            for state in State:
                if state not in rule.sources:
                    wider = replace(rule, sources=rule.sources | {state})
                    yield _mutant(f"{name} from {state.value}", event, place, wider)
            if any(one.claimed for one in rules):
                yield Mutant(f"{name} any claim", event, TABLE, heedless=rule)
            if rule.outcome is not None:
                yield _mutant(f"{name} any outcome", event, place, replace(rule, outcome=None))
                yield _mutant(f"{name} outcome inverted", event, place, replace(rule, outcome=not rule.outcome))
            if rule.same is not None:
                yield _mutant(f"{name} any origin", event, place, replace(rule, same=None))
                yield _mutant(f"{name} origin inverted", event, place, replace(rule, same=not rule.same))


def _mutant(name: str, event: Event, place: int, rule: Rule) -> Mutant:
    rules = tuple(rule if at == place else old for at, old in enumerate(TABLE[event]))
    return Mutant(name, event, {**TABLE, event: rules})


ALL = list(mutants())


def broken_in() -> int | None:
    """Return the seed of the first life that breaks a promise."""
    for seed in range(LIVES):
        try:
            walk(seed, STEPS)
        except AssertionError:
            return seed
    return None


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_the_rows_see_that_a_guard_is_gone(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.put(monkeypatch)
    with pytest.raises(AssertionError):
        check_event(mutant.event)


@pytest.mark.parametrize(
    "mutant", [one for one in ALL if one.name not in UNSEEN | RACES.keys()], ids=lambda mutant: mutant.name
)
def test_the_machine_sees_that_a_guard_is_gone(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.put(monkeypatch)
    assert broken_in() is not None


@pytest.mark.parametrize("mutant", [one for one in ALL if one.name in RACES], ids=lambda mutant: mutant.name)
def test_a_race_needs_the_guard_that_refuses_it(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(RACES[mutant.name]())
    mutant.put(monkeypatch)
    with pytest.raises(AssertionError):
        settle(RACES[mutant.name]())


def test_both_see_that_the_fence_of_the_epoch_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_any_lease(rule: Rule, task: Task, move: Move) -> bool:
        return admits(rule, task, replace(move, epoch=None))

    monkeypatch.setattr(lifecycle, "admits", of_any_lease)
    with pytest.raises(AssertionError):
        check_event(Event.CLAIM)
    assert broken_in() is not None


@pytest.mark.parametrize("event", DUE)
def test_both_see_that_the_fence_of_the_due_time_is_gone(event: Event, monkeypatch: pytest.MonkeyPatch) -> None:
    def whenever(rule: Rule, task: Task, move: Move) -> bool:
        return admits(rule, task, replace(move, due_by=None) if move.event is event else move)

    settle(DUE[event]())
    monkeypatch.setattr(lifecycle, "admits", whenever)
    with pytest.raises(AssertionError):
        check_event(event)
    with pytest.raises(AssertionError):
        settle(DUE[event]())
    assert broken_in() is not None


def test_the_rows_see_that_a_task_without_a_due_time_is_taken_for_due(monkeypatch: pytest.MonkeyPatch) -> None:
    def undated(rule: Rule, task: Task, move: Move) -> bool:
        return admits(rule, task, move if task.next_at is not None else replace(move, due_by=None))

    monkeypatch.setattr(lifecycle, "admits", undated)
    with pytest.raises(AssertionError):
        check_event(Event.TAKE)


@pytest.mark.parametrize(
    ("name", "event"),
    [(name, event) for name in ("_CLEARS_CLAIM", "_CLEARS_OUTCOME") for event in sorted(getattr(lifecycle, name))],
)
def test_the_rows_see_that_a_field_is_not_cleared(name: str, event: Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, name, getattr(lifecycle, name) - {event})
    with pytest.raises(AssertionError):
        check_event(event)


def test_both_see_that_a_delivered_failure_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_CLEARS_OUTCOME", lifecycle._CLEARS_OUTCOME - {Event.DELIVERED_RETRY})
    assert broken_in() is not None


@pytest.mark.parametrize("state", sorted(lifecycle._ENDS))
def test_both_see_that_a_task_at_rest_stays_due(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_ENDS", lifecycle._ENDS - {state})
    with pytest.raises(AssertionError):
        check_every_event()
    if state is not State.FAILED:  # whoever writes down an incident says when to look at it
        assert broken_in() is not None


def test_both_see_that_a_new_lease_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "counts", lambda event: {} if event is Event.REFETCH else counts(event))
    with pytest.raises(AssertionError):
        check_event(Event.REFETCH)
    assert broken_in() is not None


def test_the_machine_sees_that_a_failure_is_taken_for_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle_model, "delivered", lambda outcome: Event.DELIVERED_COMPLETION)
    assert broken_in() is not None


def test_what_is_listed_is_a_guard_of_the_table() -> None:
    assert UNSEEN | RACES.keys() <= {mutant.name for mutant in ALL}
    assert UNSEEN.isdisjoint(RACES)
