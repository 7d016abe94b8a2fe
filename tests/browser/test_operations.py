"""Topics, workers, bulk work and the audit in a real browser: nothing refused by the policy, nobody kept out."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import expect

from bridge.domain.access import Role, Scope
from bridge.domain.dead_letter import DeadLetter
from bridge.domain.histogram import bucket_of
from bridge.domain.records import Pause
from bridge.domain.statistics import Count, Rollup, Step
from bridge.domain.task import State
from tests.browser.chromium import Surfer, Watched
from tests.browser.conftest import TokensByHand
from tests.browser.serving import NARROW, WIDE, check_fits, check_page, check_unfolded, ready, served, visited
from tests.web.auth.access_lab import AccessLab
from tests.web.conftest import Stub
from tests.web.dashboard.operations_lab import HOSTILE, OPERATION, OperationsLab
from web.app import create_app
from web.components.live import LiveConfig
from web.components.page import PageConfig
from web.dashboard.mount import dashboard_router
from web.dashboard.pages import dashboard_pages

pytestmark = pytest.mark.asyncio(loop_scope="session")

PREVIEW = "/dashboard/operations/preview?q=state:failed"
PATHS = [
    "/dashboard/topics",
    "/dashboard/topics/charge_card",
    "/dashboard/topics/ship",
    "/dashboard/workers",
    "/dashboard/operations",
    f"/dashboard/operations/{OPERATION}",
    PREVIEW,
    "/dashboard/operations/preview?q=foo:",
    "/dashboard/audit",
    "/dashboard/audit?who=nobody",
    "/dashboard/settings/people",
    "/dashboard/settings/people/bob",
    "/dashboard/settings/keys",
]


@dataclass
class Site:
    """The pages on a server, and what stands behind them."""

    url: str
    lab: OperationsLab
    changes: TokensByHand
    secret: str

    @asynccontextmanager
    async def visit(self, surfer: Surfer, path: str, **options: Any) -> AsyncIterator[Watched]:
        """Yield a page of an admin, at `path`; at the end its browser must not have complained."""
        async with visited(surfer, self.url, path, self.secret, **options) as watched:
            yield watched


async def fill(lab: OperationsLab) -> None:
    """Have something on every page, with text that would be code where it isn't escaped."""
    now = lab.clock.now()
    await lab.worker("replica-a")
    await lab.worker("replica-b", seconds=90)
    await lab.fail_many(150)
    lab.parts.task("q1", state=State.QUEUED)
    await lab.begin(OPERATION)
    await lab.dashboard_store.pause(Pause("ship", "ada", HOSTILE, now))
    await lab.store.keep_dead_letter(DeadLetter("d1", "ship", "rejected", HOSTILE, "t1", now))
    counts = {Count.COMPLETED: 90, Count.FAILED: 10}
    times = {bucket_of(0.5): 10, bucket_of(4.0): 3}
    rows = [
        Rollup(Step.MINUTE.floor(now) - timedelta(minutes=5 * n), "charge_card", counts, times, times) for n in range(9)
    ]
    await lab.dashboard_store.add({Step.MINUTE: rows}, [])


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def site() -> AsyncIterator[Site]:
    access, changes, ending = AccessLab(insecure_cookies=True), TokensByHand(), asyncio.Event()
    access.clock.moment = datetime.now(UTC)
    lab = OperationsLab(access)
    await fill(lab)
    secret = await access.session(Role.ADMIN, "ada")
    await access.session(Role.VIEWER, "bob")
    await access.key(Scope.READ)
    router = dashboard_router(
        access.dependencies, PageConfig("staging", "1.2.3"), changes=changes, ending=ending,
        live_config=LiveConfig(every=timedelta(milliseconds=20)), mounted=dashboard_pages(lab.dependencies),
    )  # fmt: skip
    app = create_app(Stub().dependencies(access.dependencies), [router])
    async with served(app, ending) as url:
        yield Site(url, lab, changes, secret)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("path", PATHS)
async def test_a_page_keeps_nobody_out_and_breaks_no_rule(
    browser: Surfer, site: Site, path: str, viewport: Any, scheme: Any
) -> None:
    locale = "pt-BR" if scheme == "dark" else "en-US"
    async with site.visit(browser, path, viewport=viewport, color_scheme=scheme, locale=locale) as watched:
        if "foo" in path:
            watched.expect("422")
        await check_page(browser, watched.page)


@pytest.mark.parametrize("width", [1440, 1100])
async def test_the_topics_fit_in_the_language_that_needs_more_room(browser: Surfer, site: Site, width: int) -> None:
    viewport: Any = {"width": width, "height": 900}
    async with site.visit(browser, "/dashboard/topics", viewport=viewport, locale="pt-BR") as watched:
        await check_fits(watched.page, "#topics")


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
async def test_many_are_retried_together_and_the_page_follows(browser: Surfer, site: Site, script: bool) -> None:
    async with site.visit(browser, PREVIEW, java_script_enabled=script) as watched:
        page = watched.page
        watched.expect("422")
        count = await page.locator('input[name="expected"]').get_attribute("value")
        await page.get_by_label("Reason").fill("mended")
        await page.get_by_label("How many tasks will be retried?").fill("99")
        await page.get_by_role("button", name=re.compile("Retry .* tasks")).click()
        await expect(page.get_by_text("This is not the number of tasks")).to_be_visible()
        await expect(page.get_by_label("Reason")).to_have_value("mended")
        await page.get_by_label("How many tasks will be retried?").fill(str(count))
        await page.get_by_role("button", name=re.compile("Retry .* tasks")).click()
        await expect(page.get_by_text("Operation started.")).to_be_visible()
        await expect(page.locator("#pending")).to_have_text(str(count))
        address = page.url
        for _ in range(2):  # another one is due as well
            await site.lab.bulk.run_once()
        if script:
            await ready(page)
            site.changes.touch("operations")
        else:
            await page.reload()
        await expect(page.locator("#requeued")).to_have_text("20")
        await page.go_back()
        await page.go_back()
        await page.goto(address)
        await page.locator("summary", has_text="Stop operation …").click()
        await page.get_by_role("button", name="Stop operation", exact=True).click()
        await expect(page.get_by_text("Operation cancelled")).to_be_visible()
        sums = [int(text) for text in await page.locator(".sum dd").all_inner_texts()]
        assert sums[0] == sum(sums[1:]) == int(str(count))


async def test_a_topic_is_paused_and_resumed_by_a_dialog(browser: Surfer, site: Site) -> None:
    async with site.visit(browser, "/dashboard/topics/charge_card") as watched:
        page = watched.page
        await ready(page)
        await page.locator("summary", has_text="Pause …").click()
        dialog = page.locator("dialog.ask")
        await expect(dialog).to_be_visible()
        assert await browser.barriers(page) == []
        await dialog.get_by_label("Reason").fill("the bank is down")
        await dialog.get_by_role("button", name="Pause", exact=True).click()
        await expect(page.get_by_text("Paused by ada")).to_be_visible()
        await page.locator("summary", has_text="Resume …").click()
        await page.locator("dialog.ask").get_by_role("button", name="Resume", exact=True).click()
        await expect(page.get_by_text("Topic charge_card resumed")).to_be_visible()


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("path", ["/dashboard/settings/people/bob", "/dashboard/topics/charge_card"])
async def test_what_unfolds_without_javascript_is_within_the_screen(
    browser: Surfer, site: Site, path: str, viewport: Any
) -> None:
    async with site.visit(browser, path, viewport=viewport, java_script_enabled=False) as watched:
        await check_unfolded(watched.page)


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
async def test_a_key_is_made_shown_once_and_revoked(browser: Surfer, site: Site, script: bool) -> None:
    async with site.visit(browser, "/dashboard/settings/keys", java_script_enabled=script) as watched:
        page = watched.page
        label = f"reports by {'script' if script else 'hand'}"
        await page.get_by_label("Program").fill(label)
        await page.get_by_label(re.compile("^read")).check()
        await page.get_by_role("button", name="Create and show it").click()
        key = await page.locator('.note[data-level="warning"] pre').inner_text()
        assert (await site.lab.access.session_service.by_key(key)).scopes == {Scope.READ}
        await page.goto(f"{site.url}/dashboard/settings/keys")
        assert key not in await page.content()
        await page.get_by_role("link", name=label).click()
        if script:
            await ready(page)
        await page.locator("summary", has_text="Revoke …").click()
        await page.get_by_label("Reason").fill("it was for a test")
        await page.get_by_role("button", name="Revoke", exact=True).click()
        await expect(page.get_by_text("Key revoked")).to_be_visible()
