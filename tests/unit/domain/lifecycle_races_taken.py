"""Races around a failure that a new lease shows was taken: what else became of the task by then stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bridge.domain.lifecycle import Event
from bridge.domain.task import Failure, State
from tests.unit.domain.lifecycle_engine import Answer
from tests.unit.domain.lifecycle_model import SECOND, World
from tests.unit.domain.lifecycle_races import decide, land, running


def taken() -> World:
    """Have the engine take a failure and offer the task again before that is written; another process fetches it."""
    world = running()
    decide(world, Failure, copies=1)
    world.send(0, Answer.GIVEN)
    world.now += SECOND
    world.fetch("p1")
    world.accept(0)
    return world


def runs_again() -> World:
    world = taken()
    land(world, Event.FAILURE_TAKEN)
    task = world.task("t1")
    assert (task.state, task.outcome) == (State.RECEIVED, None), "the failure would be sent again"
    land(world, Event.DELIVERED_RETRY)
    return world


def an_incident_by_then() -> World:
    world = taken()
    world.take_up("p2", world.task("t1"))
    world.send(0, Answer.REFUSED)
    land(world, Event.UNDELIVERABLE, Event.FAILURE_TAKEN)
    return world


def _gone() -> World:
    world = taken()
    world.take_up("p2", world.task("t1"))
    world.cancel("t1")
    return world


def cancelled_by_then() -> World:
    world = _gone()
    world.send(0, Answer.GIVEN)
    land(world, Event.GONE, Event.FAILURE_TAKEN)
    return world


def its_end_unknown_by_then() -> World:
    world = _gone()
    world.engine.logs = False
    world.send(0, Answer.GIVEN)
    land(world, Event.END_UNKNOWN, Event.FAILURE_TAKEN)
    return world


# By the guard that refuses the latest write of the race, or that lets it be.
RACES: Mapping[str, Callable[[], World]] = {
    "failure_taken[0] outcome inverted": runs_again,
    "failure_taken[0] from failed": an_incident_by_then,
    "failure_taken[0] from cancelled": cancelled_by_then,
    "failure_taken[0] from unknown": its_end_unknown_by_then,
}
