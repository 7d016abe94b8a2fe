"""Races that chance meets once in thousands of lives, step by step. By the table as it is they break no promise."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bridge.lifecycle import Event
from bridge.task import Completion, Failure, Outcome, State, Task
from tests.unit.lifecycle_engine import LOCK, Answer
from tests.unit.lifecycle_model import World
from tests.unit.lifecycle_promises import keep_promises


def _running(retries: int | None = None) -> World:
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


def _decide(world: World, kind: type[Outcome], copies: int = 2) -> Task:
    """Let the handler end, and several processes take up the report."""
    (claim_id,) = world.claims
    world.decide(claim_id, kind)
    world.land(-1)
    reporting = world.task("t1")
    assert reporting.state is State.REPORTING
    for _ in range(copies):
        world.recover("p2", reporting)
    return reporting


def _land(world: World, *events: Event) -> None:
    for event in events:
        world.land([write.move.event for write in world.pending].index(event))
        keep_promises(world)


def _incident_that_a_thief_takes(world: World) -> None:
    """Report a failure without retries; before that is written, an operator raises them in the engine, for a thief."""
    world.send(0, Answer.GIVEN)
    world.raise_retries("t1")
    world.steal("t1")
    world.send(0, Answer.GIVEN)


def completed_after_it_was_called_gone() -> World:
    world = _running()
    _decide(world, Completion)
    world.send(0, Answer.GIVEN)
    world.send(0, Answer.NO_LOG)
    _land(world, Event.GONE, Event.DELIVERED_COMPLETION)
    return world


def found_in_the_log_after_it_was_called_gone() -> World:
    world = _running()
    _decide(world, Completion, copies=3)
    world.send(0, Answer.LOST)
    world.send(0, Answer.GIVEN)
    world.send(0, Answer.NO_LOG)
    _land(world, Event.GONE, Event.ENDED_BY_US)
    return world


def incident_after_it_was_stolen() -> World:
    world = _running(retries=1)
    _decide(world, Failure)
    _incident_that_a_thief_takes(world)
    _land(world, Event.SUPERSEDE, Event.DELIVERED_INCIDENT)
    return world


def renewed_after_it_was_stolen() -> World:
    world = _running(retries=1)
    world.renew(*world.claims)
    _decide(world, Failure)
    _incident_that_a_thief_takes(world)
    _land(world, Event.SUPERSEDE, Event.RENEW)
    return world


def retried_by_an_operator_after_it_was_stolen() -> World:
    world = _running(retries=1)
    _decide(world, Failure)
    world.send(0, Answer.GIVEN)
    _land(world, Event.DELIVERED_INCIDENT)
    world.revive("p1", world.task("t1"))
    world.steal("t1")
    world.send(0, Answer.GIVEN)
    _land(world, Event.SUPERSEDE, Event.REVIVE)
    return world


def retried_after_it_became_an_incident() -> World:
    world = _running()
    _decide(world, Failure)
    world.send(0, Answer.GIVEN)
    world.send(0, Answer.REFUSED)
    _land(world, Event.UNDELIVERABLE, Event.DELIVERED_RETRY)
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
    _decide(world, Completion)
    world.send(0, Answer.GIVEN)
    _land(world, Event.DELIVERED_COMPLETION)
    world.leases.append(old)
    world.accept(0)
    keep_promises(world)
    return world


RACES: Mapping[str, Callable[[], World]] = {
    "delivered_completion[0] from cancelled": completed_after_it_was_called_gone,
    "ended_by_us[0] from cancelled": found_in_the_log_after_it_was_called_gone,
    "delivered_incident[0] from superseded": incident_after_it_was_stolen,
    "renew[0] from superseded": renewed_after_it_was_stolen,
    "revive[0] from superseded": retried_by_an_operator_after_it_was_stolen,
    "delivered_retry[0] from failed": retried_after_it_became_an_incident,
    "refetch[0] from completed": kept_a_lease_of_old_after_it_was_completed,
}
