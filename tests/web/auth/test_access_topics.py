"""Every route times everybody who is limited to topics: what is of another topic is as unknown to them as nothing."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import pytest
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.testing import AsyncTestClient

from bridge.domain.access import SCOPES, Role, Scope
from bridge.domain.dead_letter import DeadLetter
from bridge.domain.operation import Item, Operation, OperationKind
from bridge.domain.records import Pause, View
from bridge.domain.task import Task
from tests.web.auth.access_lab import PASSWORD, AccessLab, browser, with_token
from tests.web.auth.access_matrix import ROUTES, handlers
from tests.web.dashboard.dashboard_lab import seen
from tests.web.dashboard.operations_lab import OperationsLab
from web.app import create_app
from web.auth.guard import need_of
from web.components.live import LiveConfig
from web.dashboard.mount import dashboard_router
from web.dashboard.pages import dashboard_pages

MINE, THEIRS = "charge_card", "zz_other_topic"
CANARIES: Final = (THEIRS, "their-task", "their-key", "their-instance", "their-error", "their-view", "their-letter")
FOREIGN_OPERATION, ABSENT_OPERATION = "01JYYYYYYYYYYYYYYYYYYYYYYY", "01JXXXXXXXXXXXXXXXXXXXXXXX"

PARAMETERS: Final = {
    "task_id": ("their-task", "no-such-task"),
    "operation_id": (FOREIGN_OPERATION, ABSENT_OPERATION),
    "name": (THEIRS, "zz_absent_one"),
    "prefix": ("abcdefghijkm", "abcdefghijkn"),
}
"""What each parameter of a path is: of another topic, or of somebody else; and what there is none of."""

NOTHING_OF_TASKS: Final = {"/dashboard/{rest:path}", "/dashboard/logout"}
"""Routes that name neither a task nor what has tasks, or end the session that the others need."""

OF_ALL_TOPICS: Final = {"/tasks/statistics", "/dead-letters"}
"""Routes that tell of all topics together, and so are for those alone who may see all."""

CHOSEN: Final = {"ids": "their-task", "q": ""}
IN_BODY: Final[dict[tuple[str, str], list[dict[str, str]]]] = {
    ("POST", "/tasks/submit"): [{"task_id": "their-task", "worker_id": "w1", "topic": THEIRS}],
    ("POST", "/dashboard/operations/preview"): [CHOSEN, {"q": f"topic:{THEIRS}"}, {"q": "state:failed"}],
    ("POST", "/dashboard/operations"): [{**CHOSEN, "token": ABSENT_OPERATION, "expected": "1", "reason": "x"}],
    ("POST", "/dashboard/tasks/views/delete"): [{"id": "their-view"}],
    ("POST", "/dashboard/tasks/export"): [{"format": "csv"}, {"format": "json"}],
}
"""Forms that name what is of another topic, of the routes that take such a thing in the body."""


class Bound:
    """The gateway with a task of one's own topic and one of another, each with all that is kept of a task."""

    def __init__(self, stub: Any) -> None:
        self.access = AccessLab(open_metrics=False)
        self.lab = OperationsLab(self.access)
        self.stub = stub

    async def fill(self) -> None:
        """Keep the tasks, a paused topic, an operation, a view and a dead letter."""
        parts, now = self.lab.parts, self.lab.clock.now()
        self.lab.parts.topics[THEIRS] = replace(parts.topics["ship"], name=THEIRS)
        mine = await parts.failed("my-task")
        theirs = await parts.failed(
            "their-task", topic=THEIRS, business_key="their-key", process_instance_id=mine.process_instance_id,
            error="their-error", error_type="their-error", error_fp="fedcba9876543210",
        )  # fmt: skip
        await self.lab.dashboard_store.pause(Pause(THEIRS, "root", "their-error", now))
        operation = Operation(FOREIGN_OPERATION, OperationKind.RETRY, f"topic:{THEIRS}", "their-key", "root", 1, now)
        await self.lab.dashboard_store.create(operation, [Item(theirs.id, 1)])
        await self.lab.dashboard_store.save_view(View("their-view", "their-view", f"topic={THEIRS}", "root", now))
        letter = DeadLetter("their-letter", THEIRS, "rejected", "their-letter", theirs.id, now)
        self.lab.store.letters[letter.id] = letter
        await self.lab.worker()
        self.kept = self.state()

    def state(self) -> tuple[Task, int, int, int]:
        """Return what nobody of another topic may have changed."""
        dashboard_store = self.lab.dashboard_store
        return (
            self.lab.store.tasks["their-task"],
            len(dashboard_store._pauses),
            len(dashboard_store._views),
            len(self.stub.retried),
        )

    def app(self) -> Litestar:
        pages = dashboard_pages(self.lab.dependencies)
        router = dashboard_router(
            self.access.dependencies, live_config=LiveConfig(lifetime=timedelta(0)), mounted=pages
        )
        dependencies = replace(self.stub.dependencies(self.access.dependencies), reader=self.lab.store)
        return create_app(dependencies, [router])

    @asynccontextmanager
    async def person(self, role: Role) -> AsyncIterator[AsyncTestClient[Litestar]]:
        """Give the browser of somebody who is limited to MINE."""
        await self.access.accounts.add_user("ana", role, PASSWORD, [MINE])
        secret = (await self.access.session_service.login("ana", PASSWORD, address="10.0.0.1", agent="")).secret
        async with browser(self.app(), secret) as client:
            client.headers["x-csrf-token"] = with_token(secret)["csrf_token"]
            yield client

    @asynccontextmanager
    async def program(self) -> AsyncIterator[AsyncTestClient[Litestar]]:
        """Give a client with a key that may everything a bound key may, on MINE."""
        key = await self.access.key(Scope.READ, Scope.SUBMIT, Scope.OPERATE, topics=[MINE])
        async with AsyncTestClient(self.app(), raise_server_exceptions=False) as client:
            client.headers["x-api-key"] = key
            client.follow_redirects = False
            yield client


@dataclass(frozen=True)
class Named:
    """A route, and its path with what it names filled in."""

    handler: HTTPRouteHandler
    method: str
    route: str

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"\{(\w+):\w+\}", self.route)

    def path(self, which: int) -> str:
        return re.sub(r"\{(\w+):\w+\}", lambda found: PARAMETERS[found[1]][which], self.route)


@pytest.fixture
async def bound(stub: Any) -> Bound:
    bound = Bound(stub)
    await bound.fill()
    return bound


def guarded(app: Litestar) -> list[Named]:
    """Return every route that asks who is there."""
    found = []
    for path, handler in handlers(app):
        need = need_of(handler)
        if need is not None and need.scope is not None and path not in NOTHING_OF_TASKS:
            found += [Named(handler, method, path) for method in sorted(handler.http_methods)]
    return found


def body_of(named: Named, task: Task) -> dict[str, str]:
    """Return a form that the route can read."""
    asked = next(one for one in ROUTES if (one.route, one.method) == (named.route, named.method))
    given = dict(asked.body or {})
    return {**given, **{key: value for key, value in seen(task, "").items() if key in given}}


async def send(client: AsyncTestClient[Litestar], method: str, path: str, body: dict[str, str]) -> Any:
    if method == "GET":
        return await client.get(path)
    options: dict[str, Any] = {"data" if path.startswith("/dashboard") else "json": body}
    return await client.request(method, path, **options)


def alike(response: Any, named: Named, which: int) -> tuple[int, str, str]:
    """Return what an answer tells, whatever its path names and whatever is new in each."""
    text, location = response.text, response.headers.get("location", "")
    for name in named.parameters:
        text, location = (one.replace(PARAMETERS[name][which], "…") for one in (text, location))
    return response.status_code, location, re.sub(r'nonce="[^"]*"|data-now="[^"]*"|since=[\w-]*', "", text)


def test_every_parameter_of_a_path_has_a_foreign_value_here(bound: Bound) -> None:
    used = {name for named in guarded(bound.app()) for name in named.parameters}
    assert used == PARAMETERS.keys(), "say what a foreign, and what an absent one is: PARAMETERS"


@pytest.mark.parametrize("who", ["viewer", "operator", "key"])
async def test_what_is_of_another_topic_is_answered_as_what_there_is_none_of(bound: Bound, who: str) -> None:
    theirs, compared = bound.kept[0], 0
    async with bound.program() if who == "key" else bound.person(Role(who)) as client:
        for named in guarded(bound.app()):
            if named.parameters:
                body = body_of(named, theirs)
                answers = [await send(client, named.method, named.path(which), body) for which in (0, 1)]
                foreign, absent = (alike(answer, named, which) for which, answer in enumerate(answers))
                assert foreign == absent, f"{named.method} {named.route}"
                assert foreign[0] >= 303, f"{named.method} {named.route} granted {foreign}"
                compared += 1
    assert compared == sum(bool(named.parameters) for named in guarded(bound.app()))
    assert bound.state() == bound.kept


@pytest.mark.parametrize("who", ["viewer", "operator", "key"])
async def test_no_route_tells_of_another_topic(bound: Bound, who: str) -> None:
    granted = 0
    async with bound.program() if who == "key" else bound.person(Role(who)) as client:
        for named in guarded(bound.app()):
            if named.parameters:
                continue
            where, own = (named.method, named.route), body_of(named, bound.kept[0])
            for body in IN_BODY.get(where, [own]):
                response = await send(client, named.method, named.route, body)
                said = {text for text in CANARIES if text in response.text} - set(body.values())
                said -= {THEIRS} if body.get("q") == f"topic:{THEIRS}" else set()
                assert not said, f"{where} tells of {said}"
                assert response.status_code < 500, where
                out = response.headers.get("location", "").startswith("/dashboard/login")
                assert not out or who == "key", "the session has ended, and nothing after it is tested"
                granted += response.status_code < 400
    assert granted > (3 if who == "key" else 10)
    assert bound.state() == bound.kept


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_what_is_of_ones_own_topic_is_granted_as_to_others(bound: Bound, role: Role) -> None:
    await bound.lab.parts.failed("t1")
    async with bound.person(role) as client:
        for asked in ROUTES:
            if not asked.page or asked.scope is None or "{rest" in asked.route or "{operation_id" in asked.route:
                continue
            response = await send(client, asked.method, asked.path, dict(asked.body or {}))
            granted = response.status_code not in {401, 403, 404}
            assert granted is (asked.scope in SCOPES[role]), (asked.method, asked.path)
            if asked.route == "/dashboard/logout":
                secret = (
                    await bound.access.session_service.login("ana", PASSWORD, address="10.0.0.1", agent="")
                ).secret
                client.cookies.set("__Host-session", secret)
                client.headers["x-csrf-token"] = with_token(secret)["csrf_token"]


async def test_what_tells_of_all_topics_together_is_for_nobody_who_is_limited(bound: Bound) -> None:
    refused = set()
    async with bound.program() as client:
        for asked in [one for one in ROUTES if not one.page and one.scope is not None]:
            path = asked.path.replace("t1", "my-task")
            response = await send(client, asked.method, path, dict(asked.body or {}))
            if response.status_code == 403:
                refused.add(asked.route)
    assert refused == OF_ALL_TOPICS
