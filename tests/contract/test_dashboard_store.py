"""What the dashboard store keeps besides tasks, asked of the one in memory and of MongoDB alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.adapters.mongo.dashboard import MongoDashboardStore
from bridge.domain.errors import StoreError
from bridge.domain.messages import Message, message
from bridge.domain.operation import CHUNK, Item, Operation, OperationKind, OperationState, Result, Totals
from bridge.domain.records import AuditEntry, AuditFilter, Pause, View
from bridge.domain.statistics import Count, FailureGroup, Failures, Rollup, Step
from tests.contract.dashboard_stores import Lab, memory_lab, mongo_lab
from tests.contract.stores import MINUTE, NOW

HOUR = 60 * MINUTE
TOP = Step.HOUR.floor(NOW)


@pytest.fixture(params=["memory", "mongo"])
async def lab(request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    """A dashboard store; the test runs once in memory and once on a real server."""
    if request.param == "memory":
        yield memory_lab()
        return
    servers: dict[str, str] = request.getfixturevalue("servers")
    async with mongo_lab(servers["MONGODB_URI"]) as found:
        yield found


# statistics


async def test_counts_add_up(lab: Lab) -> None:
    first = Rollup(TOP, "a.b", {Count.STARTED: 1, Count.FAILED: 2}, {0: 1, 40: 2}, {7: 1})
    second = Rollup(TOP, "a.b", {Count.STARTED: 3}, {40: 1}, {})
    other = Rollup(TOP + MINUTE, "mail", {Count.COMPLETED: 1})
    await lab.dashboard_store.add({Step.MINUTE: [first, other], Step.HOUR: [first]}, [])
    await lab.dashboard_store.add({Step.MINUTE: [second]}, [])
    (sum_, found) = await lab.dashboard_store.rollups(Step.MINUTE, TOP)
    assert dict(sum_.counts) == {Count.STARTED: 4, Count.FAILED: 2}
    assert (dict(sum_.waiting), dict(sum_.running), sum_.topic) == ({0: 1, 40: 3}, {7: 1}, "a.b")
    assert found == other
    assert list(await lab.dashboard_store.rollups(Step.MINUTE, TOP, "mail")) == [other]
    assert list(await lab.dashboard_store.rollups(Step.MINUTE, TOP + 2 * MINUTE)) == []
    assert list(await lab.dashboard_store.rollups(Step.HOUR, TOP)) == [first]
    await lab.dashboard_store.add({}, [])


async def test_counts_of_many_replicas_at_once_add_up(lab: Lab) -> None:
    row = Rollup(TOP, "orders", {Count.STARTED: 1}, {3: 1}, {3: 1})
    await asyncio.gather(*(lab.dashboard_store.add({Step.MINUTE: [row]}, []) for _ in range(20)))
    (found,) = await lab.dashboard_store.rollups(Step.MINUTE, TOP)
    assert (found.counts[Count.STARTED], found.waiting[3]) == (20, 20)


def failures(fingerprint: str, ago: timedelta, count: int = 1, **fields: str) -> Failures:
    at = NOW - ago
    named = {"topic": "orders", "error": "ValueError", "sample": f"no {count}", **fields}
    return Failures(fingerprint, first=at, last=at, count=count, **named)


async def test_failures_are_counted_by_group(lab: Lab) -> None:
    await lab.dashboard_store.add({}, [failures("f1", 8 * 24 * HOUR, 5)])
    await lab.dashboard_store.add({}, [failures("f1", 30 * HOUR, 4), failures("f2", 2 * HOUR, 9, topic="mail")])
    await lab.dashboard_store.add(
        {}, [failures("f1", 3 * HOUR, 3), failures("f1", 30 * MINUTE, 2), failures("f1", MINUTE, 1)]
    )
    group = await lab.dashboard_store.failure_group("f1", NOW)
    assert group is not None
    assert (group.total, group.last_week, group.last_day, group.last_hour) == (15, 10, 6, 3)
    assert (group.first_seen, group.last_seen, group.sample) == (NOW - 8 * 24 * HOUR, NOW - MINUTE, "no 1")
    assert dict(group.hours) == {TOP - 30 * HOUR: 4, TOP - 3 * HOUR: 3, TOP - HOUR: 2, TOP: 1}
    listed = await lab.dashboard_store.failure_groups(NOW - 24 * HOUR, NOW)
    assert list(listed) == [group, await lab.dashboard_store.failure_group("f2", NOW)]
    assert [one.fingerprint for one in await lab.dashboard_store.failure_groups(NOW - HOUR, NOW)] == ["f1"]
    assert [one.fingerprint for one in await lab.dashboard_store.failure_groups(NOW - 24 * HOUR, NOW, "mail")] == ["f2"]
    assert [one.fingerprint for one in await lab.dashboard_store.failure_groups(NOW - 24 * HOUR, NOW, None, 1)] == [
        "f1"
    ]
    assert await lab.dashboard_store.failure_group("f3", NOW) is None
    (short,) = await lab.dashboard_store.failure_groups(NOW - HOUR, NOW, within=HOUR)
    assert (short.total, short.last_hour, dict(short.hours)) == (15, 3, {TOP - HOUR: 2, TOP: 1})


@pytest.mark.parametrize(("refusing", "once"), [("failure_hours", "hour"), ("failure_groups", "topic")])
async def test_a_group_counts_nothing_that_its_hours_do_not(servers: dict[str, str], refusing: str, once: str) -> None:
    async with mongo_lab(servers["MONGODB_URI"]) as lab:
        assert isinstance(lab.dashboard_store, MongoDashboardStore)
        rows = lab.dashboard_store._collection(refusing)
        await lab.dashboard_store.add({}, [failures("f1", MINUTE, 3)])
        index = await rows.create_index(once, unique=True)
        with pytest.raises(StoreError, match="statistics"):
            await lab.dashboard_store.add({}, [failures("f2", MINUTE, 3)])
        (seen,) = await lab.dashboard_store.failure_groups(NOW - HOUR, NOW)
        assert (seen.fingerprint, seen.total, seen.last_hour) == ("f1", 3, 3)
        await rows.drop_index(index)
        await lab.dashboard_store.add({}, [failures("f2", MINUTE, 3)])
        found = await lab.dashboard_store.failure_groups(NOW - HOUR, NOW)
        assert [group.total for group in found] == [3, 3]
        assert all(group.total <= group.last_hour for group in found)


async def test_a_group_is_never_seen_earlier_than_it_was(lab: Lab) -> None:
    await lab.dashboard_store.add({}, [failures("f1", MINUTE)])
    await lab.dashboard_store.add({}, [failures("f1", 2 * MINUTE)])
    found = await lab.dashboard_store.failure_group("f1", NOW)
    assert isinstance(found, FailureGroup)
    assert found.last_seen == NOW - MINUTE


# views, audit, pauses


async def test_views_are_shared(lab: Lab) -> None:
    view = View("v1", "stuck", "q=state%3Afailed&sort=-updated", "ana", NOW)
    await lab.dashboard_store.save_view(view)
    await lab.dashboard_store.save_view(View("v2", "a", "$ne", "$where", NOW))
    await lab.dashboard_store.save_view(replace(view, name="old"))
    assert [(one.id, one.name) for one in await lab.dashboard_store.views()] == [("v2", "a"), ("v1", "old")]
    assert await lab.dashboard_store.delete_view("v1")
    assert not await lab.dashboard_store.delete_view("v1")
    assert [one.query for one in await lab.dashboard_store.views()] == ["$ne"]


def entry(number: int, **fields: object) -> AuditEntry:
    base = AuditEntry(f"e{number}", NOW + number * MINUTE, "ana", "operator", "10.0.0.1", "retry", f"task:{number % 2}")
    return replace(base, **fields)  # type: ignore[arg-type]  # by its own names


async def test_the_audit_keeps_what_was_written(lab: Lab) -> None:
    full = entry(1, reason="why", before={"$a.b": [1, None]}, after={"x": {"y": "z"}}, trace="00-ab")
    await lab.dashboard_store.write(full)
    assert list(await lab.dashboard_store.entries(AuditFilter(), 5)) == [full]


async def test_the_audit_is_listed_newest_first_and_filtered(lab: Lab) -> None:
    entries = [entry(0), entry(1, who="rui"), entry(2, action="pause"), entry(2, id="e2b", at=NOW + 2 * MINUTE)]
    for one in entries:
        await lab.dashboard_store.write(one)

    async def listed(wanted: AuditFilter, limit: int = 9) -> list[str]:
        names: list[str] = []
        after = None
        while found := await lab.dashboard_store.entries(wanted, limit, after):
            names += [one.id for one in found]
            after = (found[-1].at, found[-1].id)
        return names

    assert await listed(AuditFilter()) == ["e2b", "e2", "e1", "e0"]
    assert await listed(AuditFilter(), 1) == ["e2b", "e2", "e1", "e0"]
    assert await listed(AuditFilter(who="ana"), 2) == ["e2b", "e2", "e0"]
    assert await listed(AuditFilter(action="retry")) == ["e2b", "e1", "e0"]
    assert await listed(AuditFilter(target="task:0"), 1) == ["e2b", "e2", "e0"]
    assert await listed(AuditFilter(since=NOW + MINUTE, until=NOW + 2 * MINUTE)) == ["e1"]


async def test_a_topic_is_paused_until_it_is_resumed(lab: Lab) -> None:
    await lab.dashboard_store.pause(Pause("orders", "ana", "broken", NOW))
    await lab.dashboard_store.pause(Pause("mail", "ana", "", NOW))
    await lab.dashboard_store.pause(Pause("orders", "rui", "still", NOW + MINUTE))
    assert list(await lab.dashboard_store.pauses()) == [
        Pause("mail", "ana", "", NOW),
        Pause("orders", "rui", "still", NOW + MINUTE),
    ]
    assert await lab.dashboard_store.resume("mail")
    assert not await lab.dashboard_store.resume("mail")
    assert [one.topic for one in await lab.dashboard_store.pauses()] == ["orders"]


# operations


def operation(name: str = "o1", **fields: object) -> Operation:
    base = Operation(name, OperationKind.RETRY, "state:failed", "mended", "ana", 10, NOW, ineligible=3)
    return replace(base, **fields)  # type: ignore[arg-type]  # by its own names


def items(count: int) -> list[Item]:
    return [Item(f"t{number}", number) for number in range(count)]


async def test_an_operation_is_kept_with_its_items(lab: Lab) -> None:
    await lab.dashboard_store.create(operation(), items(CHUNK + 5))
    assert await lab.dashboard_store.operation("o1") == operation(totals=Totals(pending=CHUNK + 5))
    assert await lab.dashboard_store.operation("o2") is None
    assert list(await lab.dashboard_store.items("o1", None, 2)) == [(0, Item("t0", 0)), (1, Item("t1", 1))]
    found = await lab.dashboard_store.items("o1", Result.PENDING, 10, CHUNK - 2)
    assert [place for place, _ in found] == [CHUNK - 1, *range(CHUNK, CHUNK + 5)]
    assert found[-1][1] == Item(f"t{CHUNK + 4}", CHUNK + 4)
    assert list(await lab.dashboard_store.items("o1", Result.FAILED, 10)) == []


async def test_an_operation_is_created_once(lab: Lab) -> None:
    assert await lab.dashboard_store.create(operation(), items(2))
    assert not await lab.dashboard_store.create(operation(), items(CHUNK + 1))
    found = await lab.dashboard_store.operation(operation().id)
    assert found is not None
    assert found.totals.total == 2


async def test_operations_are_listed_newest_first(lab: Lab) -> None:
    for number in range(3):
        await lab.dashboard_store.create(operation(f"o{number}", created_at=NOW + number * MINUTE), items(number))
    found = await lab.dashboard_store.operations(2)
    assert [(one.id, one.totals.total) for one in found] == [("o2", 2), ("o1", 1)]
    assert [one.id for one in await lab.dashboard_store.operations(2, (found[-1].created_at, found[-1].id))] == ["o0"]


async def test_totals_always_add_up(lab: Lab) -> None:
    await lab.dashboard_store.create(operation(), items(CHUNK + 4))
    chunk = await lab.dashboard_store.next_chunk("o1")
    assert chunk is not None
    results = {0: (Result.REQUEUED, None), 1: (Result.SKIPPED, "it is completed"), 2: (Result.FAILED, "no")}
    assert await lab.dashboard_store.record(chunk, results, NOW + MINUTE)
    assert not await lab.dashboard_store.record(chunk, {3: (Result.REQUEUED, None)}, NOW)
    found = await lab.dashboard_store.operation("o1")
    assert found is not None
    assert found.totals == Totals(requeued=1, skipped=1, failed=1, pending=CHUNK + 1, waiting=1)
    assert found.totals.total == CHUNK + 4
    assert [one.detail for _, one in await lab.dashboard_store.items("o1", Result.SKIPPED, 9)] == ["it is completed"]
    again = await lab.dashboard_store.next_chunk("o1")
    assert again is not None
    assert (again.number, again.items[0].result) == (0, Result.REQUEUED)
    rest = dict.fromkeys(range(3, CHUNK), (Result.SKIPPED, None))
    assert await lab.dashboard_store.record(again, rest, NOW)
    last = await lab.dashboard_store.next_chunk("o1")
    assert last is not None
    assert (last.number, len(last.items)) == (1, 4)
    assert await lab.dashboard_store.record(last, dict.fromkeys(range(4), (Result.FAILED, "no")), NOW)
    assert await lab.dashboard_store.next_chunk("o1") is None


async def test_why_a_task_was_left_alone_is_kept_with_its_code(lab: Lab) -> None:
    change = message("task.change.state", before="failed", now="completed")
    said = message("task.changed", task="t0", change=change)
    await lab.dashboard_store.create(operation(), items(2))
    chunk = await lab.dashboard_store.next_chunk("o1")
    assert chunk is not None
    results = {0: (Result.SKIPPED, said), 1: (Result.SKIPPED, "said by an older version")}
    assert await lab.dashboard_store.record(chunk, results, NOW)
    first, second = [one.detail for _, one in await lab.dashboard_store.items("o1", None, 9)]
    assert isinstance(first, Message)
    assert (first, first.code, first.parameters["change"]) == (said, "task.changed", change)
    assert second == "said by an older version"
    assert not isinstance(second, Message)


async def test_an_operation_is_taken_by_one_at_a_time(lab: Lab) -> None:
    await lab.dashboard_store.create(operation("o1"), items(1))
    await lab.dashboard_store.create(operation("o2", created_at=NOW + MINUTE), items(1))
    until = NOW + 5 * MINUTE
    taken = await asyncio.gather(*(lab.dashboard_store.take(NOW + MINUTE, until) for _ in range(6)))
    assert sorted(one.id for one in taken if one is not None) == ["o1", "o2"]
    await lab.dashboard_store.postpone("o1", NOW, NOW)
    assert await lab.dashboard_store.take(NOW + MINUTE, until) is None
    await lab.dashboard_store.postpone("o1", until, NOW + 2 * MINUTE)
    assert await lab.dashboard_store.take(NOW + MINUTE, until) is None
    again = await lab.dashboard_store.take(NOW + 2 * MINUTE, until)
    assert again is not None
    assert again.id == "o1"


async def test_an_operation_is_paused_resumed_and_ended(lab: Lab) -> None:
    running, paused = OperationState.RUNNING, OperationState.PAUSED
    await lab.dashboard_store.create(operation(), items(1))
    assert await lab.dashboard_store.switch("o1", {running}, paused, NOW)
    assert not await lab.dashboard_store.switch("o1", {running}, paused, NOW)
    assert await lab.dashboard_store.take(NOW + MINUTE, NOW + HOUR) is None
    assert await lab.dashboard_store.switch("o1", {paused}, running, NOW + MINUTE)
    assert await lab.dashboard_store.take(NOW + MINUTE, NOW + HOUR) is not None
    assert await lab.dashboard_store.switch("o1", {paused, running}, OperationState.CANCELLED, NOW + MINUTE)
    assert not await lab.dashboard_store.switch("o1", {paused, running}, running, NOW)
    found = await lab.dashboard_store.operation("o1")
    assert found is not None
    assert (found.state, found.ended_at) == (OperationState.CANCELLED, NOW + MINUTE)


async def test_outcomes_are_asked_for_until_all_are_known(lab: Lab) -> None:
    await lab.dashboard_store.create(operation(), items(4))
    chunk = await lab.dashboard_store.next_chunk("o1")
    assert chunk is not None
    results = dict.fromkeys(range(3), (Result.REQUEUED, None)) | {3: (Result.SKIPPED, "no")}
    assert await lab.dashboard_store.record(chunk, results, NOW + MINUTE)
    assert await lab.dashboard_store.take_unsettled(NOW, NOW + HOUR) is None
    taken = await lab.dashboard_store.take_unsettled(NOW + MINUTE, NOW + 2 * MINUTE)
    assert taken is not None
    assert await lab.dashboard_store.take_unsettled(NOW + MINUTE, NOW + HOUR) is None
    assert await lab.dashboard_store.settle(taken, {0: "completed"})
    assert not await lab.dashboard_store.settle(taken, {1: "completed"})
    again = await lab.dashboard_store.take_unsettled(NOW + 2 * MINUTE, NOW + 3 * MINUTE)
    assert again is not None
    assert [item.outcome for item in again.items] == ["completed", None, None, None]
    assert await lab.dashboard_store.settle(again, {1: "failed", 2: "completed"})
    assert await lab.dashboard_store.take_unsettled(NOW + HOUR, NOW + 2 * HOUR) is None
    found = await lab.dashboard_store.operation("o1")
    assert found is not None
    assert (found.totals.waiting, found.totals.outcomes) == (0, {"completed": 2, "failed": 1})
