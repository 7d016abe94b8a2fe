"""What a task's way costs in index keys: each index of the tasks has to be worth what every task pays for it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from bridge.adapters.mongo.documents import TaskDocument
from bridge.documents.task_codec import to_document
from bridge.domain.task import FINAL, State, Task
from tests.contract.index_keys import keys_written
from tests.unit.fakes import NOW
from tests.unit.flow_lab import Lab, Work

RETENTION = timedelta(days=30)
INDEXES = TaskDocument.Settings.indexes
THE_WAY = [State.RECEIVED, State.QUEUED, State.RUNNING, State.REPORTING, State.COMPLETED]
SET: dict[str, Any] = {"business_key": "ORD-1", "process_instance_id": "p1", "engine_created_at": NOW, "priority": 0}


class Watched(dict[str, Task]):
    """The tasks of a store, which counts what each write changes in the indexes."""

    def __init__(self) -> None:
        super().__init__()
        self.way: list[State] = []
        self.written: Counter[str] = Counter()

    def __setitem__(self, task_id: str, task: Task) -> None:
        known = self.get(task_id)
        self.written += keys_written(None if known is None else _kept(known), _kept(task), INDEXES)
        self.way.append(task.state)
        super().__setitem__(task_id, task)


def _kept(task: Task) -> dict[str, Any]:
    expires = {"expire_at": task.updated_at + RETENTION} if task.state in FINAL else {}
    return to_document(task) | expires


async def way(result: object = None) -> Watched:
    """Let the parts of a process take a task from the fetch to the engine's answer, some time after each step."""
    work = Work(held=True)
    work.result = result
    lab = Lab(work)
    watched = lab.store.tasks = Watched()
    task = await lab.task(**SET)
    lab.clock.advance(timedelta(milliseconds=5))
    await lab.relay.publish([task])
    lab.clock.advance(timedelta(milliseconds=5))
    running, _ = await lab.begin(task)
    lab.clock.advance(timedelta(milliseconds=5))
    work.go.set()
    await running
    lab.clock.advance(timedelta(milliseconds=5))
    await lab.delivery.deliver(lab.now(task))
    return watched


async def test_a_task_that_goes_well_writes_28_keys() -> None:
    watched = await way()
    assert watched.way == THE_WAY
    assert dict(watched.written) == {
        # what the flow needs: the reconciler's, and what MongoDB deletes by
        "due_by_state": 4,
        "expire": 1,
        # what finds one task among all, by what people know of it
        "business_key": 1,
        "process_instance": 1,
        # the older list, which is in the order of creation
        "newest": 1,
        "by_topic": 1,
        # the pages: their list is in the order of the last change, which each write is
        "latest": 5,
        "state_latest": 5,
        "topic_state_latest": 5,
        "finished": 1,
        "attempts": 2,
        "priority": 1,
    }
    assert watched.written.total() == 28


async def test_a_failure_writes_only_what_tells_of_it_besides() -> None:
    watched = await way(ValueError("no"))
    assert watched.way == [*THE_WAY[:4], State.RETRYING]
    more = watched.written - (await way()).written
    assert set(more) <= {"error_latest", "group_latest", "due_by_state"}
    assert more.total() <= 5


async def test_a_renewal_writes_what_its_moment_is_in() -> None:
    lab = Lab(Work(held=True))
    task = await lab.task(**SET)
    running, _ = await lab.begin(task)
    watched = Watched()
    watched.update(lab.store.tasks)
    lab.store.tasks = watched
    lab.clock.advance(timedelta(seconds=15))
    await lab.renew.run_once()
    assert watched.way, "the renewal was written"
    assert set(watched.written) <= {"due_by_state", "latest", "state_latest", "topic_state_latest"}
    lab.work.go.set()
    await running
