"""Whatever befalls tasks, the promises hold after each step, and in the end nothing is lost and nothing stuck."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, settings

from bridge.domain.lifecycle import Event
from tests.unit.domain.lifecycle_machine import Lives, walk

WALKS = 3000

TestLives = Lives.TestCase
TestLives.settings = settings(
    max_examples=150,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_every_event_happens_and_the_promises_hold() -> None:
    happened: Counter[Event] = Counter()
    for seed in range(WALKS):
        happened += walk(seed, steps=60).happened
    assert {event for event in Event if happened[event] < 10} == set()
