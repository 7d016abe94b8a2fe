"""Races that chance meets once in thousands of lives, step by step. By the table as it is they break no promise."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bridge.domain.lifecycle import Event
from bridge.domain.task import Completion, Failure, Outcome, State, Task
from tests.unit.domain.lifecycle_engine import LOCK, Answer
from tests.unit.domain.lifecycle_model import World
from tests.unit.domain.lifecycle_promises import keep_promises


def running(retries: int | None = None) -> World:
    world = World()
    world.start()
    world.engine.open["t1"].retries = retries
    world.fetch("p1")
    _run(world)
    return world


def _run(world: World) -> None:
    world.accept(0)
    world.publish("p1", world.task("t1"), confirmed=True)
    world.land(-1)
    world.deliver("p1", world.sent[-1])


def end(world: World, kind: type[Outcome]) -> None:
    (claim_id,) = world.claims
    world.decide(claim_id, kind)


def decide(world: World, kind: type[Outcome], copies: int = 2) -> Task:
    """Let the handler end, and several processes take up the report."""
    end(world, kind)
    world.land(-1)
    reporting = world.task("t1")
    assert reporting.state is State.REPORTING
    for _ in range(copies):
        world.take_up("p2", reporting)
    return reporting


def land(world: World, *events: Event) -> None:
    for event in events:
        world.land([write.move.event for write in world.pending].index(event))
        keep_promises(world)


def _incident_that_a_thief_takes(world: World) -> None:
    """Report a failure without retries; before that is written, an operator raises them in the engine, for a thief."""
    world.send(0, Answer.GIVEN)
    world.raise_retries("t1")
    world.steal("t1")
    world.send(0, Answer.GIVEN)


def _see(world: World, process: str) -> None:
    """Let a process see the task when it is due."""
    world.wait_for(world.task("t1"))
    world.recover(process, world.task("t1"))


def look_after(world: World, process: str) -> None:
    """Let a process see the task when it is due, and take it; what that leads to is not yet written."""
    _see(world, process)
    world.land(-1)
    keep_promises(world)


def stale() -> World:
    """Let a message arrive while its task is taken for one whose message was lost."""
    world = World()
    world.start()
    world.engine.open["t1"].retries = 1
    world.fetch("p1")
    world.accept(0)
    world.publish("p1", world.task("t1"), confirmed=True)
    land(world, Event.CONFIRM)
    look_after(world, "p2")
    world.deliver("p1", world.sent[-1])
    return world


def stale_after_it_was_decided() -> World:
    world = stale()
    end(world, Completion)
    land(world, Event.DECIDE, Event.STALE)
    return world


def stale_while_it_runs() -> World:
    world = stale()
    land(world, Event.STALE)
    return world


def stale_after_it_was_completed() -> World:
    world = stale()
    end(world, Completion)
    land(world, Event.DECIDE)
    look_after(world, "p1")
    world.send(0, Answer.GIVEN)
    land(world, Event.DELIVERED_COMPLETION, Event.STALE)
    return world


def stale_after_it_became_an_incident() -> World:
    world = stale()
    end(world, Failure)
    land(world, Event.DECIDE)
    look_after(world, "p1")
    world.send(0, Answer.GIVEN)
    land(world, Event.DELIVERED_INCIDENT, Event.STALE)
    return world


def completed_after_it_was_called_gone() -> World:
    world = running()
    decide(world, Completion)
    world.send(0, Answer.GIVEN)
    world.send(0, Answer.NO_LOG)
    land(world, Event.GONE, Event.DELIVERED_COMPLETION)
    return world


def found_in_the_log_after_it_was_called_gone() -> World:
    world = running()
    decide(world, Completion, copies=3)
    world.send(0, Answer.LOST)
    world.send(0, Answer.GIVEN)
    world.send(0, Answer.NO_LOG)
    land(world, Event.GONE, Event.ENDED_BY_US)
    return world


def completed_after_it_was_given_up() -> World:
    world = running()
    decide(world, Completion)
    world.send(0, Answer.REFUSED)
    world.send(0, Answer.GIVEN)
    land(world, Event.UNDELIVERABLE, Event.DELIVERED_COMPLETION)
    return world


def incident_after_it_was_called_gone() -> World:
    world = running(retries=1)
    decide(world, Failure)
    world.send(0, Answer.GIVEN)
    world.cancel("t1")
    world.send(0, Answer.GIVEN)
    land(world, Event.GONE, Event.DELIVERED_INCIDENT)
    return world


def retried_by_an_operator_after_it_was_called_gone() -> World:
    world = running(retries=1)
    decide(world, Failure, copies=1)
    world.send(0, Answer.GIVEN)
    land(world, Event.DELIVERED_INCIDENT)
    world.revive("p1", world.task("t1"))
    world.cancel("t1")
    look_after(world, "p2")
    land(world, Event.GONE, Event.REVIVE)
    return world


def incident_after_it_was_stolen() -> World:
    world = running(retries=1)
    decide(world, Failure)
    _incident_that_a_thief_takes(world)
    land(world, Event.SUPERSEDE, Event.DELIVERED_INCIDENT)
    return world


def given_up_after_it_was_stolen() -> World:
    world = running()
    decide(world, Completion)
    world.send(0, Answer.REFUSED)
    world.raise_retries("t1")
    world.steal("t1")
    world.send(0, Answer.GIVEN)
    land(world, Event.SUPERSEDE, Event.UNDELIVERABLE)
    return world


def retried_after_it_was_stolen() -> World:
    world = running()
    decide(world, Failure)
    world.send(0, Answer.GIVEN)
    world.steal("t1")
    world.send(0, Answer.GIVEN)
    land(world, Event.SUPERSEDE, Event.DELIVERED_RETRY)
    return world


def renewed_after_it_was_stolen() -> World:
    world = running(retries=1)
    world.renew(*world.claims)
    decide(world, Failure)
    _incident_that_a_thief_takes(world)
    land(world, Event.SUPERSEDE, Event.RENEW)
    return world


def retried_by_an_operator_after_it_was_stolen() -> World:
    world = running(retries=1)
    decide(world, Failure)
    world.send(0, Answer.GIVEN)
    land(world, Event.DELIVERED_INCIDENT)
    world.revive("p1", world.task("t1"))
    world.steal("t1")
    world.send(0, Answer.GIVEN)
    land(world, Event.SUPERSEDE, Event.REVIVE)
    return world


def retried_after_it_became_an_incident() -> World:
    world = running()
    decide(world, Failure)
    world.send(0, Answer.GIVEN)
    world.send(0, Answer.REFUSED)
    land(world, Event.UNDELIVERABLE, Event.DELIVERED_RETRY)
    return world


def kept_a_lease_of_old_after_it_was_completed() -> World:
    world = World()
    world.start()
    world.fetch("p2")
    (old,) = world.leases
    world.now += LOCK
    world.fetch("p1")
    world.leases.remove(old)
    _run(world)
    decide(world, Completion)
    world.send(0, Answer.GIVEN)
    land(world, Event.DELIVERED_COMPLETION)
    world.leases.append(old)
    world.accept(0)
    keep_promises(world)
    return world


def _exhausted() -> World:
    """Take the last retry from a task that waits for it; that is seen, and not yet written."""
    world = running()
    decide(world, Failure, copies=1)
    world.send(0, Answer.GIVEN)
    land(world, Event.DELIVERED_RETRY)
    world.exhaust("t1")
    look_after(world, "p1")
    return world


def exhausted_after_it_was_called_gone() -> World:
    world = _exhausted()
    world.cancel("t1")
    look_after(world, "p2")
    land(world, Event.GONE, Event.EXHAUSTED)
    return world


def exhausted_after_it_was_stolen() -> World:
    world = _exhausted()
    world.raise_retries("t1")
    world.wait_for(world.task("t1"))
    world.steal("t1")
    look_after(world, "p2")
    land(world, Event.SUPERSEDE, Event.EXHAUSTED)
    return world


def exhausted_after_it_was_completed() -> World:
    """Give an outcome up, and take it all the same, while two see that an operator's retry was taken away again."""
    world = running()
    decide(world, Completion)
    world.send(0, Answer.REFUSED)
    land(world, Event.UNDELIVERABLE)
    world.revive("p1", world.task("t1"))
    land(world, Event.REVIVE)
    world.exhaust("t1")
    for process in ("p1", "p2"):
        look_after(world, process)
    world.send(0, Answer.GIVEN)
    land(world, Event.EXHAUSTED, Event.DELIVERED_COMPLETION, Event.EXHAUSTED)
    return world


def looked_at_after_it_was_completed() -> World:
    world = running()
    decide(world, Completion)
    world.send(0, Answer.REFUSED)
    land(world, Event.UNDELIVERABLE)
    look_after(world, "p1")
    world.send(0, Answer.GIVEN)
    land(world, Event.DELIVERED_COMPLETION, Event.TAKE)
    return world


def looked_at_after_it_was_called_gone() -> World:
    world = _incident_looked_at()
    world.cancel("t1")
    look_after(world, "p2")
    land(world, Event.GONE, Event.TAKE)
    return world


def looked_at_after_it_was_stolen() -> World:
    world = _incident_looked_at()
    world.raise_retries("t1")
    world.steal("t1")
    world.send(0, Answer.GIVEN)
    land(world, Event.SUPERSEDE, Event.TAKE)
    return world


def _incident_looked_at() -> World:
    """Find that an incident still stands, with that not yet written, and the same report about to be made again."""
    world = running(retries=1)
    decide(world, Failure)
    world.send(0, Answer.GIVEN)
    land(world, Event.DELIVERED_INCIDENT)
    look_after(world, "p1")
    return world


def lost_after_its_claim_was_renewed() -> World:
    world = running()
    _see(world, "p2")
    world.renew(*world.claims)
    land(world, Event.RENEW, Event.LOSE_CLAIM)
    return world


def given_up_after_its_claim_was_renewed() -> World:
    world = running()
    world.claim_limit = 1
    _see(world, "p2")
    world.renew(*world.claims)
    land(world, Event.RENEW, Event.GIVE_UP)
    return world


def taken_by_two() -> World:
    world = running()
    decide(world, Completion, copies=0)
    for process in ("p1", "p2"):
        _see(world, process)
    land(world, Event.TAKE, Event.TAKE)
    assert len(world.deliveries) == 1
    return world


# By the event that carries the fence of the due time.
DUE: Mapping[Event, Callable[[], World]] = {
    Event.TAKE: taken_by_two,
    Event.LOSE_CLAIM: lost_after_its_claim_was_renewed,
    Event.GIVE_UP: given_up_after_its_claim_was_renewed,
}

# By the guard that refuses the latest write of the race.
RACES: Mapping[str, Callable[[], World]] = {
    "stale[0] from reporting": stale_after_it_was_decided,
    "stale[0] from running": stale_while_it_runs,
    "stale[0] from completed": stale_after_it_was_completed,
    "stale[0] from failed": stale_after_it_became_an_incident,
    "delivered_completion[0] from cancelled": completed_after_it_was_called_gone,
    "ended_by_us[0] from cancelled": found_in_the_log_after_it_was_called_gone,
    "delivered_completion[1] outcome inverted": completed_after_it_was_given_up,
    "delivered_incident[0] from cancelled": incident_after_it_was_called_gone,
    "revive[0] from cancelled": retried_by_an_operator_after_it_was_called_gone,
    "delivered_incident[0] from superseded": incident_after_it_was_stolen,
    "delivered_retry[0] from superseded": retried_after_it_was_stolen,
    "undeliverable[0] from superseded": given_up_after_it_was_stolen,
    "renew[0] from superseded": renewed_after_it_was_stolen,
    "revive[0] from superseded": retried_by_an_operator_after_it_was_stolen,
    "delivered_retry[0] from failed": retried_after_it_became_an_incident,
    "refetch[1] from completed": kept_a_lease_of_old_after_it_was_completed,
    "take[0] from completed": looked_at_after_it_was_completed,
    "take[0] from cancelled": looked_at_after_it_was_called_gone,
    "take[0] from superseded": looked_at_after_it_was_stolen,
    "exhausted[0] from cancelled": exhausted_after_it_was_called_gone,
    "exhausted[0] from superseded": exhausted_after_it_was_stolen,
    "exhausted[0] from completed": exhausted_after_it_was_completed,
}
