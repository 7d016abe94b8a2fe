"""What a store does, asked of the one in memory and of MongoDB alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from bridge.adapters.memory.store import MemoryStore
from bridge.adapters.mongo.store import MongoStore
from bridge.domain.engine_identity import EngineIdentity
from bridge.domain.errors import VariableError
from bridge.domain.lifecycle import HISTORY_LIMIT, Event, Move, leased_by
from bridge.domain.task import (
    BpmnFault,
    Completion,
    Edit,
    Failure,
    Outcome,
    PendingRetry,
    Source,
    State,
    Task,
    TaskKey,
    TypedValue,
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
    lease,
    mongo_store,
    task,
)

MILLI = timedelta(milliseconds=1)
ENDED = ("completed", "cancelled", "unknown")


@pytest.fixture
async def mongo(servers: dict[str, str]) -> AsyncIterator[MongoStore]:
    async with mongo_store(servers["MONGODB_URI"]) as store:
        yield store


@pytest.fixture(params=["memory", "mongo"])
def store(request: pytest.FixtureRequest) -> Store:
    """A store; the test runs once in memory and once on a real server."""
    if request.param == "memory":
        return MemoryStore()
    found: MongoStore = request.getfixturevalue("mongo")
    return found


async def kept(store: Store, task_id: str = "t1") -> Task:
    found = await store.get(task_id)
    assert found is not None
    return found


# accept


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


# reading


async def test_due_begins_with_the_longest_overdue(store: Store) -> None:
    due = {"b": 2, "a": 2, "c": 1, "later": 4, "d": 3}
    await store.accept([task(name, next_at=NOW + MILLI * milli) for name, milli in due.items()])
    await store.accept([task("never", next_at=None)])
    await store.move([Move("d", Event.GONE, 1)])
    for limit, expected in ((9, ["c", "a", "b"]), (2, ["c", "a"]), (0, [])):
        assert [one.id for one in (await store.due(State.RECEIVED, NOW + MILLI * 3, limit)).tasks] == expected


async def test_waiting_counts_the_received(store: Store) -> None:
    assert await store.waiting() == 0
    await store.accept([task(str(number)) for number in range(5)])
    await store.confirm([TaskKey("1", 1)], NOW, NOW)
    await store.claim([claim("2")])
    assert await store.waiting() == 3
    await store.accept([task("other", topic="mail")])
    assert await store.waiting_by_topic() == {(await kept(store, "0")).topic: 3, "mail": 1}


async def test_pages_follow_each_other_also_where_moments_are_the_same(store: Store) -> None:
    ages = [3, 1, 1, 1, 2, 1, 0]
    await store.accept([task(f"t{number}", created_at=NOW - MILLI * age) for number, age in enumerate(ages)])
    listed: list[str] = []
    after: tuple[datetime, str] | None = None
    sizes: list[int] = []
    while not sizes or after is not None:
        page = await store.page(TaskFilter(), 2, after)
        listed += [one.id for one in page.tasks]
        sizes.append(len(page.tasks))
        after = page.after
    assert listed == ["t6", "t5", "t3", "t2", "t1", "t4", "t0"]
    assert sizes == [2, 2, 2, 1]
    assert (await store.page(TaskFilter(), 7)).after is None


FILTERS: Sequence[tuple[TaskFilter, set[str]]] = (
    (TaskFilter(states=(State.RECEIVED, State.FAILED)), {"a", "b", "d"}),
    (TaskFilter(topics=("orders",)), {"a", "d"}),
    (TaskFilter(topics=("orders", "mail")), {"a", "b", "d"}),
    (TaskFilter(source=Source.PUSHED), {"b"}),
    (TaskFilter(business_key="k"), {"c"}),
    (TaskFilter(process_instance_id="p"), {"c", "d"}),
    (TaskFilter(since=NOW), {"a", "d"}),
    (TaskFilter(until=NOW), {"b", "c"}),
    (TaskFilter(since=NOW - MILLI, until=NOW), {"b"}),
    (TaskFilter(states=(State.FAILED,), topics=("orders",), process_instance_id="p", since=NOW), {"d"}),
    (TaskFilter(states=(State.RUNNING,)), set()),
)


@pytest.mark.parametrize(("wanted", "names"), FILTERS)
async def test_a_page_holds_what_is_wanted(store: Store, wanted: TaskFilter, names: set[str]) -> None:
    await store.accept(
        [
            task("a"),
            task("b", topic="mail", source=Source.PUSHED, created_at=NOW - MILLI),
            task(
                "c", topic="x", state=State.QUEUED, created_at=NOW - MINUTE, business_key="k", process_instance_id="p"
            ),
            task("d", state=State.FAILED, process_instance_id="p"),
        ]
    )
    assert {one.id for one in (await store.page(wanted, 9)).tasks} == names
    after = (NOW, "d")
    assert {one.id for one in (await store.page(wanted, 9, after)).tasks} == names - {"d"}


async def test_statistics_count_by_state_and_topic(store: Store) -> None:
    assert (await store.statistics()).total == 0
    await store.accept([task("a"), task("b", topic="mail"), task("c", state=State.FAILED)])
    found = await store.statistics()
    assert (found.total, found.by_state, found.by_topic) == (
        3,
        {"received": 2, "failed": 1},
        {"orders": 2, "mail": 1},
    )


async def test_a_record_is_put_once(store: Store) -> None:
    answers = await asyncio.gather(*(store.put_once("invoice", "$a.b", {"$n": number}) for number in range(20)))
    assert {key for key, _ in answers} == {"$a.b"}
    assert sum(new for _, new in answers) == 1
    assert await store.put_once("receipt", "$a.b", {"n.m": NOW}) == ("$a.b", True)


@pytest.mark.parametrize(
    "outcome",
    [
        BpmnFault(cast(Any, 404)),
        Completion({"a": TypedValue("String", "\ud800")}),
        Completion({"a": TypedValue("Object", object())}),
        Failure("ValueError", "", "", 2**64),
    ],
    ids=repr,
)
async def test_what_can_not_be_stored_is_told_before_anything_is_written(store: Store, outcome: Outcome) -> None:
    ids = [f"t{number}" for number in range(3)]
    await store.accept([task(each) for each in ids])
    await store.claim([claim(each) for each in ids])
    before = await store.get_many(ids)
    moves = [decide(Completion(), "t0"), decide(outcome, "t1"), decide(Completion(), "t2")]
    with pytest.raises(VariableError):
        await store.move(moves)
    assert sorted(await store.get_many(ids), key=lambda kept: kept.id) == sorted(before, key=lambda kept: kept.id)
    with pytest.raises(VariableError):
        await store.accept([task("t3"), task("t4", outcome=outcome)])
    assert await store.get_many(["t3", "t4"]) == []


async def test_a_moment_is_kept_to_the_millisecond_in_a_move_too(store: Store) -> None:
    await store.accept([task()])
    later = NOW + timedelta(microseconds=1999)
    await store.move([Move("t1", Event.RENEW, 1, changes={"next_at": later})])
    assert (await kept(store)).next_at == NOW + timedelta(milliseconds=1)
