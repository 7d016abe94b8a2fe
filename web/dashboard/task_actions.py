"""Actions on one task: only while it is as the page showed it, with a reason, and with an audit entry before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from litestar import Request, Response
from litestar.exceptions import ValidationException

from bridge.domain.access import Principal, Scope
from bridge.domain.errors import (
    EngineError,
    EngineUnavailable,
    Forbidden,
    GatewayError,
    StoreUnavailable,
    TaskConflict,
    UnacceptableTask,
    VariableError,
)
from bridge.domain.messages import message
from bridge.domain.redaction import mask_text
from bridge.domain.task import State, Task
from bridge.operations.actions import Action, ShownVersion, reason_against
from bridge.search.moments import read_instant
from web.auth.audit import audit_entry
from web.auth.guard import require
from web.components.flash import Flash
from web.components.forms import read_form
from web.components.page import go_on, language_of_reader
from web.dashboard.dependencies import DashboardDependencies
from web.dashboard.task import PATH, found_task
from web.i18n.labels import STATES
from web.i18n.messages import translate
from web.i18n.texts import msg, translations

REASON: Final = 500
SEEN: Final[Mapping[str, int]] = {"state": 16, "epoch": 12, "updated_at": 40, "reason": REASON}
_MOST: Final = 600


@dataclass(frozen=True, slots=True)
class Act:
    """An action: its call, its audit entry, and the message when it is done."""

    action: Action
    call: Callable[[ShownVersion], Awaitable[Task]]
    done: str
    after: Mapping[str, object] = field(default_factory=dict)
    before: Mapping[str, object] = field(default_factory=dict)
    asks_reason: bool = False


def read_shown_version(form: Mapping[str, str]) -> ShownVersion:
    """Return the task as the form's page showed it. Raises `ValidationException`."""
    fault = ValidationException(detail=message("request.form_task"))
    updated_at = read_instant(form["updated_at"])
    if updated_at is None:
        raise fault
    try:
        return ShownVersion(State(form["state"]), int(form["epoch"]), updated_at)
    except ValueError:
        raise fault from None


class Actions:
    """Does the actions, and shows their results."""

    def __init__(self, dashboard: DashboardDependencies) -> None:
        self._dashboard = dashboard

    async def form(
        self, request: Request[Any, Any, Any], principal: Principal, task_id: str, **fields: int
    ) -> tuple[Task, dict[str, str]]:
        """Return the task and the form. Raises `UnknownTask`, or `Forbidden` for a topic that is not the person's."""
        form = await read_form(request, {**SEEN, **fields})
        task = await found_task(self._dashboard, principal, task_id)
        require(principal, Scope.OPERATE, task.topic)
        return task, form

    async def do(
        self, request: Request[Any, Any, Any], principal: Principal, task: Task, form: Mapping[str, str], act: Act
    ) -> Response[None]:
        """Act, and go on to the task's page."""
        shown, reason = read_shown_version(form), form["reason"].strip()
        back = f"{PATH}/{task.id}"
        refused = self._refusal(request, task, shown, act, reason)
        if refused is not None:
            return go_on(request, back, refused)
        await self._write(request, principal, task, act, reason=reason, before=act.before, after=act.after)
        try:
            await act.call(shown)
        except Forbidden:
            raise
        except GatewayError as error:
            why = mask_text(str(error), self._dashboard.secrets_of(task.topic))[:_MOST]
            await self._write(request, principal, task, act, reason=reason, before={}, after={"not done": why})
            secrets = self._dashboard.secrets_of(task.topic)
            told = mask_text(translate(language_of_reader(request), error.message), secrets)[:_MOST]
            return go_on(request, back, await self._failed(request, task, shown, error, told))
        return go_on(request, back, Flash(act.done))

    def _refusal(
        self, request: Request[Any, Any, Any], task: Task, shown: ShownVersion, act: Act, reason: str
    ) -> Flash | None:
        try:
            shown.check(task)
        except TaskConflict:
            return self.changed(request, shown, task)
        why_not = reason_against(act.action, task)
        if why_not is not None:
            text = self.words(request)(why_not)
            return Flash(msg("Nothing was changed: %(reason)s."), {"reason": text}, level="error")
        if act.asks_reason and not reason:
            return Flash(msg("Nothing was changed: give a reason; it is recorded in the audit log."), level="error")
        return None

    async def _failed(
        self, request: Request[Any, Any, Any], task: Task, shown: ShownVersion, error: GatewayError, why: str
    ) -> Flash:
        match error:
            case TaskConflict():
                now = await self._dashboard.reader.get(task.id)
                if now is not None and ShownVersion.of(now) != shown:
                    return self.changed(request, shown, now)
                return Flash(msg("Nothing was changed: %(reason)s."), {"reason": why}, level="error")
            case EngineUnavailable() | StoreUnavailable():
                text = msg("There was no answer, so it is unknown whether this took effect: %(error)s. Check the task.")
                return Flash(text, {"error": why}, level="error")
            case UnacceptableTask() | VariableError() | EngineError():
                return Flash(msg("Nothing was changed: %(reason)s."), {"reason": why}, level="error")
            case _:
                raise error

    def changed(self, request: Request[Any, Any, Any], shown: ShownVersion, now: Task) -> Flash:
        """Return the changes of the task since its page was shown."""
        words = self.words(request)
        values = {"before": words(STATES[shown.state]), "now": words(STATES[now.state])}
        if now.state is not shown.state:
            text = msg("Nothing was changed: the task was “%(before)s” when the page was loaded, and is “%(now)s” now.")
        elif now.epoch != shown.epoch:
            text = msg("Nothing was changed: the engine has handed the task out again, and it is “%(now)s” once more.")
        else:
            text = msg("Nothing was changed: the task has changed since the page was loaded. It is still “%(now)s”.")
        return Flash(text, values, level="warning")

    @staticmethod
    def words(request: Request[Any, Any, Any]) -> Callable[[str], str]:
        """Return the translator into the reader's language."""
        return translations(language_of_reader(request)).gettext

    async def _write(
        self,
        request: Request[Any, Any, Any],
        principal: Principal,
        task: Task,
        act: Act,
        *,
        reason: str,
        before: Mapping[str, object],
        after: Mapping[str, object],
    ) -> None:
        entry = audit_entry(
            request,
            principal,
            f"task.{act.action}",
            f"task:{task.id}",
            self._dashboard.clock.now(),
            reason=mask_text(reason, self._dashboard.secrets_of(task.topic)),
            before=before,
            after=after,
            trace=task.trace,
        )
        await self._dashboard.store.write(entry)
