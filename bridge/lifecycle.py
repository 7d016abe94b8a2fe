"""The only transition table: which event may move a task from which state to which, and under which fence.

Pure: no I/O and no clock. The in-memory store runs `apply`; the MongoDB store turns the same rules into filters of a
compare-and-set. Nothing else decides a state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, assert_never

from bridge.task import Attempt, BpmnFault, Completion, Failure, Outcome, State, Task, TaskKey

HISTORY_LIMIT = 20


class Event(StrEnum):
    """What happened to a task."""

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
    REFETCH = "refetch"
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
    (True) or must not (False) be stored; None does not ask. `to` None keeps the state.
    """

    sources: frozenset[State]
    to: State | None
    claimed: bool = False
    outcome: bool | None = None


def _rule(*sources: State, to: State | None, claimed: bool = False, outcome: bool | None = None) -> Rule:
    return Rule(frozenset(sources), to, claimed, outcome)


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
    # The engine can't take the outcome (its next step fails): an incident stands, and the outcome is kept for later.
    Event.UNDELIVERABLE: (_rule(State.REPORTING, to=State.FAILED),),
    Event.ENDED_BY_US: (
        _rule(State.REPORTING, to=State.COMPLETED),
        # As above, where the one that the engine took never came to write it down.
        _rule(State.FAILED, State.RETRYING, to=State.COMPLETED, outcome=True),
    ),
    Event.REFETCH: (
        _rule(*_OPEN, State.SUPERSEDED, to=State.RECEIVED, outcome=False),
        _rule(*_OPEN, State.SUPERSEDED, to=State.REPORTING, outcome=True),
    ),
    Event.SUPERSEDE: (_rule(*_OPEN, to=State.SUPERSEDED),),
    Event.GONE: (_rule(*_OPEN, State.SUPERSEDED, to=State.CANCELLED),),
    Event.REVIVE: (_rule(State.FAILED, to=State.RETRYING),),
    # Of the replicas that see a task due, one is to look after it.
    Event.TAKE: (_rule(State.RECEIVED, State.QUEUED, State.REPORTING, State.RETRYING, State.FAILED, to=None),),
    # Somebody took the last retry away in the engine: it won't offer the task again.
    Event.EXHAUSTED: (_rule(State.RETRYING, to=State.FAILED),),
}

_CLEARS_CLAIM = frozenset({Event.LOSE_CLAIM, Event.RELEASE, Event.REFETCH})
_CLEARS_OUTCOME = frozenset(
    {Event.DELIVERED_COMPLETION, Event.DELIVERED_RETRY, Event.DELIVERED_INCIDENT, Event.ENDED_BY_US, Event.GONE}
)
_ENDS = frozenset({State.COMPLETED, State.CANCELLED, State.FAILED, State.SUPERSEDED})


@dataclass(frozen=True, slots=True)
class Move:
    """A wished transition, with its fence: it happens only if the task still is where the mover believes it is.

    `epoch` None stands for a new lease (REFETCH) or an operator, whose fence is the state alone. `due_by`: only if the
    task is due by then, so that nothing happens to one that was renewed, or taken by another, in the meantime.
    `changes` sets fields of `Task` by name; `attempt` is appended to its history.
    """

    task_id: str
    event: Event
    epoch: int | None
    claim_id: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    attempt: Attempt | None = None
    due_by: datetime | None = None


def sets(event: Event) -> dict[str, Any]:
    """Return the fields that an event sets by itself, whatever the mover adds."""
    fields: dict[str, Any] = {}
    if event in _CLEARS_CLAIM:
        fields["claim_id"] = None
    if event in _CLEARS_OUTCOME:
        fields["outcome"] = None
    if all(rule.to in _ENDS for rule in TABLE[event]):
        fields["next_at"] = None
    return fields


def counts(event: Event) -> dict[str, int]:
    """Return the counters that an event raises."""
    match event:
        case Event.CLAIM:
            return {"attempts": 1}
        case Event.LOSE_CLAIM | Event.GIVE_UP:
            return {"lost_claims": 1}
        case Event.REFETCH:
            return {"epoch": 1}
        case Event.DEFER:
            return {"reports": 1}
        case _:
            return {}


def admits(rule: Rule, task: Task, move: Move) -> bool:
    """Tell whether `rule` lets `move` happen to `task` as it stands."""
    if task.state not in rule.sources:
        return False
    if move.epoch is not None and move.epoch != task.epoch:
        return False
    if move.due_by is not None and (task.next_at is None or task.next_at > move.due_by):
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
        history = task.history if move.attempt is None else (*task.history, move.attempt)[-HISTORY_LIMIT:]
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


def refetch(task: Task) -> Move:
    """Return the move that gives a known task the new lease that `task` came with."""
    return Move(
        task.id,
        Event.REFETCH,
        epoch=None,
        changes={
            "worker_id": task.worker_id,
            "lease_until": task.lease_until,
            "next_at": task.next_at,
            "updated_at": task.updated_at,
            "variables": task.variables,
            "retries": task.retries,
            "priority": task.priority,
            "verified": True,
            "replica": task.replica,
            "finished_at": None,
        },
    )


def claim_of(key: TaskKey, claim_id: str, replica: str, now: datetime, until: datetime) -> Move:
    """Return the move of a subscriber that wants to run the task which its message named."""
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
    )
