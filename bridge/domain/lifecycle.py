"""The only transition table: which event may move a task from which state to which, and under which fence.

Pure: no I/O and no clock. The in-memory store runs `apply`; the MongoDB store turns the same rules into filters of a
compare-and-set. Nothing else decides a state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, assert_never

from bridge.domain.task import FINAL, Attempt, BpmnFault, Completion, Failure, Outcome, State, Task, TaskKey

HISTORY_LIMIT = 20


class Event(StrEnum):
    """An event of a task's life."""

    CONFIRM = "confirm"
    STALE = "stale"
    CLAIM = "claim"
    RENEW = "renew"
    DECIDE = "decide"
    LOSE_CLAIM = "lose_claim"
    GIVE_UP = "give_up"
    RELEASE = "release"
    DELIVERED_COMPLETION = "delivered_completion"
    DELIVERED_RETRY = "delivered_retry"
    DELIVERED_INCIDENT = "delivered_incident"
    DEFER = "defer"
    UNDELIVERABLE = "undeliverable"
    ENDED_BY_US = "ended_by_us"
    END_UNKNOWN = "end_unknown"
    REFETCH = "refetch"
    REOPEN = "reopen"
    REPLACE = "replace"
    FAILURE_TAKEN = "failure_taken"
    SUPERSEDE = "supersede"
    GONE = "gone"
    REVIVE = "revive"
    TAKE = "take"
    EXHAUSTED = "exhausted"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    `claimed`: the write must carry the claim id that the task holds, else it must carry none: what is done in the name
    of a claim ends with the claim. `outcome`: whether an undelivered outcome must
    (True) or must not (False) be stored; None does not ask. `same`: whether the move's lease must be one of the very
    task that is kept (True) or of another that the engine has under its id (False). `to` None keeps the state.
    """

    sources: frozenset[State]
    to: State | None
    claimed: bool = False
    outcome: bool | None = None
    same: bool | None = None


def _rule(
    *sources: State, to: State | None, claimed: bool = False, outcome: bool | None = None, same: bool | None = None
) -> Rule:
    return Rule(frozenset(sources), to, claimed, outcome, same)


_OPEN = (State.RECEIVED, State.QUEUED, State.RUNNING, State.REPORTING, State.RETRYING, State.FAILED)

# Rules of one event have disjoint guards, so their order carries no meaning.
TABLE: Mapping[Event, tuple[Rule, ...]] = {
    Event.CONFIRM: (_rule(State.RECEIVED, to=State.QUEUED),),
    Event.STALE: (_rule(State.QUEUED, to=State.RECEIVED),),
    Event.CLAIM: (_rule(State.RECEIVED, State.QUEUED, to=State.RUNNING),),
    Event.RENEW: (
        _rule(State.RUNNING, to=None, claimed=True),
        _rule(State.RECEIVED, State.QUEUED, to=None),
    ),
    Event.DECIDE: (_rule(State.RUNNING, to=State.REPORTING, claimed=True),),
    Event.LOSE_CLAIM: (_rule(State.RUNNING, to=State.RECEIVED, claimed=True),),
    Event.GIVE_UP: (_rule(State.RUNNING, to=State.REPORTING, claimed=True),),
    # At shutdown: the lock is given back, so the engine offers the task again and no retry is burnt.
    Event.RELEASE: (
        _rule(State.RECEIVED, State.QUEUED, to=State.RETRYING),
        _rule(State.RUNNING, to=State.RETRYING, claimed=True),
    ),
    Event.DELIVERED_COMPLETION: (
        _rule(State.REPORTING, to=State.COMPLETED),
        # Two deliveries at once: the other one gave the outcome up a moment before the engine took this one.
        _rule(State.FAILED, State.RETRYING, to=State.COMPLETED, outcome=True),
    ),
    Event.DELIVERED_RETRY: (_rule(State.REPORTING, to=State.RETRYING),),
    Event.DELIVERED_INCIDENT: (_rule(State.REPORTING, to=State.FAILED),),
    Event.DEFER: (_rule(State.REPORTING, State.RETRYING, to=None),),
    # The engine can't take the outcome (its next step fails): there is an incident, and the outcome is kept for later.
    Event.UNDELIVERABLE: (_rule(State.REPORTING, to=State.FAILED),),
    Event.ENDED_BY_US: (
        _rule(State.REPORTING, to=State.COMPLETED),
        # As above, where the process whose outcome the engine took ended before it wrote that down.
        _rule(State.FAILED, State.RETRYING, to=State.COMPLETED, outcome=True),
    ),
    # Neither the engine's log nor its history shows who ended the task.
    Event.END_UNKNOWN: (
        _rule(State.REPORTING, to=State.UNKNOWN),
        _rule(State.FAILED, State.RETRYING, to=State.UNKNOWN, outcome=True),
    ),
    Event.REFETCH: (
        _rule(*_OPEN, State.SUPERSEDED, to=State.RECEIVED, outcome=False, same=True),
        _rule(*_OPEN, State.SUPERSEDED, to=State.REPORTING, outcome=True, same=True),
    ),
    # The engine offers a task that ended: its database was put back, or an address led elsewhere. What was decided is
    # delivered again, and no handler runs. (The mover brings the outcome: a version before kept it otherwise.)
    Event.REOPEN: (
        _rule(State.COMPLETED, State.UNKNOWN, to=State.REPORTING, same=True),
        _rule(State.CANCELLED, to=State.REPORTING, outcome=True, same=True),
        _rule(State.CANCELLED, to=State.RECEIVED, outcome=False, same=True),
    ),
    # The engine has another task under the id, as it may where ids are numbers: nothing of the old one is kept.
    Event.REPLACE: (_rule(*State, to=State.RECEIVED, same=False),),
    # The engine's new lease shows that it has the stored failure, though no process wrote that down.
    Event.FAILURE_TAKEN: (_rule(State.REPORTING, to=State.RECEIVED, outcome=True),),
    Event.SUPERSEDE: (_rule(*_OPEN, to=State.SUPERSEDED),),
    Event.GONE: (_rule(*_OPEN, State.SUPERSEDED, to=State.CANCELLED),),
    Event.REVIVE: (_rule(State.FAILED, to=State.RETRYING),),
    # Of the replicas that see a task due, one is to handle it.
    Event.TAKE: (_rule(State.RECEIVED, State.QUEUED, State.REPORTING, State.RETRYING, State.FAILED, to=None),),
    # Somebody took the last retry away in the engine: it won't offer the task again.
    Event.EXHAUSTED: (_rule(State.RETRYING, to=State.FAILED),),
}

LEASES = frozenset({Event.REFETCH, Event.REOPEN, Event.REPLACE})
"""The events that give a known id a new lease."""
REOPENED = "reopened"
"""How the entry ends that a task's history gets where the engine offers it again after its end."""

_CLEARS_CLAIM = LEASES | {Event.LOSE_CLAIM, Event.RELEASE}
# A task that ended keeps its outcome: the engine may offer it again.
_CLEARS_OUTCOME = frozenset({Event.DELIVERED_RETRY, Event.DELIVERED_INCIDENT, Event.FAILURE_TAKEN, Event.REPLACE})
_CLEARS_HISTORY = frozenset({Event.REPLACE})
_ENDS = FINAL | {State.FAILED, State.SUPERSEDED}


@dataclass(frozen=True, slots=True)
class Origin:
    """Which of the engine's tasks a lease is of: an id of its own tells that only as long as no id is given twice.

    Not by the time of creation: it shifts with the zone of the engine's JVM. Not by the activity: a migrated process
    instance keeps its tasks, and moves them to others.
    """

    topic: str
    process_instance_id: str | None

    def is_of(self, task: Task) -> bool:
        """Return whether it is the kept task; what is not known of one, as of an unchecked submission, is ignored."""
        instances = {None, self.process_instance_id}
        return self.topic == task.topic and (self.process_instance_id is None or task.process_instance_id in instances)


@dataclass(frozen=True, slots=True)
class Move:
    """A transition with its fence: it happens only if the task is still as the mover read it.

    `epoch` None stands for a new lease (REFETCH) or an operator, whose fence is the state alone. `due_by`: only if the
    task is due by then, so that nothing happens to one that was renewed, or taken by another, in the meantime.
    `origin` is that of a lease. `changes` sets fields of `Task` by name; `attempt` is appended to its history.
    `topic`: only if the task is of that topic, so that a message on one topic's queue names no task of another's.
    `thrown` tells that the model threw a BPMN error in place of the outcome; nothing depends on it but what is counted.
    """

    task_id: str
    event: Event
    epoch: int | None
    claim_id: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    attempt: Attempt | None = None
    due_by: datetime | None = None
    origin: Origin | None = None
    topic: str | None = None
    thrown: bool = False


def sets(event: Event) -> dict[str, Any]:
    """Return the fields that an event sets by itself, whatever the mover adds."""
    fields: dict[str, Any] = {}
    if event in _CLEARS_CLAIM:
        fields["claim_id"] = None
    if event in _CLEARS_OUTCOME:
        fields["outcome"] = None
    if all(rule.to in _ENDS for rule in TABLE[event]):
        fields["next_at"] = None
    if all(rule.to is State.FAILED for rule in TABLE[event]):
        # Whoever retries an incident, here or in the engine: its handler gets all its claims again.
        fields["lost_claims"] = 0
    return fields


def counts(event: Event) -> dict[str, int]:
    """Return the counters that an event raises."""
    match event:
        case Event.CLAIM:
            return {"attempts": 1}
        case Event.LOSE_CLAIM | Event.GIVE_UP:
            return {"lost_claims": 1}
        case Event.REFETCH | Event.REOPEN | Event.REPLACE:
            return {"epoch": 1}
        case Event.DEFER:
            return {"reports": 1}
        case _:
            return {}


def admits(rule: Rule, task: Task, move: Move) -> bool:
    """Return whether `rule` lets `move` happen to `task` as it stands."""
    if task.state not in rule.sources:
        return False
    if move.epoch not in {None, task.epoch} or move.topic not in {None, task.topic}:
        return False
    if move.due_by is not None and (task.next_at is None or task.next_at > move.due_by):
        return False
    if rule.same is not None and (move.origin is None or rule.same != move.origin.is_of(task)):
        return False
    if rule.claimed != (move.claim_id is not None) or (rule.claimed and move.claim_id != task.claim_id):
        return False
    return rule.outcome is None or rule.outcome == (task.outcome is not None)


def apply(task: Task, move: Move) -> Task | None:
    """Return the task after `move`, or None when the table or the fence refuses it."""
    for rule in TABLE[move.event]:
        if not admits(rule, task, move):
            continue
        counters = {name: getattr(task, name) + by for name, by in counts(move.event).items()}
        before = () if move.event in _CLEARS_HISTORY else task.history
        history = before if move.attempt is None else (*before, move.attempt)[-HISTORY_LIMIT:]
        fields = {**sets(move.event), **counters, **move.changes, "history": history}
        return task.changed(state=rule.to or task.state, **fields)
    return None


def delivered(outcome: Outcome) -> Event:
    """Return the event that follows when the engine took `outcome` (204)."""
    match outcome:
        case Completion() | BpmnFault():
            return Event.DELIVERED_COMPLETION
        case Failure(retries=0):
            return Event.DELIVERED_INCIDENT
        case Failure():
            return Event.DELIVERED_RETRY
        case _:
            assert_never(outcome)


def clears_history(event: Event) -> bool:
    """Return whether an event ends the history of a task, and with it all that another task under its id has done."""
    return event in _CLEARS_HISTORY


def refetch(task: Task) -> Move:
    """Return the move that gives a known task the new lease that `task` came with."""
    return Move(task.id, Event.REFETCH, epoch=None, changes=_lease_of(task), origin=origin_of(task))


def lease_anew(known: Task, task: Task) -> Move | None:
    """Return the move that gives `known`, which no REFETCH reopens, the new lease that `task` came with.

    None where the lease is of before the end of the task, or of the life that it has now, as when it is kept late;
    and where there is nothing to reopen: it is the same task, and open.
    """
    over = known.state in FINAL
    since = known.finished_at if over and known.finished_at is not None else known.created_at
    origin = origin_of(task)
    if task.created_at <= since:
        return None
    if not origin.is_of(known):
        return Move(task.id, Event.REPLACE, known.epoch, changes=_whole(task), origin=origin)
    if not over:
        return None
    at = task.created_at
    attempt = Attempt(known.attempts, "", task.replica or "", at, at, REOPENED, *_WHY_REOPENED[known.state])
    changes = {**_lease_of(task), "outcome": known.outcome, "error": attempt.message, **_UNSENT}
    return Move(task.id, Event.REOPEN, known.epoch, changes=changes, attempt=attempt, origin=origin)


def leased_by(kept: Task, lease: Task) -> Event | None:
    """Return the event by which a task got the lease that it has been kept with; None where it is new."""
    if kept.epoch == 1:
        return None
    if abs(kept.created_at - lease.created_at) < _FINEST:
        return Event.REPLACE
    last = kept.history[-1] if kept.history else None
    reopened = last is not None and last.ended == REOPENED and abs(last.ended_at - lease.created_at) < _FINEST
    return Event.REOPEN if reopened else Event.REFETCH


def shows_failure(lease: Task, kept: Task) -> bool:
    """Return whether the lease that a task came back with shows that the engine has taken the failure which is kept.

    The engine sets the retries that a failure says; before that it had one more, or none at all.
    """
    failure = kept.outcome if kept.state is State.REPORTING else None
    return isinstance(failure, Failure) and failure.retries == lease.retries + 1


def origin_of(task: Task) -> Origin:
    return Origin(task.topic, task.process_instance_id)


def _lease_of(task: Task) -> dict[str, Any]:
    """Return what a new lease changes: what the engine says replaces what an unverified submission said."""
    names = _LEASE if not task.verified else (*_LEASE, *_FROM_ENGINE)
    return {**{name: getattr(task, name) for name in names}, "finished_at": None}


def _whole(task: Task) -> dict[str, Any]:
    return {name: getattr(task, name) for name in Task.__struct_fields__ if name not in _OWN}


_FINEST = timedelta(milliseconds=1)
"""The precision of a stored time."""
_LEASE = (
    "worker_id", "lease_until", "next_at", "updated_at", "variables", "retries", "priority", "verified", "replica",
)  # fmt: skip
_FROM_ENGINE = (
    "business_key", "process_instance_id", "process_definition_key", "process_definition_id", "activity_id",
    "activity_instance_id", "execution_id", "tenant_id", "engine_created_at", "properties",
)  # fmt: skip
_UNSENT: Mapping[str, Any] = {"reports": 0, "refusals": 0, "in_flight_until": None}
_OWN = frozenset({"id", "epoch", "state", "history"})
_WHY_REOPENED: Mapping[State, tuple[str, str]] = {
    State.COMPLETED: (
        "CompletionLost",
        "the engine lost this completion and offers the task again: its result is delivered again, without the handler",
    ),
    State.UNKNOWN: (
        "EndLost",
        "the engine offers the task again, whose end was unknown: its outcome is delivered again, without the handler",
    ),
    State.CANCELLED: ("EndLost", "the engine offers the task again, which was gone from it"),
}


def claim_of(topic: str, key: TaskKey, claim_id: str, *, replica: str, now: datetime, until: datetime) -> Move:
    """Return the move of the topic's subscriber that wants to run the task which its message named."""
    return Move(
        key.id,
        Event.CLAIM,
        key.epoch,
        changes={
            "claim_id": claim_id,
            "claimed_at": now,
            "replica": replica,
            "next_at": until,
            "updated_at": now,
        },
        topic=topic,
    )
