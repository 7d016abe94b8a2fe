"""The audit by its page: found by its address, paged by key, exported as safe cells, and for admins alone."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest

from bridge.domain.access import Role
from bridge.domain.records import AuditEntry
from tests.web.auth.access_lab import PASSWORD, browser, with_token
from tests.web.dashboard.operations_lab import HOSTILE, OperationsLab, bound_to, person

AUDIT = "/dashboard/audit"
NOON = datetime(2026, 1, 30, 12, tzinfo=UTC)


@pytest.fixture
def lab() -> OperationsLab:
    return OperationsLab(jaeger="https://jaeger.example")


async def write(lab: OperationsLab, number: int, **fields: Any) -> AuditEntry:
    base: dict[str, Any] = {
        "id": f"e{number:03}", "at": NOON + timedelta(minutes=number), "who": "ada", "role": "operator",
        "origin": "10.0.0.7", "action": "task.retry", "target": f"task:t{number}",
    }  # fmt: skip
    entry = AuditEntry(**{**base, **fields})
    await lab.dashboard_store.write(entry)
    return entry


def targets(html: str) -> list[str]:
    return re.findall(r'id="entry-(\w+)"', html)


async def test_an_entry_tells_who_what_why_and_what_changed(lab: OperationsLab) -> None:
    await write(
        lab, 1, reason="the bank is back", before={"retries": 0, "password": "hunter2"}, after={"retries": 3},
        trace="abc123",
    )  # fmt: skip
    html = await (await person(lab, Role.ADMIN)).get(AUDIT)
    for part in ("ada", "Operator", "10.0.0.7", "task.retry", "t1", "the bank is back", "retries", "0 → 3"):
        assert part in re.sub(r"\s+", " ", html)
    assert 'href="https://jaeger.example/trace/abc123"' in html
    assert 'href="/dashboard/tasks/t1"' in html
    assert "hunter2" not in html


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["e003", "e002", "e001"]),
        ("who=bob", ["e002"]),
        ("action=topic.pause", ["e003"]),
        ("target=task:t1", ["e001"]),
        ("who=ada&target=task:t2", []),
        ("since=2026-01-30T12:02:00%2B00:00", ["e003", "e002"]),
        ("until=2026-01-30T12:02:00Z", ["e001"]),
        ("since=2026-01-30T09:02:00-03:00&until=2026-01-30T12:03Z", ["e002"]),
    ],
)
async def test_its_address_is_its_filter(lab: OperationsLab, query: str, found: list[str]) -> None:
    await write(lab, 1)
    await write(lab, 2, who="bob")
    await write(lab, 3, action="topic.pause")
    html = await (await person(lab, Role.ADMIN)).get(f"{AUDIT}?{query}")
    assert targets(html) == found
    assert ("No matching entries" in html) == (not found)


async def test_a_time_of_the_form_is_meant_in_the_readers_zone_and_the_address_says_so(lab: OperationsLab) -> None:
    await write(lab, 1)
    visitor = await person(lab, Role.ADMIN)
    visitor.client.cookies.set("zone", "America/Sao_Paulo")
    visitor.client.follow_redirects = False
    answer = await visitor.client.get(f"{AUDIT}?since=2026-01-30T09:00&who=")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{AUDIT}?since=2026-01-30T09%3A00%3A00-03%3A00")
    html = await visitor.get(answer.headers["location"])
    assert targets(html) == ["e001"]
    assert 'value="2026-01-30T09:00"' in html


@pytest.mark.parametrize(
    "text",
    ["yesterday", "2026-13-01T00:00", "9999-12-31T23:59-12:00", "9999-12-31T23:59+00:00", "0001-01-01T00:00+00:00"],
)
async def test_a_time_that_is_none_is_told(lab: OperationsLab, text: str) -> None:
    await write(lab, 1)
    html = await (await person(lab, Role.ADMIN)).get(f"{AUDIT}?until={text}")
    assert "Invalid time" in html
    assert targets(html) == []


async def test_pages_follow_each_other_whatever_is_written_meanwhile(lab: OperationsLab) -> None:
    for number in range(120):
        await write(lab, number, at=NOON)
    visitor = await person(lab, Role.ADMIN)
    seen, path = [], f"{AUDIT}?who=ada"
    while path:
        html = await visitor.get(path)
        seen += targets(html)
        found = re.search(r'href="([^"]*)" rel="next"', html)
        path = found[1].replace("&amp;", "&") if found else ""
        await write(lab, 500 + len(seen), at=NOON + timedelta(days=1))
    assert seen == [f"e{number:03}" for number in reversed(range(120))]


async def test_an_export_has_safe_cells_and_is_written_down(lab: OperationsLab) -> None:
    await write(lab, 1, reason='=HYPERLINK("http://evil")', after={"api_key": "canary"})
    await write(lab, 2, who="@bob", reason="a,b\n+c")
    visitor = await person(lab, Role.ADMIN)
    answer = await visitor.client.post(f"{AUDIT}/export", data=with_token(visitor.secret))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(StringIO(answer.text.removeprefix("\ufeff"))))
    assert [row["who"] for row in rows if row["id"].startswith("e")] == ["'@bob", "ada"]
    assert rows[-1]["reason"].startswith("'=")
    assert "canary" not in answer.text
    assert lab.dashboard_store.audit[-1].action == "audit.export"
    only = await visitor.client.post(f"{AUDIT}/export", data=with_token(visitor.secret, who="ada"))
    assert [row["id"] for row in csv.DictReader(StringIO(only.text.removeprefix("\ufeff")))] == ["e001"]


async def test_nobody_but_an_admin_of_all_topics_reads_it(lab: OperationsLab) -> None:
    await write(lab, 1)
    for role in (Role.VIEWER, Role.OPERATOR):
        visitor = await person(lab, role)
        await visitor.get(AUDIT, 403)
        await visitor.post(f"{AUDIT}/export", {}, 403)
        assert f'href="{AUDIT}"' not in await visitor.get("/dashboard/topics")
    admin = await person(lab, Role.ADMIN)
    bound_to(lab, "ship")
    await admin.get(AUDIT, 403)


async def test_nothing_in_it_becomes_code(lab: OperationsLab) -> None:
    await write(
        lab, 1, who=HOSTILE, reason=HOSTILE, target=f"topic:{HOSTILE}", after={HOSTILE: HOSTILE}, action=HOSTILE
    )
    html = await (await person(lab, Role.ADMIN)).get(AUDIT)
    assert "<script>alert" not in html
    assert "onerror=alert(1)>" not in html


@pytest.mark.parametrize("query", ["who=%00", "after=%F0%9F", "who=" + "x" * 300, "after=" + "x" * 600, "$where=1"])
async def test_no_address_breaks_it(lab: OperationsLab, query: str) -> None:
    answer = await (await person(lab, Role.ADMIN)).client.get(f"{AUDIT}?{query}")
    assert answer.status_code in {200, 400}


async def test_who_came_in_and_who_tried_is_written_down_but_not_what_was_typed() -> None:
    lab = OperationsLab()
    lab.access.dependencies = replace(lab.access.dependencies, audit=lab.dashboard_store.write)
    await lab.access.accounts.add_user("ada", Role.OPERATOR, PASSWORD)
    async with browser(lab.app()) as client:
        await client.post("/dashboard/login", data={"name": "canary", "password": "canary-too"})
        await client.post("/dashboard/login", data={"name": "ada", "password": PASSWORD})
        secret = client.cookies["__Host-session"]
        await client.post("/dashboard/logout", data=with_token(secret))
    found = [(entry.action, entry.who, entry.role, entry.target) for entry in lab.dashboard_store.audit]
    assert found == [
        ("login.failed", "", "anybody", ""),
        ("login", "ada", "operator", "user:ada"),
        ("logout", "ada", "operator", "user:ada"),
    ]
    assert "canary" not in repr(lab.dashboard_store.audit)
    html = await (await person(lab, Role.ADMIN)).get(f"{AUDIT}?action=login.failed")
    assert html.count("<tr id=") == 1
