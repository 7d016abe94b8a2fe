"""The table of the design, written out a second time and by hand, and a look at every stand that a move may meet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bridge.domain import lifecycle
from bridge.domain.lifecycle import Event, Move, Origin
from bridge.domain.task import Attempt, Completion, State, Task

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OUTCOME = Completion()

OPEN = "received queued running reporting retrying failed"


@dataclass(frozen=True, slots=True)
class Row:
    """From which states an event leads where ("" keeps the state), and what else must hold."""

    event: Event
    sources: str
    to: str
    claimed: bool = False
    outcome: bool | None = None
    same: bool | None = None


ROWS = (
    Row(Event.CONFIRM, "received", "queued"),
    Row(Event.STALE, "queued", "received"),
    Row(Event.CLAIM, "received queued", "running"),
    Row(Event.RENEW, "running", "", claimed=True),
    Row(Event.RENEW, "received queued", ""),
    Row(Event.DECIDE, "running", "reporting", claimed=True),
    Row(Event.LOSE_CLAIM, "running", "received", claimed=True),
    Row(Event.GIVE_UP, "running", "reporting", claimed=True),
    Row(Event.RELEASE, "running", "retrying", claimed=True),
    Row(Event.RELEASE, "received queued", "retrying"),
    Row(Event.DELIVERED_COMPLETION, "reporting", "completed"),
    Row(Event.DELIVERED_RETRY, "reporting", "retrying"),
    Row(Event.DELIVERED_INCIDENT, "reporting", "failed"),
    Row(Event.DEFER, "reporting retrying", ""),
    Row(Event.UNDELIVERABLE, "reporting", "failed"),
    Row(Event.ENDED_BY_US, "reporting", "completed"),
    Row(Event.END_UNKNOWN, "reporting", "unknown"),
    Row(Event.END_UNKNOWN, "failed retrying", "unknown", outcome=True),
    Row(Event.REFETCH, f"{OPEN} superseded", "received", outcome=False, same=True),
    Row(Event.REFETCH, f"{OPEN} superseded", "reporting", outcome=True, same=True),
    Row(Event.REOPEN, "completed unknown", "reporting", same=True),
    Row(Event.REOPEN, "cancelled", "reporting", outcome=True, same=True),
    Row(Event.REOPEN, "cancelled", "received", outcome=False, same=True),
    Row(Event.REPLACE, f"{OPEN} superseded completed cancelled unknown", "received", same=False),
    Row(Event.FAILURE_TAKEN, "reporting", "received", outcome=True),
    Row(Event.SUPERSEDE, OPEN, "superseded"),
    Row(Event.GONE, f"{OPEN} superseded", "cancelled"),
    Row(Event.REVIVE, "failed", "retrying"),
    Row(Event.DELIVERED_COMPLETION, "failed retrying", "completed", outcome=True),
    Row(Event.ENDED_BY_US, "failed retrying", "completed", outcome=True),
    Row(Event.TAKE, "received queued reporting retrying failed", ""),
    Row(Event.EXHAUSTED, "retrying", "failed"),
)
CLEARS_CLAIM = {Event.LOSE_CLAIM, Event.RELEASE, Event.REFETCH, Event.REOPEN, Event.REPLACE}
CLEARS_OUTCOME = {Event.DELIVERED_RETRY, Event.DELIVERED_INCIDENT, Event.FAILURE_TAKEN, Event.REPLACE}
CLEARS_HISTORY = {Event.REPLACE}
CLEARS_LOST_CLAIMS = {Event.DELIVERED_INCIDENT, Event.UNDELIVERABLE, Event.EXHAUSTED}
CLEARS_NEXT = {
    Event.DELIVERED_COMPLETION,
    Event.DELIVERED_INCIDENT,
    Event.UNDELIVERABLE,
    Event.ENDED_BY_US,
    Event.END_UNKNOWN,
    Event.SUPERSEDE,
    Event.GONE,
    Event.EXHAUSTED,
}
COUNTS = {
    Event.CLAIM: {"attempts": 1},
    Event.LOSE_CLAIM: {"lost_claims": 1},
    Event.GIVE_UP: {"lost_claims": 1},
    Event.REFETCH: {"epoch": 1},
    Event.REOPEN: {"epoch": 1},
    Event.REPLACE: {"epoch": 1},
    Event.DEFER: {"reports": 1},
}


Stand = tuple[Task, Move]


def every_stand(event: Event) -> Iterator[Stand]:
    """Give a task in each state, with and without an outcome and a claim, for each fence that a move may carry."""
    for state in State:
        for outcome in (None, OUTCOME):
            for held in (None, "mine"):
                task = Task(
                    "t", "topic", "w", NOW, NOW, NOW, 3, state=state, outcome=outcome, epoch=5, claim_id=held,
                    next_at=NOW, attempts=7, lost_claims=1, reports=2,
                )  # fmt: skip
                for epoch in (None, 4, 5, 6):
                    for claim_id in (None, "mine", "other"):
                        for due_by in (None, NOW - timedelta(seconds=1), NOW):
                            changes = {"updated_at": NOW + timedelta(seconds=1)}
                            yield task, Move("t", event, epoch, claim_id, changes, due_by=due_by)
                yield from _stands_of_leases(event, state, outcome, held)
                # At rest it is due at no time at all.
                for claim_id in (None, "mine"):
                    yield task.changed(next_at=None), Move("t", event, 5, claim_id, {"updated_at": NOW}, due_by=NOW)


def _stands_of_leases(event: Event, state: State, outcome: Completion | None, held: str | None) -> Iterator[Stand]:
    """Give a task for leases on it and on others that have its id."""
    origins = (None, Origin("topic", "i"), Origin("topic", None), Origin("mail", "i"), Origin("topic", "other"))
    changes = {"updated_at": NOW}
    attempt = Attempt(1, "c", "r", NOW, NOW, "failed")
    for instance in (None, "i"):
        task = Task(
            "t", "topic", "w", NOW, NOW, NOW, 3, state=state, outcome=outcome, epoch=5, claim_id=held, next_at=NOW,
            process_instance_id=instance, history=(attempt,),
        )  # fmt: skip
        for origin in origins:
            for epoch, claim_id in ((None, None), (5, None), (4, None), (5, held)):
                yield task, Move("t", event, epoch, claim_id, changes, origin=origin)


def expected(task: Task, move: Move) -> Task | None:
    """Return what the design makes of a move."""
    for row in ROWS:
        if row.event is not move.event or task.state.value not in row.sources.split():
            continue
        if move.due_by is not None and (task.next_at is None or move.due_by < task.next_at):
            continue
        if row.same is not None and (move.origin is None or row.same != _is_same(task, move.origin)):
            continue
        fenced = (
            move.epoch in {None, task.epoch}
            and row.claimed == (move.claim_id is not None)
            and (not row.claimed or move.claim_id == task.claim_id)
        )
        if not fenced or row.outcome not in {None, task.outcome is not None}:
            continue
        moved = task.changed(state=State(row.to or task.state), updated_at=move.changes["updated_at"])
        moved = moved if row.event not in CLEARS_CLAIM else moved.changed(claim_id=None)
        moved = moved if row.event not in CLEARS_OUTCOME else moved.changed(outcome=None)
        moved = moved if row.event not in CLEARS_HISTORY else moved.changed(history=())
        moved = moved if row.event not in CLEARS_LOST_CLAIMS else moved.changed(lost_claims=0)
        moved = moved if row.event not in CLEARS_NEXT else moved.changed(next_at=None)
        for counter, by in COUNTS.get(row.event, {}).items():
            moved = moved.changed(**{counter: getattr(task, counter) + by})
        return moved
    return None


def _is_same(task: Task, origin: Origin) -> bool:
    if origin.topic != task.topic:
        return False
    return None in (task.process_instance_id, origin.process_instance_id) or (
        task.process_instance_id == origin.process_instance_id
    )


def check_event(event: Event) -> int:
    """Hold an event against the design in every stand, and return how often it was allowed.

    At most one rule may admit a move: MongoDB tries them side by side, where memory takes the first.
    """
    allowed = 0
    for task, move in every_stand(event):
        wanted = expected(task, move)
        assert lifecycle.apply(task, move) == wanted, (task, move)
        admitting = sum(lifecycle.admits(rule, task, move) for rule in lifecycle.TABLE[event])
        assert admitting == (wanted is not None), (task, move)
        allowed += admitting
    return allowed


def check_every_event() -> None:
    for event in Event:
        check_event(event)
