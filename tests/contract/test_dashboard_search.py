"""What a search finds, in which order and on which pages, asked of the one in memory and of MongoDB alike."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from pymongo.errors import ExecutionTimeout

from bridge.adapters.mongo import search as search_store
from bridge.adapters.mongo.dashboard import MongoDashboardStore
from bridge.domain.errors import SearchTooSlow
from bridge.domain.lifecycle import Event, Move
from bridge.domain.operation import Row
from bridge.domain.task import Completion, Source, State, Task, TypedValue
from bridge.ports.dashboard import COUNT_CAP, Found, Selection, TooSlow
from bridge.ports.reader import TaskFilter
from bridge.search.grammar import parse
from bridge.search.match import matches
from bridge.search.page import PositionError, Sort, SortKey
from bridge.search.query import EVERYTHING, Node
from tests.contract.dashboard_stores import Lab
from tests.contract.stores import MINUTE, NOW, VARIABLES, attempt, task
from tests.unit.search.test_search import queries

LATER = NOW + 60 * MINUTE


def some_tasks() -> list[Task]:
    values = {"n": TypedValue("Integer", 1), "yes": TypedValue("Boolean", True), "a.b": TypedValue("String", "$ne")}
    return [
        task("a1", state=State.FAILED, error_type="ValueError", error_fp="f1", attempts=3, finished_at=NOW),
        task("a2", topic="mail", business_key="ORD-1", process_instance_id="p1", updated_at=NOW - MINUTE),
        task("b1", state=State.QUEUED, priority=5, variables=values, created_at=NOW - MINUTE, replica="r1"),
        task("b2", state=State.RETRYING, source=Source.PUSHED, given=values, tenant_id="t", activity_id="act"),
        task("$ne", state=State.COMPLETED, finished_at=NOW + MINUTE, business_key="$where", worker_id="$regex"),
        task(
            "c",
            state=State.FAILED,
            error_type="KeyError",
            error_fp="f2",
            process_definition_key="p",
            retries=0,
            operation="o1",
        ),
    ]


async def found(dashboard_lab: Lab, text: str | Node, sort: str = "-updated") -> list[str]:
    query = parse(text) if isinstance(text, str) else text
    page = await dashboard_lab.dashboard_store.search(query, Sort.read(sort), 50, now=LATER)
    assert isinstance(page, Found)
    return [one.id for one in page.tasks]


QUERIES = [
    "", "a", "a1", "ORD", "p", "$", "$ne", "$where", "state:failed", "-state:failed", "state:failed,queued", "x OR a",
    "topic:mail", "topic:mail,orders state:failed", "error:ValueError", "-error:ValueError", "fp:f1", "key:ORD-1",
    "key:$where", "instance:p1", "process:p", "activity:act", "tenant:t", "-tenant:t", "worker:$regex", "replica:r1",
    "source:pushed", "operation:o1", "-operation:o1", "priority:5", "priority:>0", "attempts:>=3", "retries:0,3",
    "created:<2026-01-02T03:04:05Z",
    "updated:2026-01-02", "finished:>2026-01-02T03:04:05.678Z", "-finished:>2000-01-01", "waiting:>5m",
    "waiting:>61m", "-waiting:>61m", "var.n:1", "var.n:2", "var.yes:true", "-var.yes:true", "var.yes:1", "var.a.b:$ne",
    "var.$where:1", "-(a OR topic:mail)", "(a b) OR c", "-(a1)",
]  # fmt: skip


@pytest.mark.parametrize("grouped", [25_000, 0])
async def test_counts_are_the_same_however_they_are_made(
    mongo_dashboard_lab: Lab, grouped: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_store, "_GROUPED", grouped)
    await mongo_dashboard_lab.store.accept(some_tasks())
    for text in QUERIES:
        counts = (await mongo_dashboard_lab.dashboard_store.counts(parse(text), now=LATER)).by_state
        expected = [task.state for task in some_tasks() if matches(parse(text), task, LATER)]
        assert (text, counts) == (text, {state: expected.count(state) for state in State})


async def test_a_page_reaches_back_as_far_as_it_must(dashboard_lab: Lab) -> None:
    ages = [timedelta(0), timedelta(hours=1), timedelta(hours=9), timedelta(days=9), timedelta(minutes=-5)]
    await dashboard_lab.store.accept([task(f"t{place}", updated_at=NOW - age) for place, age in enumerate(ages)])
    for limit in range(1, 6):
        listed: list[str] = []
        cursor: str | None = None
        while not listed or cursor is not None:
            page = await dashboard_lab.dashboard_store.search(EVERYTHING, Sort(), limit, cursor, now=NOW)
            assert isinstance(page, Found)
            listed += [one.id for one in page.tasks]
            cursor = page.next
        assert listed == ["t4", "t0", "t1", "t2", "t3"]


@pytest.mark.parametrize("sort", ["-updated", "updated", "-finished"])
async def test_a_query_means_the_same_everywhere(dashboard_lab: Lab, sort: str) -> None:
    await dashboard_lab.store.accept(some_tasks())
    for text in QUERIES:
        expected = {t.id for t in some_tasks() if matches(parse(text), t, LATER)}
        if sort == "-finished":
            expected &= {"a1", "$ne"}
        names = await found(dashboard_lab, text, sort)
        assert (text, set(names)) == (text, expected)
        assert len(names) == len(expected)


async def test_any_query_means_the_same_in_both(mongo_dashboard_lab: Lab) -> None:
    await mongo_dashboard_lab.store.accept(some_tasks())

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(queries)
    def collect(query: Node) -> None:
        wanted.append(query)

    wanted: list[Node] = []
    collect()
    for query in wanted:
        assert set(await found(mongo_dashboard_lab, query)) == {
            t.id for t in some_tasks() if matches(query, t, LATER)
        }, query


@pytest.mark.parametrize("key", SortKey)
@pytest.mark.parametrize("descending", [True, False])
async def test_pages_follow_each_other(dashboard_lab: Lab, key: SortKey, descending: bool) -> None:
    """Also where values are the same, and where the last task of a page is deleted or has moved meanwhile."""
    places = [0, 1, 1, 1, 2, 3, 1, 0]
    fields: list[dict[str, Any]] = [
        {
            "updated_at": NOW + place * MINUTE,
            "created_at": NOW + place * MINUTE,
            "finished_at": NOW + place * MINUTE,
            "attempts": place,
            "priority": place - 1,
        }
        for place in places
    ]
    await dashboard_lab.store.accept([task(f"t{number}", **given) for number, given in enumerate(fields)])
    await dashboard_lab.store.accept([task("other", topic="mail")])
    query, sort = parse("topic:orders"), Sort(key, descending)
    listed: list[str] = []
    cursor: str | None = None
    while not listed or cursor is not None:
        page = await dashboard_lab.dashboard_store.search(query, sort, 3, cursor, now=NOW)
        assert isinstance(page, Found)
        listed += [one.id for one in page.tasks]
        cursor = page.next
    order = sorted(range(8), key=lambda number: (places[number], number), reverse=descending)
    assert listed == [f"t{number}" for number in order]


async def test_a_cursor_outlives_its_task(dashboard_lab: Lab) -> None:
    await dashboard_lab.store.accept([task(f"t{number}", updated_at=NOW + number * MINUTE) for number in range(6)])
    page = await dashboard_lab.dashboard_store.search(parse("state:received"), Sort(), 2, now=NOW)
    assert isinstance(page, Found)
    assert [one.id for one in page.tasks] == ["t5", "t4"]
    await dashboard_lab.store.move(
        [Move("t4", Event.GONE, 1), Move("t3", Event.RENEW, 1, changes={"updated_at": LATER})]
    )
    following = await dashboard_lab.dashboard_store.search(parse("state:received"), Sort(), 2, page.next, now=NOW)
    assert isinstance(following, Found)
    assert [one.id for one in following.tasks] == ["t2", "t1"]


async def test_a_cursor_belongs_to_its_search_and_order(dashboard_lab: Lab) -> None:
    await dashboard_lab.store.accept([task("a"), task("b")])
    page = await dashboard_lab.dashboard_store.search(EVERYTHING, Sort(), 1, now=NOW)
    assert isinstance(page, Found)
    assert page.next is not None
    for query, sort, cursor in (
        (parse("a"), Sort(), page.next),
        (EVERYTHING, Sort(descending=False), page.next),
        (EVERYTHING, Sort(SortKey.PRIORITY), page.next),
        (EVERYTHING, Sort(), page.next[:-3]),
        (EVERYTHING, Sort(), "x" * 600),
        (EVERYTHING, Sort(), "é"),
    ):
        with pytest.raises(PositionError):
            await dashboard_lab.dashboard_store.search(query, sort, 1, cursor, now=NOW)


async def test_a_list_shows_no_payload_unless_it_is_wanted_whole(dashboard_lab: Lab) -> None:
    full = task(variables=VARIABLES, given=VARIABLES, outcome=Completion(VARIABLES), history=(attempt(1),))
    await dashboard_lab.store.accept([full])
    light = await dashboard_lab.dashboard_store.search(EVERYTHING, Sort(), 1, now=NOW)
    whole = await dashboard_lab.dashboard_store.search(EVERYTHING, Sort(), 1, now=NOW, whole=True)
    assert light == Found((task(),), None)
    assert whole == Found((full,), None)


async def test_counts_are_of_each_state(dashboard_lab: Lab) -> None:
    await dashboard_lab.store.accept(some_tasks())
    counts = (await dashboard_lab.dashboard_store.counts(EVERYTHING, now=LATER)).by_state
    assert {state.value: count for state, count in counts.items() if count} == {
        "failed": 2,
        "received": 1,
        "queued": 1,
        "retrying": 1,
        "completed": 1,
    }
    assert set(counts) == set(State)
    for text, failed, received in (("topic:orders", 2, 0), ("error:KeyError", 1, 0), ("state:received", 0, 1)):
        counts = (await dashboard_lab.dashboard_store.counts(parse(text), now=LATER)).by_state
        assert (counts[State.FAILED], counts[State.RECEIVED]) == (failed, received)


async def test_counts_stop_where_nobody_needs_to_know(dashboard_lab: Lab) -> None:
    await dashboard_lab.store.accept([task(str(number)) for number in range(COUNT_CAP + 3)])
    assert (await dashboard_lab.dashboard_store.counts(EVERYTHING, now=NOW)).by_state[State.RECEIVED] == COUNT_CAP + 1


async def test_a_selection_is_bounded_and_says_so(dashboard_lab: Lab) -> None:
    await dashboard_lab.store.accept([task(f"t{number}", updated_at=NOW + number * MINUTE) for number in range(3)])
    rows = [Row(f"t{number}", State.RECEIVED, "orders", 1) for number in (2, 1, 0)]
    assert await dashboard_lab.dashboard_store.select(EVERYTHING, 2, now=NOW) == Selection(tuple(rows[:2]), True)
    assert await dashboard_lab.dashboard_store.select(EVERYTHING, 3, now=NOW) == Selection(tuple(rows), False)
    assert {row.id for row in await dashboard_lab.dashboard_store.rows(["t0", "x", "t2", "t0"])} == {"t0", "t2"}
    assert await dashboard_lab.dashboard_store.rows([]) == []


async def test_a_search_that_takes_too_long_is_told_as_such(
    mongo_dashboard_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The servers of the tests know no time limit, so the answer that MongoDB gives is put in its place."""
    dashboard_store = mongo_dashboard_lab.dashboard_store
    assert isinstance(dashboard_store, MongoDashboardStore)

    class Slow:
        def find(self, *_: object, max_time_ms: int) -> Slow:
            assert max_time_ms == 5000
            return self

        def sort(self, *_: object) -> Slow:
            return self

        def limit(self, _: int) -> Slow:
            return self

        async def to_list(self) -> list[Any]:
            raise ExecutionTimeout("operation exceeded time limit", 50)

        async def aggregate(self, pipeline: list[Any], maxTimeMS: int) -> None:  # noqa: N803
            assert ({"$limit": 25_001} in pipeline, maxTimeMS) == (True, 1000)
            raise ExecutionTimeout("operation exceeded time limit", 50)

        async def count_documents(self, *_: object, limit: int, maxTimeMS: int) -> int:  # noqa: N803
            assert (limit, maxTimeMS) == (COUNT_CAP + 1, 1000)
            raise ExecutionTimeout("operation exceeded time limit", 50)

    monkeypatch.setattr(MongoDashboardStore, "_tasks", Slow())
    assert await dashboard_store.search(parse("var.a:1"), Sort(), 5, now=NOW) == TooSlow(timedelta(seconds=5))
    assert await dashboard_store.select(parse("var.a:1"), 5, now=NOW) == TooSlow(timedelta(seconds=5))
    assert (await dashboard_store.counts(parse("state:failed"), now=NOW)).by_state[State.FAILED] is None
    with pytest.raises(SearchTooSlow, match="longer than 5 s"):
        await dashboard_store.page(TaskFilter(), 5)
