"""Claims and moves of a store, in memory and on MongoDB alike."""

from __future__ import annotations

import asyncio

import pytest

from bridge.adapters.memory.store import MemoryStore
from bridge.adapters.mongo.store import MongoStore
from bridge.domain.lifecycle import HISTORY_LIMIT, Event, Move
from bridge.domain.messages import Message, message
from bridge.domain.task import (
    Completion,
    Failure,
    Outcome,
    State,
    TaskKey,
)
from bridge.ports.reader import TaskFilter
from tests.contract.stores import (
    MINUTE,
    NOW,
    OUTCOMES,
    VARIABLES,
    Store,
    attempt,
    claim,
    decide,
    every_stand,
    kept,
    task,
)


async def test_an_error_keeps_its_code_until_there_is_another(store: Store) -> None:
    held, ended = (
        message("lock.held", worker="w9"),
        message("submission.variables", task="t1", error=message("lock.taken")),
    )
    for number, error in enumerate((held, ended)):
        await store.accept([task(f"t{number}", error=error)])
        found = (await kept(store, f"t{number}")).error
        assert isinstance(found, Message)
        assert (found, found.code, dict(found.parameters)) == (error, error.code, dict(error.parameters))
    for other in (ended, "a handler's own", held, None, "no \ud800 text", message("lock.held", worker="\ud800")):
        assert await store.move([Move("t0", Event.RENEW, 1, changes={"error": other})]) == [True]
        now = (await kept(store, "t0")).error
        assert now == (None if other is None else other.replace("\ud800", "?"))
        code = getattr(other, "code", "") if now == other else ""
        assert getattr(now, "code", "") == code


# claim


async def test_a_claim_runs_the_task(store: Store) -> None:
    await store.accept([task(variables=VARIABLES)])
    (found,) = await store.claim([claim()])
    assert found is not None
    assert (found.state, found.claim_id, found.attempts, found.replica) == (State.RUNNING, "c1", 1, "replica-1")
    assert (found.claimed_at, found.next_at, found.variables) == (NOW, NOW + MINUTE, VARIABLES)
    assert found == await kept(store)


@pytest.mark.parametrize("apart", [True, False])
async def test_one_of_fifty_claims_wins(store: Store, apart: bool) -> None:
    await store.accept([task()])
    claims = [claim(claim_id=f"c{number}") for number in range(50)]
    if apart:
        answers = [found for (found,) in await asyncio.gather(*(store.claim([one]) for one in claims))]
    else:
        answers = list(await store.claim(claims))
    (won,) = [found for found in answers if found is not None]
    assert (won.claim_id, won.attempts) == (claims[answers.index(won)].claim_id, 1)
    assert await kept(store) == won


async def test_a_message_of_another_topic_claims_nothing(store: Store) -> None:
    await store.accept([task("t1"), task("t2"), task("t3", topic="other")])
    claims = [claim("t1", topic="other"), claim("t2"), claim("t3", topic="other")]
    assert await store.claim(claims[:1]) == [None]
    assert [None if one is None else one.id for one in await store.claim(claims)] == [None, "t2", "t3"]
    kept = await store.get("t1")
    assert kept is not None
    assert (kept.state, kept.attempts, kept.claim_id) == (State.RECEIVED, 0, None)
    assert [await store.topic_of(task_id) for task_id in ("t1", "t3", "nobody")] == ["orders", "other", None]


async def test_claims_in_a_batch_are_each_on_their_own(store: Store) -> None:
    await store.accept([task("a"), task("b"), task("c", epoch=2)])
    await store.claim([claim("b", "old")])
    found = await store.claim([claim("a", "c1"), claim("b", "c2"), claim("c", "c3"), claim("d", "c4")])
    assert [None if one is None else one.claim_id for one in found] == ["c1", None, None, None]


async def test_claims_of_one_id_are_granted_where_the_task_is_free(store: Store) -> None:
    await store.accept([task(name, variables=VARIABLES) for name in "abcd"])
    await store.claim([claim("b", "other")])
    found = await store.claim([claim("a"), claim("b"), claim("c"), claim("a"), claim("d", epoch=2), claim("e")])
    assert [None if one is None else (one.id, one.claim_id, one.attempts) for one in found] == [
        ("a", "c1", 1),
        None,
        ("c", "c1", 1),
        None,
        None,
        None,
    ]
    assert [(await kept(store, name)).claim_id for name in "abcd"] == ["c1", "other", "c1", None]
    decisions = [decide(Completion(), name) for name in "abc"]
    assert await store.move(decisions) == [True, False, True]
    ends = [await kept(store, name) for name in "abc"]
    assert [(end.state, end.history) for end in ends] == [
        (State.REPORTING, (attempt(1),)),
        (State.RUNNING, ()),
        (State.REPORTING, (attempt(1),)),
    ]


# move


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("single", [False, True])
async def test_the_table_is_the_same(mongo: MongoStore, event: Event, single: bool) -> None:
    memory = MemoryStore()
    tasks, moves = every_stand(event)
    if single:
        tasks, moves = tasks[::7], moves[::7]
    for one in (mongo, memory):
        assert list(await one.accept(tasks)) == tasks
    expected = await memory.move(moves)
    found = [yes for move in moves for yes in await mongo.move([move])] if single else await mongo.move(moves)
    assert found == expected
    assert (await mongo.page(TaskFilter(), 1000)).tasks == (await memory.page(TaskFilter(), 1000)).tasks
    ids = sorted(memory.tasks)
    whole = {one.id: one for one in await mongo.get_many(ids)}
    assert [whole[each] for each in ids] == await memory.get_many(ids)


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_an_outcome_is_kept_until_it_is_delivered(store: Store, outcome: Outcome) -> None:
    await store.accept([task()])
    await store.claim([claim()])
    assert await store.move([decide(outcome, claim_id="zombie")]) == [False]
    assert await store.move([decide(outcome)]) == [True]
    found = await kept(store)
    assert (found.outcome, found.state, found.history) == (outcome, State.REPORTING, (attempt(1),))
    assert await store.move([Move("t1", Event.DELIVERED_COMPLETION, 1, changes={"finished_at": NOW})]) == [True]
    found = await kept(store)
    assert (found.outcome, found.next_at, found.finished_at) == (outcome, None, NOW)
    assert found.result == (None if isinstance(outcome, Failure) else outcome.variables)


async def test_moves_in_a_batch_are_each_on_their_own(store: Store) -> None:
    await store.accept([task("a"), task("b", state=State.FAILED), task("c")])
    moves = [Move(name, Event.CONFIRM, 1) for name in ("a", "b", "absent", "c")]
    assert await store.move(moves) == [True, False, False, True]
    assert await store.move(moves) == [False] * 4


async def test_moves_that_are_alike_are_each_on_their_own(store: Store) -> None:
    states = {"a": State.REPORTING, "b": State.COMPLETED, "c": State.REPORTING, "d": State.FAILED, "e": State.REPORTING}
    await store.accept([task(name, state=state) for name, state in states.items()])
    changes: dict[str, object] = {"error": None, "finished_at": NOW}
    moves = [Move(name, Event.DELIVERED_COMPLETION, 1, changes=changes) for name in (*states, "absent")]
    moves[4] = Move("e", Event.DELIVERED_COMPLETION, 2, changes=changes)
    assert await store.move(moves) == [True, False, True, False, False, False]
    assert [(await kept(store, name)).state for name in states] == [
        State.COMPLETED, State.COMPLETED, State.COMPLETED, State.FAILED, State.REPORTING,
    ]  # fmt: skip
    assert [(await kept(store, name)).finished_at for name in "ae"] == [NOW, None]


async def test_moves_of_one_task_in_a_batch_are_made_in_order(store: Store) -> None:
    await store.accept([task()])
    events = (Event.CONFIRM, Event.CONFIRM, Event.STALE, Event.STALE, Event.CONFIRM)
    assert await store.move([Move("t1", event, 1) for event in events]) == [True, False, True, False, True]
    assert (await kept(store)).state is State.QUEUED


async def test_what_a_move_sets_goes_before_what_is_counted(store: Store) -> None:
    await store.accept([task(state=State.REPORTING, reports=4)])
    await store.move([Move("t1", Event.DEFER, 1)])
    assert (await kept(store)).reports == 5
    await store.move([Move("t1", Event.DEFER, 1, changes={"reports": 0})])
    assert (await kept(store)).reports == 0


async def test_history_is_capped(store: Store) -> None:
    await store.accept([task(state=State.REPORTING)])
    for number in range(HISTORY_LIMIT + 3):
        await store.move([Move("t1", Event.DEFER, 1, attempt=attempt(number))])
    assert (await kept(store)).history == tuple(attempt(number) for number in range(3, HISTORY_LIMIT + 3))


async def test_only_the_received_are_confirmed(store: Store) -> None:
    await store.accept([task("a"), task("b", epoch=2), task("c", state=State.RUNNING), task("d", epoch=2)])
    keys = [TaskKey("a", 1), TaskKey("b", 1), TaskKey("c", 1), TaskKey("d", 2), TaskKey("e", 1), TaskKey("a", 1)]
    await store.confirm(keys, NOW + MINUTE, NOW + 2 * MINUTE)
    found = [await kept(store, name) for name in "abcd"]
    assert [one.state for one in found] == [State.QUEUED, State.RECEIVED, State.RUNNING, State.QUEUED]
    assert [one.next_at for one in found] == [NOW + MINUTE * minutes for minutes in (2, 1, 1, 2)]
    assert found[0].updated_at == NOW + MINUTE


@pytest.mark.parametrize("value", ["$ne", '{"$ne": null}', "$where", "a.b", ""])
async def test_a_value_is_never_an_operator(store: Store, value: str) -> None:
    await store.accept([task(), task(value, business_key=value, worker_id=value)])
    assert (await kept(store, value)).worker_id == value
    (found,) = await store.claim([claim(value, claim_id=value)])
    assert found is not None
    assert await store.move([Move(value, Event.RENEW, 1, "other"), Move(value, Event.RENEW, 1, value)]) == [False, True]
    assert [one.id for one in (await store.page(TaskFilter(business_key=value), 9)).tasks] == [value]
    assert (await kept(store)).state is State.RECEIVED
