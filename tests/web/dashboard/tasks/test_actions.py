"""What is done to a task: only while it is as its page showed it, and written down."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest

from bridge.domain.access import Role
from bridge.domain.edits import edit_of
from bridge.domain.errors import EngineUnavailable
from bridge.domain.message_texts import TEXTS
from bridge.domain.task import State, TypedValue
from bridge.operations.actions import RETRY_REASONS, reason_against
from bridge.operations.actions import Action as Act
from tests.web.auth.access_lab import AccessLab, browser
from tests.web.dashboard.dashboard_lab import DashboardLab, flash, page_of, seen
from web.i18n.messages import translate
from web.i18n.texts import PORTUGUESE

CANARY = "hunter2-canary"
AWAY = EngineUnavailable("the engine is away")


async def test_retry_now(client: Any, lab: DashboardLab, secret: str) -> None:
    task = await lab.failed()
    answer = await client.post(f"/dashboard/tasks/{task.id}/retry", data=seen(task, secret, reason=""))
    assert "the engine hands the task out again" in await flash(client, answer)
    assert lab.store.tasks[task.id].state is State.RETRYING
    assert (await lab.engine.get(task.id)).retries == 3
    (entry,) = lab.dashboard_store.audit
    assert (entry.action, entry.target, entry.role) == ("task.retry", f"task:{task.id}", "operator")
    assert "Retried" in (await page_of(client, task)).partition('id="operators"')[2]


async def test_retry_later_in_the_readers_own_zone(client: Any, lab: DashboardLab, secret: str) -> None:
    task = await lab.failed()
    client.cookies.set("zone", "America/Sao_Paulo")
    at = (lab.clock.now() + timedelta(hours=2) - timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M")
    answer = await client.post(f"/dashboard/tasks/{task.id}/retry-at", data=seen(task, secret, at=at))
    assert "at the time you chose" in await flash(client, answer)
    assert lab.store.tasks[task.id].next_at == lab.clock.now() + timedelta(hours=2)
    for wrong in ("", "soon", "2020-01-01T00:00"):
        other = await lab.failed()
        answer = await client.post(f"/dashboard/tasks/{other.id}/retry-at", data=seen(other, secret, at=wrong))
        assert "a time in the future" in await flash(client, answer)
        assert lab.store.tasks[other.id] == other


async def test_set_retries(client: Any, lab: DashboardLab, secret: str) -> None:
    task = await lab.failed()
    path = f"/dashboard/tasks/{task.id}/retries"
    for wrong in ("0", "-1", "x", "1001"):
        assert "from 1 to 1000" in await flash(client, await client.post(path, data=seen(task, secret, retries=wrong)))
    assert lab.dashboard_store.audit == []
    assert await flash(client, await client.post(path, data=seen(task, secret, retries="7"))) == "Retries set."
    assert (await lab.engine.get(task.id)).retries == 7
    assert [(entry.before, entry.after) for entry in lab.dashboard_store.audit] == [({"retries": 0}, {"retries": 7})]


async def test_release_asks_why(client: Any, lab: DashboardLab, secret: str) -> None:
    task_id = lab.engine.add("charge_card")
    await lab.engine.lock(task_id, "thief", timedelta(minutes=5))
    task = lab.task(task_id, state=State.SUPERSEDED)
    path = f"/dashboard/tasks/{task.id}/release"
    assert "give a reason" in await flash(client, await client.post(path, data=seen(task, secret, reason="  ")))
    assert (await lab.engine.get(task.id)).worker_id == "thief"
    assert "released" in await flash(client, await client.post(path, data=seen(task, secret)))
    assert (await lab.engine.get(task.id)).worker_id is None


async def test_variables_are_edited_and_secrets_stay(client: Any, lab: DashboardLab, secret: str) -> None:
    task = await lab.failed(
        variables={
            "amount_cents": TypedValue("Long", 1200),
            "card_code": TypedValue("String", CANARY),
            "customer": TypedValue("Json", json.dumps({"name": "Ana"})),
        }
    )
    text = await page_of(client, task, "/edit")
    shown = json.loads(unescape(re.search(r"<textarea[^>]*>(.*?)</textarea>", text, re.DOTALL)[1]))  # type: ignore[index]
    assert shown == {"amount_cents": 1200, "card_code": "***", "customer": {"name": "Ana"}}
    changed = {**shown, "amount_cents": 1300, "customer": {"name": "Bia"}, "new": True}
    form = seen(task, secret, variables=json.dumps(changed))
    answer = await client.post(f"/dashboard/tasks/{task.id}/edit", data=form)
    assert "the task is being retried" in await flash(client, answer)
    kept = lab.engine.variables[task.process_instance_id or ""]
    assert kept["amount_cents"] == TypedValue("Long", 1300)
    assert kept["customer"] == TypedValue("Json", '{"name": "Bia"}')
    assert kept["new"].value is True
    assert "card_code" not in kept
    (entry,) = lab.dashboard_store.audit
    assert entry.before == {"amount_cents": 1200, "customer": {"name": "Ana"}}
    assert CANARY not in str(lab.dashboard_store.audit)


@pytest.mark.parametrize(("language", "says"), [("en", "An edit did not arrive"), ("pt-BR", "Uma edição não chegou")])
async def test_an_edit_that_did_not_arrive_is_told(client: Any, lab: DashboardLab, language: str, says: str) -> None:
    kept = {"amount_cents": TypedValue("Long", 1200), "<b>": TypedValue("Long", 1)}
    task = await lab.failed(variables=kept, epoch=1)
    saved = {"amount_cents": TypedValue("Long", 1300), "<b>": TypedValue("Long", 1)}
    client.headers["accept-language"] = language
    lab.store.tasks[task.id] = waiting = task.changed(edit=edit_of(task, saved, None))
    assert says not in await page_of(client, waiting)
    lab.store.tasks[task.id] = again = waiting.changed(epoch=2)
    note = (await page_of(client, again)).partition(says)[2].partition("</div>")[0]
    assert "<code x-ignore>amount_cents</code>." in note
    assert "&lt;b&gt;" not in note
    lab.store.tasks[task.id] = arrived = again.changed(variables=saved)
    assert says not in await page_of(client, arrived)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "This is not JSON"),
        ("[1]", "must be one JSON object"),
        ("{}", "Nothing was changed"),
        ('{"customer": {"key": "***"}}', "still has a masked part"),
        ('{"amount_cents": NaN}', "can&#39;t be a variable"),
    ],
)
async def test_what_cannot_be_used_is_shown_with_what_was_typed(
    client: Any, lab: DashboardLab, secret: str, text: str, says: str
) -> None:
    task = await lab.failed()
    path = f"/dashboard/tasks/{task.id}/edit"
    answer = await client.post(path, data=seen(task, secret, variables=text))
    assert answer.status_code == 422
    assert says in answer.text.replace("can't", "can&#39;t")
    assert text in unescape(answer.text)
    assert lab.dashboard_store.audit == []
    assert lab.store.tasks[task.id] == task


async def test_what_the_topic_refuses_is_told(client: Any, lab: DashboardLab, secret: str) -> None:
    task = await lab.failed()
    form = seen(task, secret, variables='{"amount_cents": "many"}')
    answer = await client.post(f"/dashboard/tasks/{task.id}/edit", data=form)
    assert "doesn't take these variables" in await flash(client, answer)
    assert [("not done" in entry.after) for entry in lab.dashboard_store.audit] == [False, True]


@pytest.mark.parametrize("path", ["retry", "retry-at", "retries", "release", "edit"])
async def test_what_changed_meanwhile_is_told_and_nothing_is_done(
    client: Any, lab: DashboardLab, secret: str, path: str
) -> None:
    task = await lab.failed()
    fields = {"retry-at": {"at": "2026-12-01T00:00"}, "retries": {"retries": "3"}, "edit": {"variables": '{"a": 1}'}}
    form = seen(task, secret, **fields.get(path, {}))
    for changes, says in (
        ({"state": State.COMPLETED}, "the task was “Failed” when the page was loaded, and is “Completed” now"),
        ({"epoch": 2}, "handed the task out again"),
        ({"updated_at": lab.clock.now()}, "has changed since the page was loaded"),
    ):
        lab.store.tasks[task.id] = now = task.changed(**changes)
        assert says in await flash(client, await client.post(f"/dashboard/tasks/{task.id}/{path}", data=form))
        assert lab.store.tasks[task.id] == now
    assert lab.dashboard_store.audit == []
    assert (await lab.engine.get(task.id)).retries == 0


async def test_an_engine_that_is_away_is_told_and_both_are_written_down(
    client: Any, lab: DashboardLab, secret: str
) -> None:
    task = await lab.failed()
    lab.engine.fail_next("get", AWAY)
    answer = await client.post(f"/dashboard/tasks/{task.id}/retry", data=seen(task, secret))
    assert "it is unknown whether this took effect: the engine is away" in await flash(client, answer)
    assert [entry.after for entry in lab.dashboard_store.audit] == [{}, {"not done": "the engine is away"}]


@pytest.mark.parametrize("state", [state for state in State if state is not State.FAILED])
async def test_what_is_not_possible_is_off_with_the_reason(client: Any, lab: DashboardLab, state: State) -> None:
    task = lab.task(state=state)
    acts = (await page_of(client, task)).partition('id="acts"')[2].partition('id="way"')[0]
    assert RETRY_REASONS[state] in unescape(acts)
    assert f'/dashboard/tasks/{task.id}/retry"' not in acts
    assert f"/dashboard/tasks/{task.id}/edit" not in acts
    client.headers["accept-language"] = "pt-BR"
    acts = (await page_of(client, task)).partition('id="acts"')[2].partition('id="way"')[0]
    assert RETRY_REASONS[state] not in unescape(acts)


async def test_every_reason_can_be_translated(lab: DashboardLab) -> None:
    tasks = [lab.task(state=state, process_instance_id=instance) for state in State for instance in (None, "i")]
    reasons = [reason for act in Act for task in tasks if (reason := reason_against(act, task)) is not None]
    assert {reason.code for reason in reasons} == {code for code in TEXTS if code.startswith("task.reason.")}
    assert all(translate(PORTUGUESE, reason) != reason for reason in reasons)


async def test_a_viewer_is_told_which_role_it_needs(lab: DashboardLab, access: AccessLab) -> None:
    task = await lab.failed()
    async with browser(lab.app(), await access.session(Role.VIEWER)) as viewer:
        text = await page_of(viewer, task)
        assert "Changing a task requires the operator role" in text
        assert 'method="post" action="/dashboard/tasks' not in text


@pytest.mark.parametrize(
    "fields", [{"state": "x"}, {"epoch": "x"}, {"updated_at": ""}, {"updated_at": "2026-01-31T08:00:00"}]
)
async def test_a_form_that_does_not_say_what_it_saw_does_nothing(
    client: Any, lab: DashboardLab, secret: str, fields: dict[str, str]
) -> None:
    task = await lab.failed()
    answer = await client.post(f"/dashboard/tasks/{task.id}/retry", data=seen(task, secret, **fields))
    assert answer.status_code == 400
    assert lab.store.tasks[task.id] == task


async def test_a_form_of_another_session_does_nothing(client: Any, lab: DashboardLab, access: AccessLab) -> None:
    task = await lab.failed()
    other = await access.session(Role.OPERATOR, "eve")
    assert (await client.post(f"/dashboard/tasks/{task.id}/retry", data=seen(task, other))).status_code == 403
    assert lab.store.tasks[task.id] == task
