"""The routes of the forms that change a task, or show one of its secrets."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler

from bridge.domain.access import Principal, Scope
from bridge.domain.redaction import mask, mask_text
from bridge.domain.task import Task, Variables
from bridge.operations.actions import Action, ShownVersion
from bridge.operations.retry import MOST_RETRIES
from bridge.search.moments import read_stored_instant
from web.auth.audit import audit_entry
from web.auth.guard import GivenPrincipal, needs, require
from web.components.flash import Flash
from web.components.forms import changing, read_form
from web.components.page import go_on, language_of_reader, pages_of, render
from web.components.preferences import preferences_of, zone_for
from web.dashboard.dependencies import DashboardDependencies
from web.dashboard.reveal import add_reveal
from web.dashboard.task import PATH, TaskId, found_task
from web.dashboard.task_actions import REASON, Act, Actions
from web.dashboard.task_variables import EditFault, as_text, edited, readable
from web.dashboard.task_view import choices_of
from web.i18n.texts import msg
from web.offload import size_of

_EDIT_BYTES: Final = 4_000_000
_CHANGE: Final = changing(Scope.OPERATE)


class TaskForms:
    """Reads the forms."""

    def __init__(self, dashboard: DashboardDependencies) -> None:
        self._dashboard = dashboard
        self._actions = Actions(dashboard)

    async def retry(self, request: Request[Any, Any, Any], principal: Principal, task_id: str) -> Response[None]:
        """Retry the task now."""
        task, form = await self._actions.form(request, principal, task_id)

        async def call(shown: ShownVersion) -> Task:
            return await self._dashboard.operate.retry(task_id, shown)

        done = msg("Retrying: the engine hands the task out again right away.")
        return await self._actions.do(request, principal, task, form, Act(Action.RETRY, call, done))

    async def retry_at(self, request: Request[Any, Any, Any], principal: Principal, task_id: str) -> Response[None]:
        """Retry the task at a time in the reader's own zone."""
        task, form = await self._actions.form(request, principal, task_id, at=40)
        zone = zone_for(request, preferences_of(request, insecure=pages_of(request).insecure))
        moment = read_stored_instant(form["at"], zone)
        if moment is None or moment <= self._dashboard.clock.now():
            text = msg("Nothing was changed: choose a time in the future.")
            return go_on(request, f"{PATH}/{task_id}", Flash(text, level="error"))

        async def call(shown: ShownVersion) -> Task:
            return await self._dashboard.operate.retry(task_id, shown, at=moment)

        act = Act(Action.RETRY_AT, call, msg("The task will be retried at the time you chose."), {"at": str(moment)})
        return await self._actions.do(request, principal, task, form, act)

    async def set_retries(self, request: Request[Any, Any, Any], principal: Principal, task_id: str) -> Response[None]:
        """Give the task so many retries."""
        task, form = await self._actions.form(request, principal, task_id, retries=6)
        retries = int(form["retries"]) if form["retries"].isdecimal() else 0
        if not 1 <= retries <= MOST_RETRIES:
            text, values = msg("Nothing was changed: enter a number from 1 to %(most)s."), {"most": MOST_RETRIES}
            return go_on(request, f"{PATH}/{task_id}", Flash(text, values, level="error"))

        async def call(shown: ShownVersion) -> Task:
            return await self._dashboard.operate.set_retries(task_id, retries, shown)

        act = Act(
            Action.SET_RETRIES,
            call,
            msg("Retries set."),
            {"retries": retries},
            {"retries": task.retries},
        )
        return await self._actions.do(request, principal, task, form, act)

    async def release(self, request: Request[Any, Any, Any], principal: Principal, task_id: str) -> Response[None]:
        """Release the engine's lock on the task."""
        task, form = await self._actions.form(request, principal, task_id)

        async def call(shown: ShownVersion) -> Task:
            return await self._dashboard.operate.release(task_id, shown)

        before = {"worker": task.worker_id}
        act = Act(Action.RELEASE, call, msg("Lock released."), before=before, asks_reason=True)
        return await self._actions.do(request, principal, task, form, act)

    async def editor(self, request: Request[Any, Any, Any], principal: Principal, task_id: str) -> Response[str]:
        """Show the form in which variables are edited."""
        task = await found_task(self._dashboard, principal, task_id)
        require(principal, Scope.OPERATE, task.topic)
        text = await self._dashboard.offload.run(
            size_of(task.inputs), as_text, task, self._dashboard.secrets_of(task.topic)
        )
        return self._editor(request, task, text)

    async def edit(self, request: Request[Any, Any, Any], principal: Principal, task_id: str) -> Response[Any]:
        """Set variables and retry the task; a fault is shown with the text as it was typed."""
        task, form = await self._actions.form(request, principal, task_id, variables=_EDIT_BYTES)
        also = self._dashboard.secrets_of(task.topic)
        try:
            size = size_of(task.inputs) + len(form["variables"])
            changed = await self._dashboard.offload.run(size, edited, task, form["variables"], also)
            if not changed:
                raise EditFault(msg("Nothing was changed: to run it again as it is, use “Retry now”."))
            if not form["reason"].strip():
                raise EditFault(msg("Give a reason; it is recorded in the audit log."))
        except EditFault as fault:
            fault.translate(language_of_reader(request))
            return self._editor(request, task, form["variables"], error=fault, reason=form["reason"], status=422)

        async def call(shown: ShownVersion) -> Task:
            return await self._dashboard.operate.retry(task_id, shown, variables=changed)

        before = _masked({name: task.inputs[name] for name in changed.keys() & task.inputs.keys()}, also)
        done = msg("Variables saved; the task is being retried. If one of them doesn't arrive, this page says so.")
        act = Act(Action.EDIT, call, done, _masked(changed, also), before, asks_reason=True)
        return await self._actions.do(request, principal, task, form, act)

    def _editor(
        self,
        request: Request[Any, Any, Any],
        task: Task,
        text: str,
        *,
        error: EditFault | None = None,
        reason: str = "",
        status: int = 200,
    ) -> Response[str]:
        why_not = choices_of(task)[Action.EDIT]
        return render(
            request, "task_edit.html", status=status, task=task, text=text, error=error, reason=reason, why_not=why_not
        )

    async def reveal(self, request: Request[Any, Any, Any], principal: Principal, task_id: str) -> Response[None]:
        """Show one variable unmasked for a short time, after an audit entry with the person and the reason."""
        form = await read_form(request, {"what": 300, "reason": REASON})
        task = await found_task(self._dashboard, principal, task_id)
        require(principal, Scope.ADMIN, task.topic)
        back, reason = f"{PATH}/{task.id}", form["reason"].strip()
        place, _, name = form["what"].partition(":")
        known = {"given": task.given, "engine": task.variables, "result": task.result}.get(place) or {}
        if name not in known:
            return go_on(request, back, Flash(msg("That variable no longer exists."), level="error"))
        if not reason:
            text = msg("Nothing is shown: give a reason; it is recorded in the audit log.")
            return go_on(request, back, Flash(text, level="error"))
        now, also = self._dashboard.clock.now(), self._dashboard.secrets_of(task.topic)
        entry = audit_entry(
            request,
            principal,
            "task.reveal",
            f"task:{task.id}",
            now,
            reason=mask_text(reason, also),
            after={"variable": name, "of": place},
            trace=task.trace,
        )
        await self._dashboard.store.write(entry)
        answer = go_on(request, f"{back}#variables", Flash(msg("Visible to you for two minutes.")))
        add_reveal(answer, request, task.id, form["what"], now, insecure=pages_of(request).insecure)
        return answer


def _masked(variables: Variables, also: frozenset[str]) -> dict[str, object]:
    return {name: mask(name, readable(variable), also) for name, variable in variables.items()}


def task_form_routes(dashboard: DashboardDependencies) -> tuple[HTTPRouteHandler, ...]:
    """Return the routes of the forms."""
    forms = TaskForms(dashboard)

    @post("/tasks/{task_id:str}/retry", **_CHANGE)
    async def retry(request: Request[Any, Any, Any], principal: GivenPrincipal, task_id: TaskId) -> Response[None]:
        return await forms.retry(request, principal, task_id)

    @post("/tasks/{task_id:str}/retry-at", **_CHANGE)
    async def retry_at(request: Request[Any, Any, Any], principal: GivenPrincipal, task_id: TaskId) -> Response[None]:
        return await forms.retry_at(request, principal, task_id)

    @post("/tasks/{task_id:str}/retries", **_CHANGE)
    async def retries(request: Request[Any, Any, Any], principal: GivenPrincipal, task_id: TaskId) -> Response[None]:
        return await forms.set_retries(request, principal, task_id)

    @post("/tasks/{task_id:str}/release", **_CHANGE)
    async def release(request: Request[Any, Any, Any], principal: GivenPrincipal, task_id: TaskId) -> Response[None]:
        return await forms.release(request, principal, task_id)

    @get("/tasks/{task_id:str}/edit", opt=needs(Scope.OPERATE))
    async def editor(request: Request[Any, Any, Any], principal: GivenPrincipal, task_id: TaskId) -> Response[str]:
        return await forms.editor(request, principal, task_id)

    @post("/tasks/{task_id:str}/edit", **changing(Scope.OPERATE, most=_EDIT_BYTES))
    async def edit(request: Request[Any, Any, Any], principal: GivenPrincipal, task_id: TaskId) -> Response[Any]:
        return await forms.edit(request, principal, task_id)

    @post("/tasks/{task_id:str}/reveal", **changing(Scope.ADMIN))
    async def reveal(request: Request[Any, Any, Any], principal: GivenPrincipal, task_id: TaskId) -> Response[None]:
        return await forms.reveal(request, principal, task_id)

    return retry, retry_at, retries, release, editor, edit, reveal
