"""The application on stubs: each test sets what they answer, or raise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient
from prometheus_client import CollectorRegistry

from bridge.adapters.memory.dashboard import MemoryDashboardStore
from bridge.adapters.memory.store import MemoryStore
from bridge.domain.dead_letter import DeadLetter
from bridge.domain.submission import Submission
from bridge.domain.task import Task, UnreadableTask
from bridge.operations.bulk import Bulk
from bridge.operations.health import Component, Health, Purpose, Readiness
from bridge.ports.reader import Page, Statistics, TaskFilter
from tests.web.auth.access_lab import AccessLab, open_access
from web.app import create_app
from web.dependencies import AccessDependencies, WebDependencies

BORN = datetime(2026, 1, 31, 8, 0, 0, 123000, tzinfo=UTC)
BODY_LIMIT = 20_000


def make_task(task_id: str = "t1", **changes: Any) -> Task:
    """Return a task with `changes` to its fields."""
    fields: dict[str, Any] = {
        "topic": "charge_card",
        "worker_id": "w1",
        "lease_until": BORN + timedelta(minutes=1),
        "created_at": BORN,
        "updated_at": BORN,
        "retries": 3,
    }
    return Task(id=task_id, **(fields | changes))


@dataclass
class StubReader:
    """A `TaskReader` on a list; it remembers the filters it was asked for."""

    tasks: list[Task] = field(default_factory=list)
    unreadable: tuple[UnreadableTask, ...] = ()
    error: Exception | None = None
    asked: list[TaskFilter] = field(default_factory=list)

    async def get(self, task_id: str) -> Task | None:
        self._fail()
        return next((task for task in self.tasks if task.id == task_id), None)

    async def page(self, wanted: TaskFilter, limit: int, after: tuple[datetime, str] | None = None) -> Page:
        self._fail()
        self.asked.append(wanted)
        found = sorted(self.tasks, key=lambda task: (task.created_at, task.id), reverse=True)
        found = [task for task in found if after is None or (task.created_at, task.id) < after]
        tasks = tuple(found[:limit])
        return Page((*tasks, *self.unreadable), (tasks[-1].created_at, tasks[-1].id) if len(found) > limit else None)

    async def statistics(self) -> Statistics:
        self._fail()
        return Statistics(3, {"completed": 2, "failed": 1}, {"charge_card": 3})

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


def bulk_on(store: MemoryDashboardStore) -> Bulk:
    """Return what previews bulk operations on a store in memory; it can't run any."""
    lab = AccessLab()
    nothing: Any = None
    return Bulk(
        operations=store, search=store, store=nothing, operate=nothing, audit=store.write, clock=lab.clock,
        journal=lab.journal, replica="replica-a",
    )  # fmt: skip


@dataclass
class Stub:
    """What stands behind the web; `error` is raised by whatever is called next."""

    reader: StubReader = field(default_factory=StubReader)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    submitted: list[Submission] = field(default_factory=list)
    retried: list[str] = field(default_factory=list)
    found: Health = field(default_factory=lambda: Health(True, (Component("engine", True, "7.24.0"),)))
    readiness: Readiness = field(default_factory=Readiness)
    asked_for: list[Purpose | None] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    store: MemoryDashboardStore = field(default_factory=lambda: MemoryDashboardStore(MemoryStore()))
    bulk: Bulk | None = None
    """What bulk operations are started by; the default has nothing that it could retry by."""

    def fail(self, error: Exception) -> None:
        """Let every call raise `error`."""
        self.reader.error = error

    async def submit(self, submission: Submission) -> Task:
        self.reader._fail()
        self.submitted.append(submission)
        return make_task(submission.task_id, topic=submission.topic, worker_id=submission.worker_id)

    async def retry(self, task_id: str) -> Task:
        self.reader._fail()
        self.retried.append(task_id)
        return make_task(task_id)

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        self.reader._fail()
        return self.letters[:limit]

    async def health(self) -> Health:
        return self.found

    async def ready(self, purpose: Purpose | None) -> Readiness:
        self.asked_for.append(purpose)
        return self.readiness

    def dependencies(self, access: AccessDependencies, *, debug: bool = False) -> WebDependencies:
        """Return what the web depends on, with `access`."""
        return WebDependencies(
            reader=self.reader,
            store=self.store,
            bulk=self.bulk or bulk_on(self.store),
            submit=self.submit,
            retry=self.retry,
            dead_letters=self.dead_letters,
            health=self.health,
            ready=self.ready,
            access=access,
            registry=self.registry,
            version="1.2.3",
            body_limit=BODY_LIMIT,
            debug=debug,
        )

    def app(self, *, debug: bool = False) -> Litestar:
        """Return the application on these stubs, its API open to everybody."""
        return create_app(self.dependencies(open_access(), debug=debug))


Client = AsyncTestClient[Litestar]


@pytest.fixture
def stub() -> Stub:
    return Stub()


@pytest.fixture
async def client(stub: Stub) -> AsyncIterator[Client]:
    async with AsyncTestClient(stub.app(), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def new_task() -> Callable[..., Task]:
    return make_task


@pytest.fixture
def check_problem() -> Callable[[Any, int, str], dict[str, Any]]:
    """Return a check that a response is a whole problem document of a status and kind, without a stack."""

    def check(response: Any, status: int, slug: str) -> dict[str, Any]:
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/problem+json"
        document: dict[str, Any] = response.json()
        assert document["type"] == f"urn:problem-type:worker-api-gateway:{slug}"
        assert document["status"] == status
        assert document["title"]
        assert len(document["detail"]) > 3
        assert "Traceback" not in response.text
        assert 'File "' not in response.text
        return document

    return check
