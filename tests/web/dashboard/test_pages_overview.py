"""The overview tells first what needs a person; failures are gathered by cause. Every number leads to its list."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from html import unescape
from typing import Any

import pytest
from jinja2 import Template
from litestar.testing import AsyncTestClient

from bridge.adapters.memory.dashboard import MemoryDashboardStore
from bridge.domain.access import Role
from bridge.domain.errors import StoreUnavailable
from bridge.domain.histogram import bucket_of
from bridge.domain.messages import message
from bridge.domain.operation import Item, Operation, OperationKind
from bridge.domain.records import Pause
from bridge.domain.rights import MissingRight, Right
from bridge.domain.statistics import Count, Failures, Range, Rollup, Step
from bridge.domain.task import State, TaskKey
from bridge.operations.health import Component, Health
from tests.web.auth.access_lab import AccessLab, browser
from tests.web.dashboard.dashboard_lab import DashboardLab
from web.components.live import Live

HOSTILE = '<script>alert("x")</script>'
CANARY = "hunter2-canary"


@pytest.fixture
def access() -> AccessLab:
    return AccessLab()


@pytest.fixture
def lab(access: AccessLab) -> DashboardLab:
    return DashboardLab(access)


@pytest.fixture
async def client(lab: DashboardLab, access: AccessLab) -> AsyncIterator[AsyncTestClient[Any]]:
    async with browser(lab.app(), await access.session(Role.OPERATOR)) as client:
        yield client


async def page_of(client: Any, path: str) -> str:
    response = await client.get(path)
    assert response.status_code == 200, response.text[:300]
    return str(response.text)


def part(text: str, name: str) -> str:
    return text.partition(f'id="{name}"')[2].partition("</section>")[0]


def tiles(text: str) -> dict[str, tuple[str, str]]:
    found = re.findall(
        r'<a class="tile"[^>]*href="([^"]+)"[^>]*>\s*<span class="tile-label">([^<]+)</span>\s*'
        r'<span class="tile-value">([^<]+)',
        text,
    )
    return {label: (value, unescape(href)) for href, label, value in found}


async def fail(lab: DashboardLab, fingerprint: str, ago: timedelta, count: int = 1, **fields: str) -> None:
    at = lab.clock.now() - ago
    named = {"topic": "charge_card", "error": "ConnectTimeout", "sample": "no answer", **fields}
    await lab.dashboard_store.add({}, [Failures(fingerprint, first=at, last=at, count=count, **named)])


# -- the overview


async def test_calm_is_told(client: Any, lab: DashboardLab) -> None:
    await lab.replica()
    text = await page_of(client, "/dashboard")
    assert "All clear: no open incidents" in text
    assert "No tasks yet" in text


async def test_what_needs_a_person_comes_first(client: Any, lab: DashboardLab) -> None:
    await lab.failed("bad")
    await lab.broker.publish("ship", [TaskKey("t", 1)] * 3)
    await lab.replica("replica-a", 1)
    await lab.replica("replica-b", 90)
    await lab.dashboard_store.pause(Pause("charge_card", "bob", "moving", lab.clock.now()))
    lab.health = Health(False, (Component("engine", False, error="no answer within 3 s"), Component("mongodb", True)))
    text = await page_of(client, "/dashboard")
    alarms = part(text, "attention")
    assert text.index('id="attention"') < text.index('id="numbers"')
    assert re.search(r'href="/dashboard/tasks\?state=failed">.*?>1</span>.*?open incident', alarms, re.DOTALL)
    assert "3 messages waiting, no consumers" in alarms
    assert "replica-b" in alarms
    assert "replica-a" not in alarms
    assert "no answer within 3 s" in alarms
    assert "paused by bob" in alarms
    assert "Nothing does" not in text


async def test_rights_that_the_engines_user_lacks_are_named_in_the_readers_language(
    client: Any, lab: DashboardLab
) -> None:
    await lab.replica()
    warnings = tuple(MissingRight(right).message for right in Right)
    lab.health = Health(True, (Component("engine", True, "7.24.0", warnings=warnings),))
    text = unescape(await page_of(client, "/dashboard"))
    assert "All clear" not in text
    assert all(warning in part(text, "attention") for warning in warnings)
    client.headers["accept-language"] = "pt-BR"
    text = unescape(await page_of(client, "/dashboard"))
    assert not [warning for warning in warnings if warning in text]
    assert text.count("definição de processo *") == len(warnings)


async def test_every_number_leads_to_its_list(client: Any, lab: DashboardLab) -> None:
    await lab.failed("bad")
    for number, state in enumerate((State.QUEUED, State.RECEIVED, State.RUNNING, State.RETRYING)):
        lab.task(f"t{number}", state=state)
    now = lab.clock.now()
    row = Rollup(
        Range.HOUR.step.floor(now), "charge_card",
        {Count.RECEIVED: 9, Count.COMPLETED: 6, Count.FAILED: 2, Count.INCIDENTS: 1}, {bucket_of(0.5): 4},
        {bucket_of(2): 8},
    )  # fmt: skip
    await lab.dashboard_store.add({Range.HOUR.step: [row]}, [])
    text = await page_of(client, "/dashboard?range=1h&topic=charge_card")
    assert tiles(text) == {
        "Waiting": ("2", "/dashboard/tasks?q=state%3Areceived%2Cqueued&topic=charge_card"),
        "Running": ("1", "/dashboard/tasks?q=state%3Arunning%2Creporting&topic=charge_card"),
        "Retrying": ("1", "/dashboard/tasks?state=retrying&topic=charge_card"),
        "Completed": ("6", "/dashboard/tasks?state=completed&topic=charge_card&since=1h"),
        "Failed runs": ("2", "/dashboard/failures?range=1h&topic=charge_card"),
        "Incidents raised": ("1", "/dashboard/tasks?state=failed&topic=charge_card&since=1h"),
    }
    for _, href in tiles(text).values():
        await page_of(client, href)
    assert "25%" in text
    assert tiles(await page_of(client, "/dashboard?range=1h&topic=ship"))["Waiting"][0] == "0"


async def test_recent_operations_and_the_most_frequent_failures(client: Any, lab: DashboardLab) -> None:
    lab.task("t1")
    await fail(lab, "f1", timedelta(minutes=5), 3, sample=f"card_code={CANARY} {HOSTILE}")
    await fail(lab, "f2", timedelta(minutes=4), 30)
    now = lab.clock.now()
    await lab.dashboard_store.create(Operation("o1", OperationKind.RETRY, "q", HOSTILE, "ada", 1, now), [Item("t1", 1)])
    text = await page_of(client, "/dashboard")
    assert re.findall(r"q=fp%3A(f\d)", part(text, "top-failures")) == ["f2", "f1"]
    assert '/dashboard/operations/o1"' in part(text, "recent-operations")
    assert CANARY not in text
    assert "<script>alert" not in text


async def test_what_answers_in_the_engines_place_is_shown_once_and_in_the_readers_language(
    client: Any, lab: DashboardLab
) -> None:
    hint = message("engine.hint.proxy_login")
    text = message("engine.foreign_status", operation="complete", status=401, why=hint)
    await lab.replica("replica-a", foreign_answer=text)
    await lab.replica("replica-b", foreign_answer=text)
    await lab.replica("replica-c", 90, foreign_answer="fetch: the engine's address answers 302 (gone)")
    shown = part(unescape(await page_of(client, "/dashboard")), "attention")
    assert shown.count(text) == 1
    assert "answers 302" not in shown, "of a process that is gone"
    assert "All clear" not in shown
    client.headers["accept-language"] = "pt-BR"
    shown = part(unescape(await page_of(client, "/dashboard")), "attention")
    assert "Não é a resposta do motor" in shown
    assert "complete: o endereço do motor responde 401 (um proxy pede login)" in shown


async def test_health_is_asked_for_once_in_five_seconds(client: Any, lab: DashboardLab) -> None:
    text = await page_of(client, "/dashboard")
    assert "no answer" not in text
    lab.health = Health(False, (Component("engine", False, error="no answer"),))
    assert "no answer" not in await page_of(client, "/dashboard")
    lab.access.clock.pass_(seconds=6)
    assert "no answer" in await page_of(client, "/dashboard")


# -- failures


async def test_groups_have_their_counts_and_their_list(client: Any, lab: DashboardLab) -> None:
    await fail(lab, "f1", timedelta(days=3), 5)
    await fail(lab, "f1", timedelta(hours=5), 7)
    await fail(lab, "f1", timedelta(minutes=5), 2)
    text = await page_of(client, "/dashboard/failures")
    counts = re.findall(r'<td class="number" data-label="[^"]+">(\d+)</td>', text)
    assert counts == ["2", "9", "14"]
    assert 'href="/dashboard/tasks?q=fp%3Af1"' in text
    assert 'name="q" value="fp:f1 state:failed"' in text
    assert 'action="/dashboard/operations/preview"' in text


@pytest.mark.parametrize(
    ("query", "order"),
    [
        ("", ["many", "late", "young"]),
        ("?sort=last", ["late", "young", "many"]),
        ("?sort=new", ["young", "late", "many"]),
        ("?range=1h", ["late"]),
        ("?range=7d", ["old", "many", "late", "young"]),
        ("?topic=ship", ["young"]),
        ("?range=x&sort=y&topic=", ["many", "late", "young"]),
    ],
)
async def test_the_url_says_which_groups_and_in_which_order(
    client: Any, lab: DashboardLab, query: str, order: list[str]
) -> None:
    await fail(lab, "old", timedelta(days=5), 99)
    await fail(lab, "many", timedelta(hours=20), 50)
    await fail(lab, "late", timedelta(hours=19), 3)
    await fail(lab, "young", timedelta(hours=2), 1, topic="ship")
    await fail(lab, "late", timedelta(minutes=1), 3)
    text = await page_of(client, f"/dashboard/failures{query}")
    assert re.findall(r'<tr id="group-([^"]+)"', text) == order


async def test_two_kinds_of_nothing_failed(client: Any, lab: DashboardLab) -> None:
    assert "No failures yet" in await page_of(client, "/dashboard/failures")
    await fail(lab, "f1", timedelta(days=2))
    text = await page_of(client, "/dashboard/failures?topic=ship")
    assert "No failures in this period" in text
    assert '/dashboard/failures?topic=ship&amp;range=7d"' in text


async def test_groups_have_no_secret_and_no_script(client: Any, lab: DashboardLab, access: AccessLab) -> None:
    await fail(lab, "f1", timedelta(0), sample=f"card_code={CANARY} {HOSTILE}", error=HOSTILE)
    text = await page_of(client, "/dashboard/failures")
    assert CANARY not in text
    assert "<script>alert" not in text
    async with browser(lab.app(), await access.session(Role.VIEWER)) as viewer:
        assert "/operations/preview" not in await page_of(viewer, "/dashboard/failures")


async def test_a_store_that_is_away_is_a_page_that_says_so(
    client: Any, lab: DashboardLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_args: Any, **_kwargs: Any) -> None:
        raise StoreUnavailable("mongo-secret-address is away")

    for name in ("search", "counts", "failure_groups"):
        monkeypatch.setattr(MemoryDashboardStore, name, away)
    for path in ("/dashboard", "/dashboard/tasks", "/dashboard/failures"):
        response = await client.get(path)
        assert response.status_code == 503
        assert "mongo-secret-address" not in response.text


# -- many who look at once


async def test_what_many_look_at_is_put_together_once_for_each_change(
    client: Any, lab: DashboardLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = "b-1"
    monkeypatch.setattr(Live, "cursor", property(lambda _live: cursor))
    asked: list[str] = []
    rollups = lab.dashboard_store.rollups

    async def counting(step: Step, since: datetime, topic: str | None = None) -> Sequence[Rollup]:
        asked.append(cursor)
        return await rollups(step, since, topic)

    monkeypatch.setattr(lab.dashboard_store, "rollups", counting)
    await lab.replica()
    now = lab.clock.now()
    await lab.dashboard_store.add({step: [Rollup(step.floor(now), "ship", {Count.COMPLETED: 7})] for step in Step}, [])
    told = {"X-Live": "1"}
    texts = [(await client.get("/dashboard", headers=told)).text for _ in range(3)]
    assert asked == ["b-1"]
    assert len({part(text, "throughput-section") for text in texts}) == 1
    assert "7" in part(texts[0], "throughput-section")

    portuguese = (await client.get("/dashboard", headers={**told, "Accept-Language": "pt-BR"})).text
    assert asked == ["b-1"]
    assert "Ver em tabela" in part(portuguese, "throughput-section")
    assert "Ver em tabela" not in part(texts[0], "throughput-section")

    await client.get("/dashboard?topic=ship", headers=told)
    await client.get("/dashboard?range=7d", headers=told)
    assert asked == ["b-1"] * 3
    # Who comes by a link, or after an action of their own, gets what is there now.
    await client.get("/dashboard")
    assert asked == ["b-1"] * 4
    cursor = "b-2"
    await client.get("/dashboard", headers=told)
    assert asked == ["b-1"] * 4 + ["b-2"]


async def test_the_overview_is_written_beside_the_event_loop(
    client: Any, lab: DashboardLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lab.replica()
    threads: list[str] = []
    render = Template.render

    def noting(template: Template, *given: Any) -> str:
        threads.append(threading.current_thread().name)
        return render(template, *given)

    monkeypatch.setattr(Template, "render", noting)
    # Handlers may hang in asyncio's own pool: that holds up no page.
    loop, hung, end = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    stuck = asyncio.create_task(asyncio.to_thread(lambda: (loop.call_soon_threadsafe(hung.set), end.wait())))
    await hung.wait()
    try:
        assert (await client.get("/dashboard")).status_code == 200
    finally:
        end.set()
        await stuck
    assert [name.split("_")[0] for name in threads] == ["page"]
