"""What a store finds, in memory and on MongoDB alike."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from bridge.domain.errors import VariableError
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import (
    BpmnFault,
    Completion,
    Failure,
    Outcome,
    Source,
    State,
    TaskKey,
    TypedValue,
)
from bridge.ports.reader import TaskFilter
from tests.contract.stores import (
    MINUTE,
    NOW,
    Store,
    claim,
    decide,
    kept,
    task,
)

MILLI = timedelta(milliseconds=1)


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


@pytest.mark.parametrize("value", [object(), 2**70, "\ud800"], ids=["an object", "a large number", "half a character"])
async def test_a_record_that_can_not_be_kept_leaves_its_key_free(store: Store, value: object) -> None:
    with pytest.raises((ValueError, OverflowError)):
        await store.put_once("invoice", "a", {"n": value})
    assert await store.put_once("invoice", "a", {"n": 1}) == ("a", True)


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
