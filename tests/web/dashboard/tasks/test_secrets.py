"""The secrets of a task: on no page, but for an admin who says why, and for a while."""

from __future__ import annotations

import json
from typing import Any

from bridge.domain.access import Role
from bridge.domain.task import Completion, State, Task, TypedValue
from tests.web.auth.access_lab import browser, with_token
from tests.web.dashboard.dashboard_lab import DashboardLab, flash, page_of

CANARY = "hunter2-canary"


async def a_secret_task(lab: DashboardLab) -> Task:
    variables = {
        "card_code": TypedValue("String", CANARY),
        "customer": TypedValue("Json", json.dumps({"name": "Ana", "api_key": CANARY})),
        "note": TypedValue("String", f"password={CANARY}"),
    }
    runs = (lab.attempt(1, lab.clock.now(), message=f"card_code={CANARY}", details=f"token={CANARY}"),)
    error = f"ValueError: card_code={CANARY}"
    return await lab.failed(
        variables=variables,
        given=variables,
        state=State.COMPLETED,
        outcome=Completion(variables),
        history=runs,
        error=error,
    )


async def test_no_page_has_a_secret(admin: Any, lab: DashboardLab) -> None:
    client, _ = admin
    task = await a_secret_task(lab)
    for query in ("", "?engine=now", "/edit"):
        assert CANARY not in await page_of(client, task, query)
    lab.store.tasks[task.id] = done = task.changed(state=State.COMPLETED)
    assert done.result
    assert CANARY not in await page_of(client, done)


async def test_a_secret_is_revealed_to_an_admin_with_a_reason_for_a_while(admin: Any, lab: DashboardLab) -> None:
    client, secret = admin
    task = await a_secret_task(lab)
    path = f"/dashboard/tasks/{task.id}/reveal"
    await flash(client, await client.post(path, data=with_token(secret, what="engine:card_code", reason=" ")))
    assert CANARY not in await page_of(client, task)
    assert lab.dashboard_store.audit == []
    answer = await client.post(path, data=with_token(secret, what="engine:card_code", reason="ticket 17"))
    assert answer.headers["location"] == f"/dashboard/tasks/{task.id}#variables"
    (entry,) = lab.dashboard_store.audit
    assert (entry.action, entry.reason, entry.who) == ("task.reveal", "ticket 17", "admin")
    assert entry.after == {"variable": "card_code", "of": "engine"}
    text = await page_of(client, task)
    assert text.count(CANARY) == 1
    assert CANARY not in await page_of(client, await a_secret_task(lab)), "it was for that task alone"
    lab.access.clock.pass_(minutes=3)
    assert CANARY not in await page_of(client, task)


async def test_a_cookie_that_this_session_did_not_write_reveals_nothing(admin: Any, lab: DashboardLab) -> None:
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


async def test_an_operator_can_reveal_nothing(client: Any, lab: DashboardLab, secret: str) -> None:
    task = await a_secret_task(lab)
    assert "Reveal" not in await page_of(client, task)
    form = with_token(secret, what="engine:card_code", reason="x")
    assert (await client.post(f"/dashboard/tasks/{task.id}/reveal", data=form)).status_code == 403
