"""One task: told, shown without its secrets, and acted on only while it is as its page showed it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from litestar.testing import AsyncTestClient

from bridge.access import Role
from bridge.dead_letter import DeadLetter
from bridge.errors import EngineUnavailable
from bridge.flow.actions import RETRY_REASONS, reason_against
from bridge.flow.actions import Action as Act
from bridge.task import State, Task, TypedValue
from tests.web.access_lab import AccessLab, browser, with_token
from tests.web.desk_lab import DeskLab
from web.task_words import REASONS

HOSTILE = '<script>alert("x")</script>'
CANARY = "hunter2-canary"
AWAY = EngineUnavailable("the engine is away")


@pytest.fixture
def access() -> AccessLab:
    return AccessLab()


@pytest.fixture
def lab(access: AccessLab) -> DeskLab:
    return DeskLab(access, jaeger="https://jaeger.example", cockpit="https://cockpit.example/default")


@pytest.fixture
async def secret(access: AccessLab) -> str:
    return await access.session(Role.OPERATOR)


@pytest.fixture
async def client(lab: DeskLab, secret: str) -> AsyncIterator[AsyncTestClient[Any]]:
    async with browser(lab.app(), secret) as client:
        yield client


@pytest.fixture
async def admin(lab: DeskLab, access: AccessLab) -> AsyncIterator[tuple[AsyncTestClient[Any], str]]:
    secret = await access.session(Role.ADMIN)
    async with browser(lab.app(), secret) as client:
        yield client, secret


def seen(task: Task, secret: str, **fields: str) -> dict[str, str]:
    """Return a form as the page of this task has it."""
    shown = {"state": task.state.value, "epoch": str(task.epoch), "updated_at": task.updated_at.isoformat()}
    return with_token(secret, **{**shown, "reason": "because", **fields})


async def page_of(client: Any, task: Task, query: str = "") -> str:
    response = await client.get(f"/dashboard/tasks/{task.id}{query}")
    assert response.status_code == 200, response.text[:300]
    return str(response.text)


async def flash(client: Any, response: Any) -> str:
    """Follow the answer to a form, and return what the next page says of it."""
    assert response.status_code == 303, response.text[:300]
    text = (await client.get(response.headers["location"])).text
    found = re.search(r'<div class="flash".*?<p[^>]*>(.*?)</p>', text, re.DOTALL)
    return "" if found is None else unescape(found[1])


# -- what is told


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State.RECEIVED, "waits to be handed to the broker"),
        (State.QUEUED, "Nobody consumes this topic now"),
        (State.RUNNING, "Its handler has been running since"),
        (State.REPORTING, "its outcome is on its way to the engine"),
        (State.COMPLETED, "It was completed at"),
        (State.RETRYING, "3 retries are left"),
        (State.FAILED, "an incident stands in the engine"),
        (State.CANCELLED, "it was found gone in the engine"),
        (State.SUPERSEDED, "Another worker has held it in the engine"),
    ],
)
async def test_each_state_is_told_in_plain_words(client: Any, lab: DeskLab, state: State, words: str) -> None:
    now = lab.clock.now()
    task = lab.task(state=state, claimed_at=now, finished_at=now, attempts=1, replica="replica-a")
    text = await page_of(client, task)
    assert words in text
    assert f'data-state="{state}" aria-current="step"' in text


async def test_why_it_failed_where_and_what_to_do(client: Any, lab: DeskLab) -> None:
    task = await lab.failed()
    text = await page_of(client, task)
    words = text.partition('id="verdict"')[2].partition('id="acts"')[0]
    assert "It failed after 2 runs" in words
    assert "ConnectTimeout: the bank did not answer within 30 s" in words
    assert "replica-a" in words
    assert "Mend the cause, then retry it here" in words
    assert "/dashboard/tasks?q=fp%3A0123456789abcdef" in words


async def test_every_run_is_shown_and_one_is_open(client: Any, lab: DeskLab) -> None:
    task = await lab.failed(trace="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    runs = (await page_of(client, task)).partition('id="attempts"')[2].partition('id="variables"')[0]
    assert runs.index('id="attempt-2"') < runs.index('id="attempt-1"')
    assert runs.count("https://jaeger.example/trace/4bf92f3577b34da6a3ce929d0e0e4736") == 2
    end = "bank.charge(order.amount_cents)\nhttpx.ConnectTimeout: the bank did not answer within 30 s</pre>"
    assert runs.count(end) == 2
    assert runs.count('<details class="stack" open>') == 1
    assert runs.index('<details class="stack" open>') < runs.index('id="attempt-1"')
    earlier = (await page_of(client, task, "?attempt=1")).partition('id="attempt-1"')[2]
    assert '<details class="stack" open>' in earlier


async def test_the_type_of_an_error_is_named_once(client: Any, lab: DeskLab) -> None:
    run = lab.attempt(1, lab.clock.now(), message="ConnectTimeout: no answer")
    runs = (await page_of(client, await lab.failed(history=(run,)))).partition('id="attempts"')[2]
    assert "<code x-ignore>ConnectTimeout: no answer</code>" in runs


async def test_the_instance_is_in_cockpit(client: Any, lab: DeskLab) -> None:
    text = await page_of(client, lab.task(process_instance_id="i/1"))
    assert "https://cockpit.example/default/#/process-instance/i%2F1" in text


async def test_hostile_text_is_text_wherever_it_stands(client: Any, lab: DeskLab) -> None:
    run = lab.attempt(1, lab.clock.now(), error=HOSTILE, message=HOSTILE, details=HOSTILE, replica=HOSTILE)
    values = {HOSTILE: TypedValue(HOSTILE, HOSTILE), "json": TypedValue("Json", json.dumps({HOSTILE: HOSTILE}))}
    named = dict.fromkeys(
        ("topic", "business_key", "process_instance_id", "process_definition_key", "activity_id", "tenant_id",
         "worker_id", "replica", "error", "error_type", "operation"), HOSTILE,
    )  # fmt: skip
    task = await lab.failed("t1", variables=values, given=values, result=values, history=(run,), trace=HOSTILE, **named)
    await lab.store.keep_dead_letter(DeadLetter("l1", "x", HOSTILE, HOSTILE, "t1", lab.clock.now()))
    for path in ("", "?engine=now", f"?attempt={HOSTILE}", "/edit"):
        text = await page_of(client, task, path)
        assert "<script>alert" not in text, path
        assert "&lt;script&gt;alert" in text


async def test_a_task_that_is_not_kept_is_a_page_that_says_so(client: Any) -> None:
    response = await client.get("/dashboard/tasks/none")
    assert response.status_code == 404
    assert "no task none is kept here" in response.text


# -- secrets


async def a_secret_task(lab: DeskLab) -> Task:
    variables = {
        "card_code": TypedValue("String", CANARY),
        "customer": TypedValue("Json", json.dumps({"name": "Ana", "api_key": CANARY})),
        "note": TypedValue("String", f"password={CANARY}"),
    }
    runs = (lab.attempt(1, lab.clock.now(), message=f"card_code={CANARY}", details=f"token={CANARY}"),)
    error = f"ValueError: card_code={CANARY}"
    return await lab.failed(variables=variables, given=variables, result=variables, history=runs, error=error)


async def test_no_page_has_a_secret(admin: Any, lab: DeskLab) -> None:
    client, _ = admin
    task = await a_secret_task(lab)
    for query in ("", "?engine=now", "/edit"):
        assert CANARY not in await page_of(client, task, query)


async def test_a_secret_is_revealed_to_an_admin_with_a_reason_for_a_while(admin: Any, lab: DeskLab) -> None:
    client, secret = admin
    task = await a_secret_task(lab)
    path = f"/dashboard/tasks/{task.id}/reveal"
    await flash(client, await client.post(path, data=with_token(secret, what="engine:card_code", reason=" ")))
    assert CANARY not in await page_of(client, task)
    assert lab.desk.audit == []
    answer = await client.post(path, data=with_token(secret, what="engine:card_code", reason="ticket 17"))
    assert answer.headers["location"] == f"/dashboard/tasks/{task.id}#variables"
    (entry,) = lab.desk.audit
    assert (entry.action, entry.reason, entry.who) == ("task.reveal", "ticket 17", "admin")
    assert entry.after == {"variable": "card_code", "of": "engine"}
    text = await page_of(client, task)
    assert text.count(CANARY) == 1
    assert CANARY not in await page_of(client, await a_secret_task(lab)), "it was for that task alone"
    lab.access.clock.pass_(minutes=3)
    assert CANARY not in await page_of(client, task)


async def test_a_cookie_that_this_session_did_not_write_reveals_nothing(admin: Any, lab: DeskLab) -> None:
    client, secret = admin
    task = await a_secret_task(lab)
    form = with_token(secret, what="engine:card_code", reason="x")
    await client.post(f"/dashboard/tasks/{task.id}/reveal", data=form)
    kept = client.cookies["__Host-reveal"].strip('"')
    other = await lab.access.session(Role.ADMIN, "eve")
    for value in (kept, "x.y", kept.replace(".", ".A"), "é.e30="):
        async with browser(lab.app(), other) as eve:
            eve.cookies.set("__Host-reveal", value.encode("ascii", "ignore").decode())
            assert CANARY not in await page_of(eve, task)


async def test_an_operator_can_reveal_nothing(client: Any, lab: DeskLab, secret: str) -> None:
    task = await a_secret_task(lab)
    assert "Reveal" not in await page_of(client, task)
    form = with_token(secret, what="engine:card_code", reason="x")
    assert (await client.post(f"/dashboard/tasks/{task.id}/reveal", data=form)).status_code == 403


# -- the engine


async def test_the_engine_is_asked_only_when_somebody_wants_it(client: Any, lab: DeskLab) -> None:
    task = await lab.failed()
    lab.engine.fail_next("get", AWAY)
    assert "It is asked only when you want it" in await page_of(client, task)
    text = await page_of(client, task, "?engine=now")
    assert "The engine doesn't answer" in text
    assert "the engine is away" in text
    text = await page_of(client, task, "?engine=now")
    assert "Locked by" in text
    lab.engine.cancel(task.id)
    assert "Gone in the engine" in await page_of(client, task, "?engine=now")


# -- actions


async def test_retry_now(client: Any, lab: DeskLab, secret: str) -> None:
    task = await lab.failed()
    answer = await client.post(f"/dashboard/tasks/{task.id}/retry", data=seen(task, secret, reason=""))
    assert "tried again" in await flash(client, answer)
    assert lab.store.tasks[task.id].state is State.RETRYING
    assert (await lab.engine.get(task.id)).retries == 3
    (entry,) = lab.desk.audit
    assert (entry.action, entry.target, entry.role) == ("task.retry", f"task:{task.id}", "operator")
    assert "Retried" in (await page_of(client, task)).partition('id="operators"')[2]


async def test_retry_later_in_the_readers_own_zone(client: Any, lab: DeskLab, secret: str) -> None:
    task = await lab.failed()
    client.cookies.set("zone", "America/Sao_Paulo")
    at = (lab.clock.now() + timedelta(hours=2) - timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M")
    answer = await client.post(f"/dashboard/tasks/{task.id}/retry-at", data=seen(task, secret, at=at))
    assert "at the moment you named" in await flash(client, answer)
    assert lab.store.tasks[task.id].next_at == lab.clock.now() + timedelta(hours=2)
    for wrong in ("", "soon", "2020-01-01T00:00"):
        other = await lab.failed()
        answer = await client.post(f"/dashboard/tasks/{other.id}/retry-at", data=seen(other, secret, at=wrong))
        assert "yet to come" in await flash(client, answer)
        assert lab.store.tasks[other.id] == other


async def test_set_retries(client: Any, lab: DeskLab, secret: str) -> None:
    task = await lab.failed()
    path = f"/dashboard/tasks/{task.id}/retries"
    for wrong in ("0", "-1", "x", "1001"):
        assert "between 1 and 1000" in await flash(
            client, await client.post(path, data=seen(task, secret, retries=wrong))
        )
    assert lab.desk.audit == []
    assert (
        await flash(client, await client.post(path, data=seen(task, secret, retries="7")))
        == "The task has its retries."
    )
    assert (await lab.engine.get(task.id)).retries == 7
    assert [(entry.before, entry.after) for entry in lab.desk.audit] == [({"retries": 0}, {"retries": 7})]


async def test_release_asks_why(client: Any, lab: DeskLab, secret: str) -> None:
    task_id = lab.engine.add("charge_card")
    await lab.engine.lock(task_id, "thief", timedelta(minutes=5))
    task = lab.task(task_id, state=State.SUPERSEDED)
    path = f"/dashboard/tasks/{task.id}/release"
    assert "say why" in await flash(client, await client.post(path, data=seen(task, secret, reason="  ")))
    assert (await lab.engine.get(task.id)).worker_id == "thief"
    assert "released" in await flash(client, await client.post(path, data=seen(task, secret)))
    assert (await lab.engine.get(task.id)).worker_id is None


async def test_variables_are_edited_and_secrets_stay(client: Any, lab: DeskLab, secret: str) -> None:
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
    assert "tried again with them" in await flash(client, answer)
    kept = lab.engine.variables[task.process_instance_id or ""]
    assert kept["amount_cents"] == TypedValue("Long", 1300)
    assert kept["customer"] == TypedValue("Json", '{"name": "Bia"}')
    assert kept["new"].value is True
    assert "card_code" not in kept
    (entry,) = lab.desk.audit
    assert entry.before == {"amount_cents": 1200, "customer": {"name": "Ana"}}
    assert CANARY not in str(lab.desk.audit)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "This is not JSON"),
        ("[1]", "must be one JSON object"),
        ("{}", "Nothing is changed"),
        ('{"customer": {"key": "***"}}', "still has a masked part"),
        ('{"amount_cents": NaN}', "can&#39;t be a variable"),
    ],
)
async def test_what_cannot_be_used_is_shown_with_what_was_typed(
    client: Any, lab: DeskLab, secret: str, text: str, says: str
) -> None:
    task = await lab.failed()
    path = f"/dashboard/tasks/{task.id}/edit"
    answer = await client.post(path, data=seen(task, secret, variables=text))
    assert answer.status_code == 422
    assert says in answer.text.replace("can't", "can&#39;t")
    assert text in unescape(answer.text)
    assert lab.desk.audit == []
    assert lab.store.tasks[task.id] == task


async def test_what_the_topic_refuses_is_told(client: Any, lab: DeskLab, secret: str) -> None:
    task = await lab.failed()
    form = seen(task, secret, variables='{"amount_cents": "many"}')
    answer = await client.post(f"/dashboard/tasks/{task.id}/edit", data=form)
    assert "doesn't take these variables" in await flash(client, answer)
    assert [("not done" in entry.after) for entry in lab.desk.audit] == [False, True]


@pytest.mark.parametrize("path", ["retry", "retry-at", "retries", "release", "edit"])
async def test_what_changed_meanwhile_is_told_and_nothing_is_done(
    client: Any, lab: DeskLab, secret: str, path: str
) -> None:
    task = await lab.failed()
    fields = {"retry-at": {"at": "2026-12-01T00:00"}, "retries": {"retries": "3"}, "edit": {"variables": '{"a": 1}'}}
    form = seen(task, secret, **fields.get(path, {}))
    for changes, says in (
        ({"state": State.COMPLETED}, "the task was “Failed” when the page was shown, and is “Completed” now"),
        ({"epoch": 2}, "handed the task out anew"),
        ({"updated_at": lab.clock.now()}, "has changed since the page was shown"),
    ):
        lab.store.tasks[task.id] = now = Task(**{f: getattr(task, f) for f in task.__slots__} | changes)
        assert says in await flash(client, await client.post(f"/dashboard/tasks/{task.id}/{path}", data=form))
        assert lab.store.tasks[task.id] == now
    assert lab.desk.audit == []
    assert (await lab.engine.get(task.id)).retries == 0


async def test_an_engine_that_is_away_is_told_and_both_are_written_down(client: Any, lab: DeskLab, secret: str) -> None:
    task = await lab.failed()
    lab.engine.fail_next("get", AWAY)
    answer = await client.post(f"/dashboard/tasks/{task.id}/retry", data=seen(task, secret))
    assert "it isn't known whether it was done: the engine is away" in await flash(client, answer)
    assert [entry.after for entry in lab.desk.audit] == [{}, {"not done": "the engine is away"}]


@pytest.mark.parametrize("state", [state for state in State if state is not State.FAILED])
async def test_what_is_not_possible_is_off_with_the_reason(client: Any, lab: DeskLab, state: State) -> None:
    task = lab.task(state=state)
    acts = (await page_of(client, task)).partition('id="acts"')[2].partition('id="way"')[0]
    assert RETRY_REASONS[state] in unescape(acts)
    assert f'/dashboard/tasks/{task.id}/retry"' not in acts
    assert f"/dashboard/tasks/{task.id}/edit" not in acts
    client.headers["accept-language"] = "pt-BR"
    acts = (await page_of(client, task)).partition('id="acts"')[2].partition('id="way"')[0]
    assert RETRY_REASONS[state] not in unescape(acts)


async def test_every_reason_can_be_translated(lab: DeskLab) -> None:
    tasks = [lab.task(state=state, process_instance_id=instance) for state in State for instance in (None, "i")]
    assert {reason_against(act, task) for act in Act for task in tasks} - {None} == set(REASONS)


async def test_a_viewer_is_told_which_role_it_needs(lab: DeskLab, access: AccessLab) -> None:
    task = await lab.failed()
    async with browser(lab.app(), await access.session(Role.VIEWER)) as viewer:
        text = await page_of(viewer, task)
        assert "To change a task needs the role operator" in text
        assert 'method="post" action="/dashboard/tasks' not in text


@pytest.mark.parametrize("fields", [{"state": "x"}, {"epoch": "x"}, {"updated_at": ""}])
async def test_a_form_that_does_not_say_what_it_saw_does_nothing(
    client: Any, lab: DeskLab, secret: str, fields: dict[str, str]
) -> None:
    task = await lab.failed()
    answer = await client.post(f"/dashboard/tasks/{task.id}/retry", data=seen(task, secret, **fields))
    assert answer.status_code == 400
    assert lab.store.tasks[task.id] == task


async def test_a_form_of_another_session_does_nothing(client: Any, lab: DeskLab, access: AccessLab) -> None:
    task = await lab.failed()
    other = await access.session(Role.OPERATOR, "eve")
    assert (await client.post(f"/dashboard/tasks/{task.id}/retry", data=seen(task, other))).status_code == 403
    assert lab.store.tasks[task.id] == task
