"""The page of one task: its runs, variables and result, its messages, and the actions of operators."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any, Final

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from bridge.domain.access import Principal, Scope, may
from bridge.domain.dead_letter import DeadLetter
from bridge.domain.edits import missed_edits
from bridge.domain.errors import BrokerError, EngineError, EngineRejected, TaskGone, TaskUnreadable, UnknownTask
from bridge.domain.messages import message
from bridge.domain.records import AuditFilter
from bridge.domain.redaction import mask_start
from bridge.domain.task import Task
from bridge.ports.broker import Depth
from bridge.ports.engine import EngineLogEntry, EngineTask
from web.api.schemas import LONGEST_ERROR, TASK_ID_EXACT
from web.auth.guard import GivenPrincipal, needs
from web.components.page import language_of_reader, pages_of, render
from web.dashboard.dependencies import DashboardDependencies
from web.dashboard.reveal import revealed_of
from web.dashboard.task_variables import Shown, shown
from web.dashboard.task_view import Run, choices_of, cockpit_link, runs_of, trace_link, undelivered, way_of
from web.dashboard.unreadable import show_unreadable
from web.i18n.labels import ACTIONS
from web.i18n.messages import translate
from web.offload import size_of

PATH: Final = "/dashboard/tasks"
TaskId = Annotated[str, PathParameter(pattern=TASK_ID_EXACT)]
_MOST_ACTIONS: Final = 20
_MOST_LETTERS: Final = 200
_MOST_LINES: Final = 20


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """The engine's answer; `gone`: it has no such task. `error` is why there is no answer."""

    task: EngineTask | None = None
    lines: tuple[EngineLogEntry, ...] = ()
    gone: bool = False
    error: str | None = None


async def found_task(dashboard: DashboardDependencies, principal: Principal, task_id: str) -> Task:
    """Return the task; raises `UnknownTask`, also for a topic that the reader may not see, and `TaskUnreadable`."""
    task = await dashboard.reader.get(task_id)
    if task is None or not may(principal, Scope.READ, task.topic):
        raise UnknownTask(message("task.unknown", task=task_id))
    return task


class TaskPage:
    """Finds what the page shows."""

    def __init__(self, dashboard: DashboardDependencies) -> None:
        self._dashboard = dashboard

    async def show(self, request: Request[Any, Any, Any], principal: Principal, task_id: str) -> Response[str]:
        """Show the task; the engine is asked only where the URL says so."""
        dashboard = self._dashboard
        try:
            task = await found_task(dashboard, principal, task_id)
        except TaskUnreadable as error:
            return await show_unreadable(request, principal, dashboard, error.found)
        also = dashboard.secrets_of(task.topic)
        asks = request.query_params.get("engine") == "now"
        depth, letters, entries, engine = await asyncio.gather(
            self._depth(task.topic),
            self._letters(task),
            dashboard.store.entries(AuditFilter(target=f"task:{task.id}"), _MOST_ACTIONS),
            self._engine(task) if asks else _not_requested(),
        )
        wanted = request.query_params.get("attempt", "")
        insecure = pages_of(request).insecure
        reveals = may(principal, Scope.ADMIN, task.topic)
        revealed = revealed_of(request, task.id, dashboard.clock.now(), insecure=insecure) if reveals else frozenset()
        size = sum(map(size_of, (task.given, task.variables, task.result)))
        found = None if engine is None else engine.task
        given, inputs, results, runs = await dashboard.offload.run(size, _parts_of, task, also, revealed)
        return render(
            request,
            "task.html",
            task=task,
            error=mask_start(translate(language_of_reader(request), task.error or ""), LONGEST_ERROR, also),
            way=way_of(task),
            runs=runs,
            opened=int(wanted) if wanted.isdecimal() and len(wanted) < 10 else (runs[0].number if runs else 0),
            given=given,
            inputs=inputs,
            results=results,
            undelivered=undelivered(task, also),
            missed=missed_edits(task),
            choices=choices_of(task),
            operates=may(principal, Scope.OPERATE, task.topic),
            reveals=reveals,
            depth=depth,
            letters=letters,
            entries=entries,
            action_words=ACTIONS,
            engine=engine,
            engine_error=None if found is None else mask_start(found.error or "", LONGEST_ERROR, also),
            trace_url=trace_link(dashboard.jaeger_url, task),
            cockpit_url=cockpit_link(dashboard.cockpit_url, task),
        )

    async def _depth(self, topic: str) -> Depth | None:
        try:
            return await self._dashboard.depth(topic)
        except BrokerError:
            return None

    async def _letters(self, task: Task) -> list[DeadLetter]:
        letters = await self._dashboard.dead_letter_store.dead_letters(_MOST_LETTERS)
        return [letter for letter in letters if letter.task_id == task.id]

    async def _engine(self, task: Task) -> EngineStatus:
        """Ask the engine for the task, and for its log, which it has only at the history level `full`."""
        found, gone = None, False
        try:
            found = await self._dashboard.engine.get(task.id)
        except TaskGone:
            gone = True
        except EngineError as error:
            return EngineStatus(error=error.message)
        try:
            lines = tuple(await self._dashboard.engine.history(task.id))
        except EngineRejected:
            lines = ()
        except EngineError as error:
            return EngineStatus(found, gone=gone, error=error.message)
        return EngineStatus(found, lines[-_MOST_LINES:], gone)


def _parts_of(
    task: Task, also: Collection[str], revealed: Collection[str]
) -> tuple[tuple[Shown, ...], tuple[Shown, ...], tuple[Shown, ...] | None, tuple[Run, ...]]:
    """Return the inputs, the engine's variables, the result and the runs as the page shows them."""
    given = shown(task.given or {}, "given", also, revealed)
    inputs = shown(task.variables, "engine", also, revealed)
    result = None if task.result is None else shown(task.result, "result", also, revealed)
    return given, inputs, result, runs_of(task, also)


async def _not_requested() -> None:
    return None


def task_routes(dashboard: DashboardDependencies) -> tuple[HTTPRouteHandler, ...]:
    """Return the route of the page."""
    page = TaskPage(dashboard)

    @get("/tasks/{task_id:str}", opt=needs(Scope.READ))
    async def task(request: Request[Any, Any, Any], principal: GivenPrincipal, task_id: TaskId) -> Response[str]:
        return await page.show(request, principal, task_id)

    return (task,)
