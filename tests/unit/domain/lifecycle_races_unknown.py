"""Races around an end of which nobody tells: what is still on its way when a task's end is unknown changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bridge.domain.lifecycle import Event
from bridge.domain.task import Completion, Failure
from tests.unit.domain.lifecycle_engine import LOCK, Answer
from tests.unit.domain.lifecycle_model import World
from tests.unit.domain.lifecycle_races import decide, end, land, look_after, running, stale


def stale_after_its_end_was_unknown() -> World:
    world = stale()
    world.engine.logs = False
    end(world, Completion)
    land(world, Event.DECIDE)
    look_after(world, "p1")
    world.take_up("p2", world.task("t1"))
    world.send(0, Answer.LOST)
    world.send(0, Answer.GIVEN)
    land(world, Event.END_UNKNOWN, Event.STALE)
    return world


def _ends_unknown(retries: int | None) -> World:
    """Report a failure, and cancel the process where no history is kept, before either is written."""
    world = running(retries=retries)
    world.engine.logs = False
    decide(world, Failure)
    world.send(0, Answer.GIVEN)
    world.cancel("t1")
    world.send(0, Answer.GIVEN)
    return world


def given_up_after_its_end_was_unknown() -> World:
    world = running()
    world.engine.logs = False
    decide(world, Completion)
    world.send(0, Answer.REFUSED)
    world.cancel("t1")
    world.send(0, Answer.GIVEN)
    land(world, Event.END_UNKNOWN, Event.UNDELIVERABLE)
    return world


def found_in_the_log_after_its_end_was_unknown() -> World:
    world = running()
    decide(world, Completion, copies=3)
    world.send(0, Answer.LOST)
    world.send(0, Answer.GIVEN)
    world.engine.logs = False
    world.send(0, Answer.GIVEN)
    land(world, Event.END_UNKNOWN, Event.ENDED_BY_US)
    return world


def unknown_after_it_was_completed() -> World:
    world = running()
    decide(world, Completion)
    world.engine.logs = False
    world.send(0, Answer.GIVEN)
    world.send(0, Answer.GIVEN)
    land(world, Event.DELIVERED_COMPLETION, Event.END_UNKNOWN)
    return world


def unknown_after_it_was_called_gone() -> World:
    world = running()
    decide(world, Completion, copies=3)
    world.send(0, Answer.LOST)
    world.send(0, Answer.NO_LOG)
    world.engine.logs = False
    world.send(0, Answer.GIVEN)
    land(world, Event.GONE, Event.END_UNKNOWN)
    return world


def stolen_after_its_end_was_unknown() -> World:
    world = running()
    world.engine.logs = False
    decide(world, Completion)
    world.now += LOCK
    world.steal("t1")
    world.send(0, Answer.GIVEN)
    world.finish_as_thief("t1")
    world.send(0, Answer.GIVEN)
    land(world, Event.END_UNKNOWN, Event.SUPERSEDE)
    return world


def _given_up() -> World:
    """Give an outcome up, with another process still about to deliver it, where no history is kept."""
    world = running()
    world.engine.logs = False
    decide(world, Completion)
    world.send(0, Answer.REFUSED)
    land(world, Event.UNDELIVERABLE)
    return world


def retried_by_an_operator_after_its_end_was_unknown() -> World:
    world = _given_up()
    world.revive("p1", world.task("t1"))
    world.cancel("t1")
    world.send(0, Answer.GIVEN)
    land(world, Event.END_UNKNOWN, Event.REVIVE)
    return world


def looked_at_after_its_end_was_unknown() -> World:
    world = _given_up()
    look_after(world, "p1")
    world.cancel("t1")
    world.send(0, Answer.GIVEN)
    land(world, Event.END_UNKNOWN, Event.TAKE)
    return world


def exhausted_after_its_end_was_unknown() -> World:
    world = _given_up()
    world.revive("p1", world.task("t1"))
    land(world, Event.REVIVE)
    world.exhaust("t1")
    look_after(world, "p1")
    world.cancel("t1")
    world.send(0, Answer.GIVEN)
    land(world, Event.END_UNKNOWN, Event.EXHAUSTED)
    return world


def incident_after_its_end_was_unknown() -> World:
    world = _ends_unknown(retries=1)
    land(world, Event.END_UNKNOWN, Event.DELIVERED_INCIDENT)
    return world


def retried_after_its_end_was_unknown() -> World:
    world = _ends_unknown(retries=None)
    land(world, Event.END_UNKNOWN, Event.DELIVERED_RETRY)
    return world


# By the guard that refuses the latest write of the race.
RACES: Mapping[str, Callable[[], World]] = {
    "stale[0] from unknown": stale_after_its_end_was_unknown,
    "ended_by_us[0] from unknown": found_in_the_log_after_its_end_was_unknown,
    "end_unknown[0] from completed": unknown_after_it_was_completed,
    "end_unknown[0] from cancelled": unknown_after_it_was_called_gone,
    "supersede[0] from unknown": stolen_after_its_end_was_unknown,
    "revive[0] from unknown": retried_by_an_operator_after_its_end_was_unknown,
    "take[0] from unknown": looked_at_after_its_end_was_unknown,
    "exhausted[0] from unknown": exhausted_after_its_end_was_unknown,
    "undeliverable[0] from unknown": given_up_after_its_end_was_unknown,
    "delivered_incident[0] from unknown": incident_after_its_end_was_unknown,
    "delivered_retry[0] from unknown": retried_after_its_end_was_unknown,
}
