"""The list of tasks: found, narrowed, paged, counted, exported and kept as views, by URLs and forms alone."""

from __future__ import annotations

import csv
import json
import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient

from bridge.domain.access import Role
from bridge.domain.messages import message
from bridge.domain.task import State, TypedValue
from bridge.ports.dashboard import TooSlow
from tests.web.auth.access_lab import AccessLab, browser, with_token
from tests.web.dashboard.dashboard_lab import DashboardLab
from web.i18n.messages import translate
from web.i18n.texts import PORTUGUESE

HOSTILE = '<script>alert("x")</script>'
CANARY = "hunter2-canary"


def ids(page: str) -> list[str]:
    return re.findall(r'<tr id="task-([^"]+)"', page)


def tabs(page: str) -> dict[str, str]:
    return dict(re.findall(r"<span>([A-Z][A-Za-z ]+)</span> <span class=\"count\">([^<]+)</span>", page))


def link(page: str, rel: str) -> str:
    found = re.search(rf'<a class="button" href="([^"]+)" rel="{rel}"', page)
    assert found is not None, f"there is no link to the {rel} page"
    return unescape(found[1])


async def page_of(client: Any, path: str, status: int = 200) -> str:
    response = await client.get(path)
    assert response.status_code == status, response.text[:300]
    return str(response.text)


async def test_the_newest_change_comes_first(client: Any, lab: DashboardLab) -> None:
    now = lab.clock.now()
    for number in range(3):
        lab.task(f"t{number}", updated_at=now - timedelta(minutes=number))
    assert ids(await page_of(client, "/dashboard/tasks")) == ["t0", "t1", "t2"]
    assert ids(await page_of(client, "/dashboard/tasks?sort=updated")) == ["t2", "t1", "t0"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=failed", ["bad"]),
        ("topic=ship", ["other"]),
        ("error=ConnectTimeout", ["bad"]),
        ("process=refund", ["other"]),
        ("since=15m", ["bad", "good"]),
        ("until=2026-01-31T07%3A00", ["other"]),
        ("q=order-go", ["good"]),
        ("q=attempts%3A%3E%3D2", ["bad"]),
        ("q=-topic%3Aship&state=completed", ["good"]),
        ("q=var.amount_cents%3A1200", ["bad"]),
        ("state=failed&topic=ship", []),
    ],
)
async def test_every_filter_of_the_url_narrows(client: Any, lab: DashboardLab, query: str, found: list[str]) -> None:
    now = lab.clock.now()
    await lab.failed("bad")
    lab.task("good", state=State.COMPLETED)
    lab.task("other", topic="ship", process_definition_key="refund", updated_at=now - timedelta(hours=3))
    assert sorted(ids(await page_of(client, f"/dashboard/tasks?{query}"))) == found


async def test_each_filter_is_a_chip_that_can_be_taken_away(client: Any, lab: DashboardLab) -> None:
    await lab.failed("bad")
    text = await page_of(client, "/dashboard/tasks?topic=charge_card&q=attempts:2+error:ConnectTimeout&state=failed")
    chips = [unescape(href) for href in re.findall(r'</span><a href="([^"]+)" aria-label="Remove the filter', text)]
    assert chips == [
        "/dashboard/tasks?q=attempts%3A2+error%3AConnectTimeout&state=failed",
        "/dashboard/tasks?topic=charge_card&state=failed&q=error%3AConnectTimeout",
        "/dashboard/tasks?topic=charge_card&state=failed&q=attempts%3A2",
    ]
    for chip in chips:
        assert ids(await page_of(client, chip)) == ["bad"]


async def test_the_tabs_count_beside_the_other_filters(client: Any, lab: DashboardLab) -> None:
    for number in range(3):
        await lab.failed(f"bad{number}")
    lab.task("good", state=State.COMPLETED)
    lab.task("other", state=State.COMPLETED, topic="ship")
    text = await page_of(client, "/dashboard/tasks?state=failed&topic=charge_card")
    assert tabs(text) == {
        **dict.fromkeys(
            ("Received", "Queued", "Running", "Reporting", "Retrying", "Cancelled", "Superseded", "Unknown"), "0"
        ),
        "All states": "4",
        "Failed": "3",
        "Completed": "1",
    }


async def test_a_page_that_holds_all_that_was_found_counts_itself(
    client: Any, lab: DashboardLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lab.failed("bad")
    lab.task("good", state=State.COMPLETED)
    lab.task("other", topic="ship")
    counted = tabs(await page_of(client, "/dashboard/tasks?topic=charge_card&state=failed"))
    monkeypatch.setattr(lab.dashboard_store, "counts", None)  # whoever called it would fail
    assert tabs(await page_of(client, "/dashboard/tasks?topic=charge_card")) == counted
    assert (counted["All states"], counted["Failed"], counted["Completed"]) == ("2", "1", "1")


async def test_pages_go_on_where_the_last_one_ended(client: Any, lab: DashboardLab) -> None:
    now = lab.clock.now()
    for number in range(60):
        lab.task(f"t{number:02}", updated_at=now - timedelta(seconds=number))
    first = await page_of(client, "/dashboard/tasks?limit=25&since=1h")
    lab.access.clock.pass_(minutes=7)
    lab.task("newer")
    del lab.store.tasks["t24"]
    second = await page_of(client, link(first, "next"))
    third = await page_of(client, link(second, "next"))
    assert ids(first) + ids(second) + ids(third) == [f"t{number:02}" for number in range(60)]
    assert 'rel="next"' not in third
    assert ids(await page_of(client, link(third, "first")))[0] == "newer"


@pytest.mark.parametrize("cursor", ["nonsense", "WyIyMDI2LTAxLTMxVDA4OjAwOjAwKzAwOjAwIiwidDEiLCJ4Il0"])
async def test_a_place_in_another_list_leads_to_the_first_page(client: Any, lab: DashboardLab, cursor: str) -> None:
    lab.task("t1")
    text = await page_of(client, f"/dashboard/tasks?after={cursor}")
    assert ids(text) == ["t1"]
    assert "belongs to a different list" in text


async def test_a_mistake_is_shown_under_the_box_where_it_is(client: Any, lab: DashboardLab) -> None:
    lab.task("t1")
    text = await page_of(client, "/dashboard/tasks?q=state:failed+topics:x", 400)
    shown = re.search(r"<pre[^>]*>([^<]*)</pre>", text)
    assert shown is not None
    assert unescape(shown[1]).splitlines() == ["state:failed topics:x", "             ^"]
    assert "There is no field &#39;topics&#39;" in text
    assert "did you mean topic:?" in text
    assert 'value="state:failed topics:x"' in text
    assert ids(text) == []


async def test_a_mistake_is_told_in_the_readers_language(client: Any) -> None:
    client.headers["accept-language"] = "pt-BR"
    text = await page_of(client, "/dashboard/tasks?q=topics:x", 400)
    assert "O campo &#39;topics&#39; não existe" in text
    assert "quis dizer topic:?" in text


@pytest.mark.parametrize("query", ["state=nonsense", "since=yesterday", "sort=-error", "until=%00"])
async def test_what_cannot_be_read_is_named(client: Any, lab: DashboardLab, query: str) -> None:
    lab.task("t1")
    text = await page_of(client, f"/dashboard/tasks?{query}", 400)
    assert "Invalid " in text
    assert ids(text) == []


async def test_three_kinds_of_nothing(client: Any, lab: DashboardLab) -> None:
    assert "No tasks yet" in await page_of(client, "/dashboard/tasks")
    assert "No tasks yet" in await page_of(client, "/dashboard/tasks?state=failed")
    lab.task("t1")
    text = await page_of(client, "/dashboard/tasks?topic=ship&state=failed")
    assert "No matching tasks" in text
    drops = [unescape(h) for h in re.findall(r'<a class="button" href="([^"]+)">(?:Without|In any)', text)]
    assert drops == ["/dashboard/tasks?topic=ship", "/dashboard/tasks?state=failed"]
    lab.dashboard_store.too_slow = TooSlow(timedelta(seconds=5))
    text = await page_of(client, "/dashboard/tasks?q=var.x:1")
    assert "stopped after 5" in text
    assert "/dashboard/tasks?q=var.x%3A1&amp;since=1h" in text


async def test_hostile_text_is_text(client: Any, lab: DashboardLab) -> None:
    await lab.failed(
        "t1", topic=HOSTILE, business_key=HOSTILE, error=HOSTILE, error_type=HOSTILE, process_definition_key=HOSTILE
    )
    columns = "&columns=state,task,topic,key,process,error"
    for query in ("", f"topic={HOSTILE}", f"q={HOSTILE}", f"error={HOSTILE}", f"since={HOSTILE}", f"after={HOSTILE}"):
        response = await client.get(f"/dashboard/tasks?{query}{columns}")
        assert response.status_code in {200, 400}
        assert "<script>alert" not in response.text


async def test_secrets_are_in_no_row(client: Any, lab: DashboardLab) -> None:
    await lab.failed("t1", error=f"ValueError: card_code={CANARY} password={CANARY}")
    text = await page_of(client, "/dashboard/tasks")
    assert ids(text) == ["t1"]
    assert "card_code=***" in text
    assert CANARY not in text


# -- columns


async def test_columns_by_the_url_and_by_the_readers_choice(client: Any, lab: DashboardLab, secret: str) -> None:
    lab.task("t1", replica="replica-x", tenant_id="acme")

    def heads(text: str) -> list[str]:
        table = text.partition("<thead>")[2].partition("</thead>")[0]
        return re.findall(r'<th scope="col"[^>]*>(?:<a [^>]*>)?([A-Z][a-z ]+)', table)

    assert heads(await page_of(client, "/dashboard/tasks?columns=tenant,task,x")) == ["Task", "Tenant"]
    form = with_token(secret, column_task="on", column_replica="on", query="state=received&columns=task&x=1")
    response = await client.post("/dashboard/tasks/columns", data=form)
    assert (response.status_code, response.headers["location"]) == (303, "/dashboard/tasks?state=received")
    assert heads(await page_of(client, "/dashboard/tasks")) == ["Task", "Replica"]
    assert heads(await page_of(client, "/dashboard/tasks?columns=task")) == ["Task"]
    await client.post("/dashboard/tasks/columns", data=with_token(secret))
    assert "Business key" in heads(await page_of(client, "/dashboard/tasks"))


# -- views


async def test_a_view_is_shared_and_leads_to_its_list(
    lab: DashboardLab, client: Any, secret: str, access: AccessLab
) -> None:
    await lab.failed("bad")
    lab.task("good")
    form = with_token(secret, name="Broken <b>", query="state=failed&evil=1&after=x")
    response = await client.post("/dashboard/tasks/views", data=form)
    assert (response.status_code, response.headers["location"]) == (303, "/dashboard/tasks?state=failed")
    assert [(e.action, e.after["name"]) for e in lab.dashboard_store.audit] == [("view.save", "Broken <b>")]
    async with browser(lab.app(), await access.session(Role.VIEWER)) as other:
        text = await page_of(other, "/dashboard/tasks")
        assert "Broken &lt;b&gt;" in text
        assert "Save this view" not in text
        assert ids(await page_of(other, "/dashboard/tasks?state=failed")) == ["bad"]
    view = (await lab.dashboard_store.views())[0]
    async with browser(lab.app(), foreign := await access.session(Role.OPERATOR, "eve")) as eve:
        await eve.post("/dashboard/tasks/views/delete", data=with_token(foreign, id=view.id))
    assert list(await lab.dashboard_store.views()) == [view], "it is another's"
    await client.post("/dashboard/tasks/views/delete", data=with_token(secret, id=view.id))
    assert list(await lab.dashboard_store.views()) == []
    assert [entry.action for entry in lab.dashboard_store.audit] == ["view.save", "view.delete"]


async def test_a_view_needs_a_name_and_something_to_keep(client: Any, lab: DashboardLab, secret: str) -> None:
    for name, query in ((" ", "state=failed"), ("x", "evil=1")):
        response = await client.post("/dashboard/tasks/views", data=with_token(secret, name=name, query=query))
        assert response.status_code == 303
    assert list(await lab.dashboard_store.views()) == []


# -- bulk and export


async def test_chosen_tasks_and_whole_lists_go_to_the_preview(
    client: Any, lab: DashboardLab, access: AccessLab
) -> None:
    await lab.failed("bad")
    text = await page_of(client, "/dashboard/tasks?state=failed&topic=charge_card")
    assert '<form class="selection" method="post" action="/dashboard/operations/preview"' in text
    assert '<input type="checkbox" name="ids" value="bad"' in text
    assert 'name="q" value="state:failed topic:charge_card"' in text
    async with browser(lab.app(), await access.session(Role.VIEWER)) as viewer:
        text = await page_of(viewer, "/dashboard/tasks")
        assert ids(text) == ["bad"]
        assert "/operations/preview" not in text.partition("<thead>")[2]
        assert 'name="ids"' not in text


@pytest.mark.parametrize("format_", ["csv", "ndjson"])
async def test_an_export_masks_and_disarms_and_is_written_down(
    client: Any, lab: DashboardLab, secret: str, format_: str
) -> None:
    await lab.failed(
        "bad", business_key="=1+1", error=f"card_code={CANARY}", variables={"x": TypedValue("String", CANARY)}
    )
    lab.task("good")
    form = with_token(secret, format=format_, query="state=failed")
    response = await client.post("/dashboard/tasks/export", data=form)
    assert response.status_code == 200
    assert response.headers["content-disposition"].startswith('attachment; filename="tasks-2026')
    assert CANARY not in response.text
    lines = response.text.splitlines()
    if format_ == "csv":
        assert lines[0].startswith("id,state,topic")
        assert lines[1].startswith("bad,failed,charge_card,'=1+1,")
        assert len(lines) == 2
    else:
        (row,) = map(json.loads, lines)
        assert (row["id"], row["business_key"], row["error"]) == ("bad", "=1+1", "card_code=***")
    (entry,) = lab.dashboard_store.audit
    assert (entry.action, entry.after["query"], entry.who) == ("tasks.export", "state:failed", "operator")


@pytest.mark.parametrize("format_", ["csv", "excel", "ndjson"])
async def test_an_export_for_people_tells_errors_in_the_language_of_the_page(
    client: Any, lab: DashboardLab, secret: str, format_: str
) -> None:
    error = message("ending.failure_as_error")
    await lab.failed("bad", error=error)
    form, portuguese = with_token(secret, format=format_, query=""), translate(PORTUGUESE, error)
    assert portuguese != error
    for language, said in (("en", str(error)), ("pt-BR", str(error) if format_ == "ndjson" else portuguese)):
        client.headers["accept-language"] = language
        assert said in (await client.post("/dashboard/tasks/export", data=form)).text


async def test_an_export_is_capped_and_has_every_page(client: Any, lab: DashboardLab, secret: str) -> None:
    for number in range(1203):
        lab.task(f"t{number}")
    response = await client.post("/dashboard/tasks/export", data=with_token(secret, format="ndjson", query=""))
    assert len({json.loads(line)["id"] for line in response.text.splitlines()}) == 1203
    refused = await client.post("/dashboard/tasks/export", data=with_token(secret, format="xlsx", query=""))
    assert refused.status_code == 400


@pytest.mark.parametrize(("format_", "found"), [("csv", 0), ("ndjson", 0), ("csv", 500), ("ndjson", 500)])
async def test_an_export_that_takes_too_long_says_so_in_the_file_and_in_the_audit(
    client: Any, lab: DashboardLab, secret: str, format_: str, found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(600):
        lab.task(f"t{number}")
    search, pages = lab.dashboard_store.search, 0

    async def slow(*args: Any, **terms: Any) -> Any:
        nonlocal pages
        pages += 1
        return TooSlow(timedelta(seconds=5)) if pages * 500 > found else await search(*args, **terms)

    monkeypatch.setattr(lab.dashboard_store, "search", slow)
    response = await client.post("/dashboard/tasks/export", data=with_token(secret, format=format_, query=""))
    told = f"the search took longer than 5 s after {found} tasks; narrow the query, and export again"
    lines = response.text.splitlines()
    if format_ == "csv":
        rows = list(csv.reader(lines))
        assert rows[-1][0] == f"INCOMPLETE: {told}"
        assert {len(row) for row in rows} == {len(rows[0])}
        assert len(rows) == found + 2
    else:
        assert json.loads(lines[-1]) == {"incomplete": told}
        assert len(lines) == found + 1
    first, last = lab.dashboard_store.audit
    assert [entry.action for entry in (first, last)] == ["tasks.export"] * 2
    assert last.after == {**first.after, "incomplete": "the search took longer than 5 s", "tasks": found}


async def test_an_export_is_no_get(client: Any) -> None:
    assert (await client.get("/dashboard/tasks/export")).status_code in {404, 405}


# -- under a path, in two languages


async def test_every_address_is_under_the_path_it_is_mounted_at(lab: DashboardLab, secret: str) -> None:
    await lab.failed("bad")
    lab.task("t2")
    app = lab.app()

    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"].removeprefix("/sub/gate")
        under = {**scope, "root_path": "/sub/gate", "path": path, "raw_path": path.encode()}
        await app(under, receive, send)  # type: ignore[arg-type]  # a scope is any mapping

    async with AsyncClient(transport=ASGITransport(mounted), base_url="https://testserver.local") as outer:
        outer.cookies.set("__Host-session", secret)
        for path in ("/dashboard", "/dashboard/tasks", "/dashboard/tasks/bad", "/dashboard/failures"):
            text = (await outer.get(f"/sub/gate{path}")).text
            found = re.findall(r'(?:href|action|src)="(/[^"]*)"', text)
            assert found
            assert [each for each in found if not each.startswith("/sub/gate/")] == []
