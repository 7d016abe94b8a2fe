"""The pages of tasks in a real browser: by keyboard alone, without JavaScript, and while things change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import expect

from bridge.domain.access import Role
from bridge.domain.statistics import Count, Failures, Rollup, Step
from bridge.domain.task import Completion, State, Task, TypedValue
from tests.browser.chromium import Surfer, Watched
from tests.browser.serving import NARROW, WIDE, check_fits, check_page, check_unfolded, ready, served, visited
from tests.web.auth.access_lab import AccessLab
from tests.web.dashboard.dashboard_lab import DashboardLab
from web.components.live import LiveConfig
from web.components.page import PageConfig

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOSTILE = '<img src=x onerror=alert(1)><script>alert("x")</script> {{ 7 * 7 }}'
CANARY = "hunter2-canary"


class Wall:
    """The clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass
class TaskSite:
    """The pages on fakes, and a login."""

    url: str
    lab: DashboardLab
    secret: str

    @asynccontextmanager
    async def visit(self, surfer: Surfer, path: str, **options: Any) -> AsyncIterator[Watched]:
        """Yield a page; at the end its browser must not have complained."""
        async with visited(surfer, self.url, path, self.secret, **options) as watched:
            yield watched

    def change(self, task_id: str, **changes: Any) -> None:
        """Let a task have changed now."""
        kept = self.lab.store.tasks
        kept[task_id] = kept[task_id].changed(updated_at=self.lab.clock.now(), **changes)


async def fill(lab: DashboardLab) -> Task:
    """Keep what pages show; return a task that failed, hostile in all that others wrote."""
    now = lab.clock.now()
    for number, state in enumerate(State):
        lab.task(f"t{number}", state=state, updated_at=now - timedelta(minutes=5 + number), attempts=1, claimed_at=now)
    values = {
        "card_code": TypedValue("String", CANARY),
        "note": TypedValue("String", HOSTILE),
        "customer": TypedValue("Json", json.dumps({"name": HOSTILE, "api_key": CANARY})),
    }
    step = Step.TEN_MINUTES
    counts = {Count.RECEIVED: 9, Count.COMPLETED: 7, Count.FAILED: 2}
    rows = [Rollup(step.floor(now) - n * step.value, "charge_card", counts, {3: 4}, {9: 9}) for n in range(60)]
    failed = Failures("0123456789abcdef", "charge_card", "ConnectTimeout", HOSTILE, now, now, 4)
    await lab.dashboard_store.add({step: rows}, [failed])
    await lab.replica("replica-b", 60)
    return await lab.failed(variables=values, business_key=HOSTILE, error=HOSTILE, outcome=Completion(values))


@pytest_asyncio.fixture(loop_scope="session")
async def tasks() -> AsyncIterator[TaskSite]:
    access = AccessLab(insecure_cookies=True)
    access.clock.moment = datetime.now(UTC)
    lab = DashboardLab(access, Wall(), jaeger="http://jaeger.example", cockpit="http://cockpit.example")
    ending = asyncio.Event()
    app = lab.app(
        PageConfig("staging", "1.2.3"), live_config=LiveConfig(every=timedelta(milliseconds=20)), ending=ending
    )
    secret = await access.session(Role.ADMIN, "ada")
    async with served(app, ending) as url:
        yield TaskSite(url, lab, secret)


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_pages_keep_nobody_out_and_break_no_rule(
    browser: Surfer, tasks: TaskSite, viewport: Any, scheme: Any
) -> None:
    task = await fill(tasks.lab)
    paths = ["", "/tasks", "/tasks?topic=ship", "/tasks?q=x:", "/failures"]
    paths += [f"/tasks/{task.id}?engine=now", f"/tasks/{task.id}/edit"]
    options: dict[str, Any] = {"viewport": viewport, "color_scheme": scheme}
    async with tasks.visit(browser, "/dashboard", **options) as watched:
        watched.expect("400 (Bad Request)")
        for path in paths:
            await watched.page.goto(f"{tasks.url}/dashboard{path}")
            await check_page(browser, watched.page)


async def test_the_states_fit_in_the_language_that_needs_more_room(browser: Surfer, tasks: TaskSite) -> None:
    await fill(tasks.lab)
    async with tasks.visit(browser, "/dashboard/tasks", viewport=WIDE, locale="pt-BR") as watched:
        await check_fits(watched.page, "#states .tabs")
        lines = await watched.page.locator("#states .tabs a").evaluate_all(
            "(links) => new Set(links.map((link) => link.offsetTop)).size"
        )
        assert lines == 1


async def test_a_failed_task_is_found_and_retried_by_the_keyboard_alone(browser: Surfer, tasks: TaskSite) -> None:
    task = await fill(tasks.lab)
    async with tasks.visit(browser, "/dashboard") as watched:
        page = watched.page
        await ready(page)
        await page.keyboard.press("g")
        await page.keyboard.press("t")
        await expect(page.get_by_role("heading", name="Tasks", exact=True)).to_be_visible()
        await ready(page)
        await page.keyboard.press("/")
        await page.keyboard.type("state:failed attempts:2")
        await page.keyboard.press("Enter")
        await expect(page.locator("#tasks tbody tr")).to_have_count(1)
        await ready(page)
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await expect(page.locator("#task-summary")).to_contain_text("It failed after 2 runs")
        await ready(page)
        await page.keyboard.press("r")
        await expect(page.locator("dialog[open]")).to_contain_text("Retry this task now?")
        await page.keyboard.type("the bank is back")
        await page.keyboard.press("Enter")
        await expect(page.locator(".flash")).to_contain_text("Retrying: the engine hands the task out again")
        await expect(page.locator("#task-summary")).to_have_attribute("data-state", "retrying")
    assert tasks.lab.store.tasks[task.id].state is State.RETRYING
    assert [entry.reason for entry in tasks.lab.dashboard_store.audit] == ["the bank is back"]


async def test_all_of_it_works_without_javascript(browser: Surfer, tasks: TaskSite) -> None:
    task = await fill(tasks.lab)
    async with tasks.visit(browser, "/dashboard/tasks", java_script_enabled=False) as watched:
        page = watched.page
        await page.locator("select[name=topic]").select_option("charge_card")
        await page.get_by_role("button", name="Apply").click()
        await expect(page.locator(".chip")).to_contain_text("charge_card")
        await page.get_by_role("link", name="Failed").click()
        await page.get_by_role("link", name="Attempts").click()
        await expect(page.locator("#tasks tbody tr")).to_have_count(2)
        await page.locator("#tasks tbody tr a[data-open]").first.click()
        await page.get_by_text("Reveal …").first.click()
        panel = page.locator("details.confirm[open]")
        await panel.get_by_label("Reason").fill("ticket 17")
        await panel.get_by_role("button", name="Reveal", exact=True).click()
        await expect(page.locator("#variables")).to_contain_text(CANARY)
        await page.locator("summary", has_text="Retry now").click()
        await page.locator("details.confirm[open] button[type=submit]").click()
        await expect(page.locator(".flash")).to_contain_text("Retrying: the engine hands the task out again")
    assert tasks.lab.store.tasks[task.id].state is State.RETRYING
    assert [entry.action for entry in tasks.lab.dashboard_store.audit] == ["task.reveal", "task.retry"]


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_what_unfolds_without_javascript_is_within_the_screen(
    browser: Surfer, tasks: TaskSite, viewport: Any
) -> None:
    task = await fill(tasks.lab)
    path = f"/dashboard/tasks/{task.id}"
    async with tasks.visit(browser, path, viewport=viewport, java_script_enabled=False) as watched:
        await check_unfolded(watched.page)


async def test_rows_change_in_place_and_new_ones_are_counted(browser: Surfer, tasks: TaskSite) -> None:
    await fill(tasks.lab)
    async with tasks.visit(browser, "/dashboard/tasks") as watched:
        page = watched.page
        await ready(page)
        before = await page.locator("#tasks tbody tr").evaluate_all("rows => rows.map((row) => row.id)")
        tasks.change("t3", state=State.COMPLETED)
        await expect(page.locator("#task-t3")).to_contain_text("Completed")
        tasks.lab.task("new", updated_at=tasks.lab.clock.now())
        await expect(page.get_by_role("button", name="1 new – show")).to_be_visible()
        assert await page.locator("#tasks tbody tr").evaluate_all("rows => rows.map((row) => row.id)") == before
        await page.get_by_role("button", name="1 new – show").click()
        await expect(page.locator("#tasks tbody tr").first).to_have_attribute("id", "task-new")


async def test_a_page_of_a_task_follows_it(browser: Surfer, tasks: TaskSite) -> None:
    await fill(tasks.lab)
    async with tasks.visit(browser, "/dashboard/tasks/t2") as watched:
        await ready(watched.page)
        await expect(watched.page.locator("#task-summary")).to_have_attribute("data-state", "running")
        tasks.change("t2", state=State.COMPLETED, finished_at=tasks.lab.clock.now())
        await expect(watched.page.locator("#task-summary")).to_have_attribute("data-state", "completed")
        await expect(watched.page.locator("#acts")).to_contain_text("it is completed")


async def test_what_is_chosen_goes_to_the_preview(browser: Surfer, tasks: TaskSite) -> None:
    await fill(tasks.lab)
    async with tasks.visit(browser, "/dashboard/tasks?q=id:t5,t6") as watched:
        page = watched.page
        watched.expect("404 (Not Found)")
        watched.expect("405 (Method Not Allowed)")
        await ready(page)
        await expect(page.locator(".bulk")).to_be_hidden()
        await page.get_by_label("Select all rows on this page").check()
        await expect(page.locator(".bulk")).to_contain_text("2 selected")
        # Also what the click leads to is waited for: a browser that is closed while it goes to a page may never end.
        async with page.expect_navigation(), page.expect_request("**/operations/preview") as asked:
            await page.locator(".bulk").get_by_role("button", name="Retry …").click()
        sent = (await asked.value).post_data or ""
        assert (sent.count("ids=t5"), sent.count("ids=t6")) == (1, 1)
