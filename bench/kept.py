"""What pages and the API ask of MongoDB with 10,000, 100,000 and 1,000,000 tasks: `python -m bench.kept`.

Counted and not timed, so that it is the same on any machine: the index keys that MongoDB goes over, and the documents
that it reads (see `bench.walked` for how that is known without its server). The numbers that are kept beside are in a
real store, as are all other collections.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, cast
from uuid import uuid4

import typer
import uvloop
from rich.console import Console

from bench.errors import BenchError
from bench.results import table
from bench.servers import DEFAULT_BASE, Servers, servers
from bench.walked import TOPICS, Tasks, Walked
from bridge.adapters.mongo.dashboard import MongoDashboardStore
from bridge.adapters.mongo.documents import TaskDocument
from bridge.domain.task import State
from bridge.ports.dashboard import Found
from bridge.ports.reader import TaskFilter
from bridge.search.grammar import parse
from bridge.search.page import Sort, SortKey
from sandbox.errors import SandboxError

SIZES: Final = (10_000, 100_000, 1_000_000)
MOST: Final = 30_000
"""Keys that a request may go over: as many as are counted for an answer, and a page."""

Ask = Callable[[MongoDashboardStore, datetime], Awaitable[object]]


def _search(text: str, sort: Sort = Sort()) -> Ask:
    return lambda dashboard_store, now: dashboard_store.search(parse(text), sort, 50, now=now)


async def _second_page(dashboard_store: MongoDashboardStore, now: datetime) -> None:
    found = await dashboard_store.search(parse(""), Sort(), 50, now=now)
    if not isinstance(found, Found) or found.next is None:
        raise BenchError("there is no second page")
    await dashboard_store.search(parse(""), Sort(), 50, found.next, now=now)


REQUESTS: Final[Mapping[str, Ask]] = {
    "GET /tasks/statistics": lambda dashboard_store, _: dashboard_store.statistics(),
    "the tabs, the overview": lambda dashboard_store, now: dashboard_store.counts(parse(""), now=now),
    "the tabs of a topic": lambda dashboard_store, now: dashboard_store.counts(parse(f"topic:{TOPICS[0]}"), now=now),
    "the list": _search(""),
    "the list, two pages": _second_page,
    "a tab: failed": _search("state:failed"),
    "a tab: completed": _search("state:completed"),
    "a topic": _search(f"topic:{TOPICS[0]}"),
    "a topic's failed": _search(f"topic:{TOPICS[0]} state:failed"),
    "by creation": _search("", Sort(SortKey.CREATED)),
    "GET /tasks": lambda dashboard_store, _: dashboard_store.page(TaskFilter(), 50),
    "GET /tasks?topic=": lambda dashboard_store, _: dashboard_store.page(TaskFilter(topics=TOPICS[:1]), 50),
    "GET /tasks?status=completed": lambda dashboard_store, _: dashboard_store.page(
        TaskFilter(states=(State.COMPLETED,)), 50
    ),
    "GET /tasks?status=failed": lambda dashboard_store, _: dashboard_store.page(TaskFilter(states=(State.FAILED,)), 50),
    "GET /tasks?status=running": lambda dashboard_store, _: dashboard_store.page(
        TaskFilter(states=(State.RUNNING,)), 50
    ),
}
BESIDE: Final[Mapping[str, Ask]] = {
    "beside: the first count": lambda dashboard_store, now: dashboard_store.refresh_counts(now),
    "beside: every two seconds": lambda dashboard_store, now: dashboard_store.refresh_counts(
        now + timedelta(seconds=2)
    ),
    "beside: a state, now and then": lambda dashboard_store, now: dashboard_store.recount(
        TOPICS[0], State.COMPLETED, now
    ),
}

Cost = tuple[int, int]


async def run(there: Servers) -> dict[str, list[Cost]]:
    """Return of each question the keys and the documents, by the number of tasks kept."""
    found: dict[str, list[Cost]] = {name: [] for name in (*BESIDE, *REQUESTS)}
    for size in SIZES:
        now = datetime.now(UTC).replace(microsecond=0)
        tasks = Tasks(size, now)
        async with MongoDashboardStore(there.env["MONGODB_URI"], f"bench_kept_{uuid4().hex[:10]}") as dashboard_store:
            walked = Walked(tasks)
            dashboard_store._collections[TaskDocument.Settings.name] = cast(Any, walked)
            for name, ask in {**BESIDE, **REQUESTS}.items():
                walked.keys = walked.documents = 0
                await ask(dashboard_store, now)
                found[name].append((walked.keys, walked.documents))
            kept = await dashboard_store.task_counts()
            if kept is None or kept.total() != size:
                raise BenchError(f"{size} tasks are kept, and {kept} were counted")
    return found


def main(base: Annotated[int, typer.Option(help="The first of eight ports for the servers.")] = DEFAULT_BASE) -> None:
    """Count what is asked of MongoDB by how many tasks are kept; fail where a request's part grows without bound."""
    console = Console(width=max(110, Console().width))
    try:
        with servers(base, "none") as there:
            found = uvloop.run(run(there))
    except (BenchError, SandboxError) as error:
        console.print(f"bench: {error}", style="red", markup=False)
        sys.exit(2)
    rows = [(name, *(f"{keys:,} / {documents:,}" for keys, documents in costs)) for name, costs in found.items()]
    console.print(table("index keys / documents", ("", *(f"{size:,} kept" for size in SIZES)), rows))
    above = [name for name in REQUESTS if max(keys for keys, _ in found[name]) > MOST]
    for name in above:
        console.print(f"bench: {name} goes over more than {MOST:,} keys", style="red", markup=False)
    sys.exit(1 if above else 0)


if __name__ == "__main__":
    typer.run(main)
