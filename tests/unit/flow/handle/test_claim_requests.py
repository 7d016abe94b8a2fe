"""What is wished together is one write, and a claim's id still names one claim of a task."""

from __future__ import annotations

import asyncio

import pytest

from bridge.domain.errors import StoreUnavailable
from bridge.domain.task import TaskKey
from bridge.flow.handle.claim_requests import ClaimBatcher
from tests.unit.fakes import NOW, SECOND
from tests.unit.flow_lab import Lab


def _batcher(lab: Lab) -> ClaimBatcher:
    return ClaimBatcher(lab.store, lab.clock, replica="r1", claim=30 * SECOND, min_interval=0 * SECOND)


async def test_what_is_put_together_has_its_id_and_its_moment_in_common() -> None:
    lab = Lab()
    requests, tasks = _batcher(lab), [await lab.task() for _ in range(3)]
    first = []
    for task in tasks[:2]:
        first.append(requests.make("orders", TaskKey(task.id, 1)))
        lab.clock.advance(SECOND)
    assert len({(request.claim_id, request.now, request.until) for request in first}) == 1
    assert (first[0].now, first[0].until) == (NOW, NOW + 30 * SECOND)
    granted = await asyncio.gather(*(requests.put(request) for request in first))
    assert [None if task is None else task.id for task in granted] == [task.id for task in tasks[:2]]
    later = requests.make("orders", TaskKey(tasks[2].id, 1))
    assert later.claim_id != first[0].claim_id
    assert later.now == NOW + 2 * SECOND


async def test_no_two_wishes_for_one_task_have_the_same_id() -> None:
    lab = Lab()
    requests, key = _batcher(lab), TaskKey((await lab.task()).id, 1)
    twice = [requests.make("orders", key), requests.make("orders", key)]
    assert twice[0].claim_id != twice[1].claim_id
    granted = await asyncio.gather(*(requests.put(request) for request in twice))
    assert [task is not None for task in granted] == [True, False]


async def test_a_wish_that_is_put_again_keeps_its_id_and_has_a_moment_of_its_own() -> None:
    lab = Lab()
    requests, key = _batcher(lab), TaskKey((await lab.task()).id, 1)
    lab.store.fail_next("claim")
    request = requests.make("orders", key)
    with pytest.raises(StoreUnavailable):
        await requests.put(request)
    lab.clock.advance(SECOND)
    again = requests.again(request)
    assert (again.claim_id, again.now, again.until) == (request.claim_id, NOW + SECOND, NOW + 31 * SECOND)
    task = await requests.put(again)
    assert task is not None
    assert task.claim_id == request.claim_id
