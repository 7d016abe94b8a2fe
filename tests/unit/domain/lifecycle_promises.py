"""What holds after each step in the life of tasks, and where all of them must have come to in the end."""

from __future__ import annotations

from collections.abc import Callable

from bridge.domain.lifecycle import LEASES, REOPENED, Event
from bridge.domain.task import FINAL, LIVE, Completion, State
from tests.unit.domain.lifecycle_engine import LOCK, Answer
from tests.unit.domain.lifecycle_model import World

RESTING = frozenset(State) - LIVE
WATCHED = LIVE | {State.FAILED}
LEASED = frozenset({State.RECEIVED, State.QUEUED, State.RUNNING, State.REPORTING})
UNLEASED = frozenset({State.RETRYING, State.FAILED, State.SUPERSEDED})
UNCLAIMED = frozenset({State.SUPERSEDED, State.CANCELLED})
KEPT_BY = frozenset({State.REPORTING, State.FAILED, State.SUPERSEDED, State.RETRYING, *FINAL})
"""Where a task may have an outcome."""


def no_accepted_task_is_without_a_next_step(world: World) -> None:
    """Each live task is looked at again at `next_at`, and finds there what its step needs; others rest for a reason.

    An incident is looked at as well: the engine tells nobody of a process that was cancelled.
    """
    for task in world.store.tasks.values():
        assert (task.next_at is not None) == (task.state in WATCHED)
        assert (task.outcome is not None) or task.state is not State.REPORTING, "nothing to report"
        assert task.outcome is None or task.state in KEPT_BY
        assert task.outcome is not None or task.state not in {State.COMPLETED, State.UNKNOWN}, "its outcome is lost"
        if task.state is State.FAILED and task.id in world.engine.open and task.id not in world.engine.lost:
            lock = world.engine.open[task.id]
            assert lock.retries is not None, "no incident stands, and nothing was raised"
    for step in world.written:
        if step.before is not None and step.after.state is State.RETRYING:
            if step.before.state is State.REPORTING:
                assert step.after.outcome is None, "an outcome was put aside"
            if step.before.state is State.FAILED:
                assert step.event is Event.REVIVE, "an incident was taken from its operator"


def a_lease_given_back_is_not_used_again(world: World) -> None:
    """RETRYING and FAILED hold no lock, SUPERSEDED another's: to run or to report takes a new lease."""
    for step in world.written:
        if step.before is not None and step.before.state in UNLEASED and step.after.epoch == step.before.epoch:
            assert step.after.state not in LEASED


def an_outcome_is_never_overwritten_in_its_epoch(world: World) -> None:
    assert all(times == 1 for times in world.decided.values())
    for step in world.written:
        if step.before is not None and None not in (step.before.outcome, step.after.outcome):
            assert step.before.outcome == step.after.outcome


def the_epoch_only_rises(world: World) -> None:
    for step in world.written:
        if step.before is not None:
            assert step.after.epoch == step.before.epoch + (step.event in LEASES)


def at_most_one_report_is_accepted(world: World) -> None:
    """The engine takes one result a task, and what the store calls completed is what the engine took.

    Unless it lost that: then it takes it once more.
    """
    assert all(times <= 1 for times in world.engine.results.values())
    for task in world.among(State.COMPLETED):
        assert world.engine.results[task.id] == 1 or task.id in world.engine.lost


def no_handler_runs_again_for_an_undelivered_outcome(world: World) -> None:
    for step in world.written:
        if step.event is Event.CLAIM:
            assert step.before is not None
            assert step.before.outcome is None


def a_final_state_changes_only_where_the_engine_lost_it(world: World) -> None:
    """What was decided is delivered again, then, and only who was never decided on runs anew."""
    for step in world.written:
        if step.before is not None:
            if step.before.state in FINAL:
                assert step.event in {Event.REOPEN, Event.REPLACE}
                assert step.before.id in world.engine.lost or step.before.state is not State.COMPLETED
            if step.event is Event.REOPEN:
                assert step.before.state in FINAL, "it is open"
                assert step.after.outcome == step.before.outcome
                assert step.after.state is (State.RECEIVED if step.before.outcome is None else State.REPORTING)
                assert step.after.history[-1].ended == REOPENED
            if step.before.state is State.SUPERSEDED and step.after.epoch == step.before.epoch:
                assert step.after.state in UNCLAIMED, "only a new lease reopens it"


def a_task_is_never_a_mixture_of_two(world: World) -> None:
    """A lease goes on with the very task that it is of; of another under the same id nothing stays."""
    for step in world.written:
        if step.before is None or step.event not in LEASES:
            continue
        if step.event is Event.REPLACE:
            assert step.before.process_instance_id != step.after.process_instance_id
            after = step.after
            assert (after.history, after.outcome, after.attempts, after.claim_id) == ((), None, 0, None)
            assert after.created_at > step.before.created_at, "an earlier life came back"
        else:
            assert step.before.process_instance_id == step.after.process_instance_id


def at_most_one_claim_is_live(world: World) -> None:
    """While a claim's time runs and its lease stands, the task is its own."""
    for claim_id, held in world.claims.items():
        task = world.task(held.task.id)
        if held.over or held.until <= world.now or task.epoch != held.task.epoch or task.state in UNCLAIMED:
            continue
        assert (task.state, task.claim_id, task.next_at) == (State.RUNNING, claim_id, held.until)


def one_looks_after_a_task_that_is_due(world: World) -> None:
    """Of all who saw it due the first acts on it, and it is due again only when that one should be done."""
    for step in world.written:
        if step.move is not None and step.move.due_by is not None:
            assert step.before is not None
            assert step.before.next_at is not None
            assert step.before.next_at <= step.at, "another has taken it"


def what_is_done_for_a_claim_ends_with_it(world: World) -> None:
    for step in world.written:
        if step.move is not None and step.move.claim_id is not None:
            assert step.before is not None
            assert (step.before.state, step.before.claim_id) == (State.RUNNING, step.move.claim_id)


def what_the_engine_took_is_no_incident(world: World) -> None:
    for move in world.refused:
        task = world.task(move.task_id)
        if move.event is Event.DELIVERED_COMPLETION and move.epoch == task.epoch:
            assert task.state is not State.FAILED


PROMISES: tuple[Callable[[World], None], ...] = (
    no_accepted_task_is_without_a_next_step,
    a_lease_given_back_is_not_used_again,
    an_outcome_is_never_overwritten_in_its_epoch,
    the_epoch_only_rises,
    at_most_one_report_is_accepted,
    no_handler_runs_again_for_an_undelivered_outcome,
    a_final_state_changes_only_where_the_engine_lost_it,
    a_task_is_never_a_mixture_of_two,
    at_most_one_claim_is_live,
    one_looks_after_a_task_that_is_due,
    what_is_done_for_a_claim_ends_with_it,
    what_the_engine_took_is_no_incident,
)


def keep_promises(world: World) -> None:
    for promise in PROMISES:
        promise(world)
    world.written.clear()
    world.refused.clear()


def settle(world: World) -> None:
    """Let what is on its way land late; then, with all processes gone, let a fresh one do every next step in turn."""
    while world.pending:
        world.land(0)
        keep_promises(world)
    for process in ("p1", "p2"):
        world.crash(process)
    for _ in range(12):
        world.now += 2 * LOCK
        world.fetch("p3")
        while world.leases:
            world.accept(0)
            keep_promises(world)
        for task_id in list(world.store.tasks):
            _tend(world, task_id)
    for task in world.store.tasks.values():
        assert task.state in RESTING, f"stuck: {task}"
        assert task.state is not State.FAILED or task.id in world.engine.open, "an incident of which nothing is left"
        assert task.state is not State.SUPERSEDED or (task.error and not world.engine.results[task.id])
    assert not world.engine.offers(world.now), "the engine still offers a task"
    for task_id, lock in world.engine.open.items():
        assert lock.retries == 0
        task = world.task(task_id)
        others = task.state is State.SUPERSEDED and lock.worker != task.worker_id
        assert others or task.state is State.FAILED, "an incident that nobody sees"


def _tend(world: World, task_id: str) -> None:
    """Do all that is to be done for a task now, by the steps that each leads to."""
    for _ in range(8):
        task = world.task(task_id)
        if task.state not in WATCHED:
            return
        if task.state is State.RUNNING and task.claim_id in world.claims:
            world.decide(task.claim_id, Completion)
        elif task.state is State.QUEUED and world.sent and world.sent[-1].id == task_id:
            world.deliver("p3", world.sent[-1])
        elif task.state in {State.RETRYING, State.FAILED} and (task.next_at is None or task.next_at > world.now):
            return
        else:
            world.wait_for(task)
            world.recover("p3", task)
        while world.deliveries:
            world.send(0, Answer.GIVEN)
        while world.pending:
            world.land(0)
            keep_promises(world)
