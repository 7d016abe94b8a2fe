"""What a store accepts, in memory and on MongoDB alike."""

from __future__ import annotations

import asyncio

import pytest

from bridge.adapters.memory.store import MemoryStore
from bridge.adapters.mongo.store import MongoStore
from bridge.domain.engine_identity import EngineIdentity
from bridge.domain.lifecycle import Event, Move, leased_by
from bridge.domain.task import (
    Completion,
    Edit,
    Outcome,
    PendingRetry,
    Source,
    State,
    TypedValue,
)
from tests.contract.stores import (
    MINUTE,
    NOW,
    OUTCOMES,
    VARIABLES,
    Store,
    attempt,
    claim,
    decide,
    kept,
    lease,
    task,
)

ENDED = ("completed", "cancelled", "unknown")


async def test_a_new_task_is_kept_as_it_is(store: Store) -> None:
    new = task(variables=VARIABLES, business_key="$gt", priority=2**40, trace="00-ab", fingerprint="f", verified=False)
    assert await store.accept([new]) == [new]
    assert await kept(store) == new
    assert await store.get("t2") is None


async def test_a_tasks_place_and_edit_are_kept_as_they_are(store: Store) -> None:
    new = task(
        execution_id="e1", activity_instance_id="work:1", process_definition_id="sale:1:7", engine_created_at=NOW,
        properties={"a.b": "$c"}, edit=Edit(3, {"a.b": "f1", "$c": "f2"}),
    )  # fmt: skip
    assert await store.accept([new]) == [new]
    assert await kept(store) == new
    edit = Edit(4, {})
    assert await store.move([Move("t1", Event.RENEW, 1, changes={"edit": edit})]) == [True]
    assert (await kept(store)).edit == edit


async def test_a_retry_that_the_engine_was_not_asked_for_is_kept_until_it_was(store: Store) -> None:
    pending = PendingRetry(1, NOW, ("$a.b", "c"))
    new = task(state=State.FAILED)
    assert await store.accept([new]) == [new]
    changes = {"pending_retry": pending, "next_at": NOW}
    assert await store.move([Move("t1", Event.REVIVE, 1, changes=changes)]) == [True]
    assert (await kept(store)).pending_retry == pending
    assert (await kept(store)).is_retry_pending
    assert await store.move([Move("t1", Event.TAKE, 1, changes={"pending_retry": None})]) == [True]
    assert (await kept(store)).pending_retry is None


async def test_nothing_is_asked_for_nothing(store: Store) -> None:
    assert await store.accept([]) == []
    assert await store.move([]) == []
    assert await store.claim([]) == []
    await store.confirm([], NOW, NOW)


async def test_a_variables_value_keeps_its_type(store: Store) -> None:
    await store.accept([task(variables=VARIABLES, priority=2**40)])
    found = await kept(store)
    assert [type(found.variables[name].value) for name in VARIABLES] == [type(v.value) for v in VARIABLES.values()]
    assert list(found.variables) == list(VARIABLES)
    assert type(found.priority) is int


async def test_a_known_task_gets_its_new_lease(store: Store) -> None:
    await store.accept([task()])
    await store.claim([claim()])
    again = task(worker_id="w2", lease_until=NOW + 2 * MINUTE, variables={"a": TypedValue("Integer", 1)}, retries=1)
    (found, new) = await store.accept([again, task("t2")])
    assert new == task("t2")
    assert found == await kept(store)
    assert (found.worker_id, found.epoch, found.state, found.claim_id) == ("w2", 2, State.RECEIVED, None)
    assert (found.variables, found.retries, found.attempts) == (again.variables, 1, 1)


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_a_new_lease_keeps_the_outcome(store: Store, outcome: Outcome) -> None:
    await store.accept([task()])
    await store.claim([claim()])
    assert await store.move([decide(outcome)]) == [True]
    (found,) = await store.accept([task(worker_id="w2")])
    assert found is not None
    assert (found.state, found.epoch, found.outcome) == (State.REPORTING, 2, outcome)
    assert found == await kept(store)


async def test_a_pushed_task_is_accepted_once(store: Store) -> None:
    pushed = task(source=Source.PUSHED)
    assert await store.accept([pushed, pushed]) == [pushed, None]
    assert await store.accept([pushed]) == [None]
    assert (await kept(store)).epoch == 1


async def test_a_final_task_gets_no_lease_of_before_its_end(store: Store) -> None:
    await store.accept([task(state=State.COMPLETED, finished_at=NOW)])
    assert await store.accept([task(), task("t2")]) == [None, task("t2")]


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_an_ended_task_that_the_engine_offers_again_reports_its_outcome_again(
    store: Store, outcome: Outcome
) -> None:
    ended = {"process_instance_id": "i", "outcome": outcome, "finished_at": NOW, "next_at": None, "attempts": 2}
    await store.accept([task(name, state=State(name), **ended) for name in ENDED])
    leases = [lease(name, process_instance_id="i", business_key="told") for name in ENDED]
    for found in await store.accept(leases):
        assert found is not None
        assert found == await kept(store, found.id)
        assert (found.state, found.outcome, found.epoch, found.worker_id) == (State.REPORTING, outcome, 2, "w2")
        assert (found.attempts, found.finished_at, found.next_at) == (2, None, NOW + 2 * MINUTE)
        assert (found.business_key, found.history[-1].ended) == ("told", "reopened")
        assert leased_by(found, leases[0]) is Event.REOPEN


async def test_a_task_that_was_gone_and_is_offered_again_waits_to_be_run(store: Store) -> None:
    await store.accept([task(state=State.CANCELLED, finished_at=NOW, next_at=None, process_instance_id="i")])
    (found,) = await store.accept([lease(process_instance_id="i")])
    assert found is not None
    assert found == await kept(store)
    assert (found.state, found.epoch, found.finished_at) == (State.RECEIVED, 2, None)


@pytest.mark.parametrize("other", [{"topic": "mail"}, {"process_instance_id": "j"}])
async def test_an_id_that_is_another_tasks_now_keeps_nothing_of_the_old_one(
    store: Store, other: dict[str, str]
) -> None:
    old: dict[str, object] = {
        "process_instance_id": "i", "outcome": Completion(VARIABLES), "finished_at": NOW, "given": VARIABLES,
        "source": Source.PUSHED, "fingerprint": "f", "history": (attempt(1),), "business_key": "b", "attempts": 1,
        "error": "e", "error_fp": "fp", "claim_id": "c1", "tenant_id": "t",
    }  # fmt: skip
    await store.accept([task(state.value, state=state, **old) for state in State])
    new = {"process_instance_id": "i", "next_at": NOW + 2 * MINUTE, "epoch": 1} | other
    leases = [lease(state.value, **new) for state in State]
    found = await store.accept(leases)
    assert found == [wanted.changed(epoch=2) for wanted in leases]
    assert [await kept(store, state.value) for state in State] == found
    assert {leased_by(one, leases[0]) for one in found if one is not None} == {Event.REPLACE}


async def test_a_lease_of_before_the_end_reopens_nothing(store: Store) -> None:
    await store.accept([task(state=State.COMPLETED, finished_at=NOW + 3 * MINUTE, process_instance_id="i")])
    before = await kept(store)
    for other in ({}, {"topic": "mail"}, {"process_instance_id": "j"}):
        assert await store.accept([lease(**{"process_instance_id": "i", **other})]) == [None]
    assert await kept(store) == before


async def test_a_task_twice_in_a_batch_has_two_leases(store: Store) -> None:
    first, second = await store.accept([task(), task()])
    assert first is not None
    assert second is not None
    assert (first.epoch, second.epoch) == (1, 2)


async def test_a_push_many_times_at_once_is_accepted_once(store: Store) -> None:
    answers = await asyncio.gather(*(store.accept([task(source=Source.PUSHED)]) for _ in range(50)))
    assert sum(found is not None for (found,) in answers) == 1


async def test_the_engines_identity_is_kept_over(store: Store) -> None:
    assert isinstance(store, MemoryStore | MongoStore)
    assert await store.engine_identity() is None
    for identity in (EngineIdentity("i", ("a.b:1:$x", "c")), EngineIdentity(None, ())):
        await store.keep_engine_identity(identity)
        assert await store.engine_identity() == identity
