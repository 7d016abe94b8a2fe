"""What a topic's replicas can work together, and which of them count."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bridge.domain.replica import Load, Replica, alive, capacity
from tests.unit.fakes import NOW, SECOND

LIFE = 15 * SECOND


def replica(seen_at: timedelta = timedelta(0), **loads: Load) -> Replica:
    return Replica("r", "1.0", ("work",), NOW, NOW + seen_at, loads)


def test_slots_add_up_over_replicas_that_work_the_topic() -> None:
    assert capacity((replica(a=Load(3)), replica(b=Load(9)), replica(a=Load(4))), "a") == (7, None)


def test_nobody_has_no_slots() -> None:
    assert capacity((), "a") == (0, None)
    assert capacity((replica(b=Load(9)),), "a") == (0, None)


def test_a_rate_is_how_many_runs_the_slots_end_a_second() -> None:
    assert capacity((replica(a=Load(4, seconds=2)), replica(a=Load(6, seconds=0.5))), "a") == (10, 14.0)


def test_a_slot_is_free_again_when_its_task_is_kept_and_not_when_the_handler_ends() -> None:
    assert capacity((replica(a=Load(4, seconds=0.1, occupied=2)),), "a") == (4, 2.0)
    assert capacity((replica(a=Load(4, seconds=2), b=Load(4, occupied=9)),), "a") == (4, 2.0)


def test_slots_whose_times_are_not_known_count_like_the_others() -> None:
    slots, rate = capacity((replica(a=Load(4, seconds=2)), replica(a=Load(12))), "a")
    assert (slots, rate) == (16, 8.0)


def test_runs_that_take_no_time_do_not_make_an_endless_rate() -> None:
    assert capacity((replica(a=Load(2, seconds=0)),), "a") == (2, 2000.0)


def test_measured_replicas_without_slots_tell_nothing() -> None:
    assert capacity((replica(a=Load(0, seconds=1)), replica(a=Load(5))), "a") == (5, None)


@pytest.mark.parametrize(("age", "counts"), [(0, True), (15, True), (16, False), (-3, True)])
def test_a_replica_lives_as_long_as_its_last_sign_is_young(age: int, counts: bool) -> None:
    one = replica(-age * SECOND)
    assert alive((one,), NOW, LIFE) == ((one,) if counts else ())
