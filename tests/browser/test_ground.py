"""What the frame of every page does in a real browser, with JavaScript and without."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.chromium import Surfer
from tests.browser.conftest import Site, row
from tests.browser.serving import ready
from tests.web.auth.access_lab import PASSWORD
from web.alpine import VERSION

pytestmark = pytest.mark.asyncio(loop_scope="session")

WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
EVENTS = "**/dashboard/events*"
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


async def listening(page: Page, site: Site) -> None:
    """Wait until the page's stream is open, and the server has looked at what it is to compare with."""
    await expect(page.locator(".live[data-listening]")).to_be_visible()
    for _ in range(2):
        site.changes.asked.clear()
        await site.changes.asked.wait()


# -- every page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("path", ["/dashboard/styleguide", "/dashboard/settings", "/dashboard/login"])
async def test_a_page_keeps_nobody_out_and_breaks_no_rule(
    browser: Surfer, site: Site, path: str, viewport: Any, scheme: Any
) -> None:
    stranger = path.endswith("login")
    async with site.visit(browser, path, stranger=stranger, viewport=viewport, color_scheme=scheme) as watched:
        page = watched.page
        await ready(page)
        assert await page.evaluate("Alpine.version") == VERSION
        assert await browser.barriers(page) == []
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= viewport["width"], "nothing is wider than the screen"


async def test_a_script_that_is_not_the_one_named_does_not_run(browser: Surfer, site: Site) -> None:
    async with site.visit(browser, "/dashboard/settings", alpine=b"window.Alpine = {evil: true}") as watched:
        watched.expect("integrity")
        await expect(watched.page.get_by_role("heading", name="Settings")).to_be_visible()
        assert await watched.page.evaluate("typeof window.Alpine") == "undefined"
        await expect(watched.page.locator(".palette-button")).to_be_hidden()
        await watched.page.get_by_label("Language").select_option("pt-BR")
        await watched.page.get_by_role("button", name="Save").click()
        await expect(watched.page.get_by_role("heading", name="Configurações")).to_be_visible()


async def test_hostile_text_is_text(browser: Surfer, site: Site) -> None:
    async with site.visit(browser, "/dashboard/styleguide") as watched:
        facts = watched.page.locator("#facts")
        await expect(facts).to_contain_text('<script>alert("x")</script> {{ 7 * 7 }} <img src=x onerror=alert(1)>')
        assert await watched.page.locator("main img").count() == 0
        assert "49 <img" not in await watched.page.locator("main").inner_text()


# -- the rail


async def test_the_theme_changes_at_once_and_stays(browser: Surfer, site: Site) -> None:
    async with site.visit(browser, "/dashboard/settings", color_scheme="light") as watched:
        page = watched.page
        ground = "getComputedStyle(document.body.parentElement).backgroundColor"
        assert await page.evaluate(ground) == "rgb(255, 255, 255)"
        await ready(page)
        await page.get_by_role("button", name="Dark").click()
        assert await page.evaluate(ground) == "rgb(15, 20, 25)"
        async with asyncio.timeout(10):
            while not any("theme=dark" in cookie.get("value", "") for cookie in await page.context.cookies()):
                await page.evaluate("new Promise(requestAnimationFrame)")
        await page.reload()
        assert await page.evaluate(ground) == "rgb(15, 20, 25)"
        await expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")


async def test_the_zone_of_the_machine_is_that_of_the_next_page(browser: Surfer, site: Site) -> None:
    async with site.visit(browser, "/dashboard/settings", timezone_id="America/Sao_Paulo") as watched:
        await expect(watched.page.locator("html")).to_have_attribute("data-zone", "UTC")
        await watched.page.reload()
        await expect(watched.page.locator("html")).to_have_attribute("data-zone", "America/Sao_Paulo")
        await expect(watched.page.locator("#look")).to_contain_text("-03:00")


async def test_the_palette_goes_where_its_letters_say(browser: Surfer, site: Site) -> None:
    async with site.visit(browser, "/dashboard/styleguide") as watched:
        page = watched.page
        await ready(page)
        await page.keyboard.press("Control+k")
        palette = page.locator("dialog#palette")
        await expect(palette).to_be_visible()
        await page.keyboard.type("stgs")
        await expect(palette.get_by_role("option")).to_have_count(1)
        await page.keyboard.type("x")
        await expect(palette).to_contain_text("No matches")
        await page.keyboard.press("Backspace")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/dashboard/settings")


async def test_the_keys(browser: Surfer, site: Site) -> None:
    async with site.visit(browser, "/dashboard/rows") as watched:
        page = watched.page
        await ready(page)
        for key, at in (("j", "task-t1"), ("j", "task-t2"), ("k", "task-t1"), ("k", "task-t1")):
            await page.keyboard.press(key)
            await expect(page.locator("tr.at")).to_have_id(at)
        await page.keyboard.press("x")
        await expect(page.locator(".bulk-count")).to_have_text("1 selected")
        await page.keyboard.press("x")
        await expect(page.locator(".bulk")).to_be_hidden()
        await page.keyboard.press("/")
        await expect(page.get_by_role("searchbox")).to_be_focused()
        await page.keyboard.press("Escape")
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
        await page.keyboard.press("Escape")
        await page.keyboard.press("r")
        await expect(page.get_by_role("dialog", name="Retry 3 tasks?")).to_be_visible()
        await page.keyboard.press("Escape")
        await page.keyboard.press("g")
        await page.keyboard.press("s")
        await page.wait_for_url("**/dashboard/settings")


async def test_single_keys_can_be_switched_off(browser: Surfer, site: Site) -> None:
    async with site.visit(browser, "/dashboard/settings") as watched:
        page = watched.page
        await page.get_by_label("Off").check()
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_text("Settings saved.")).to_be_visible()
        await ready(page)
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await page.keyboard.press("Control+k")
        await expect(page.locator("dialog#palette")).to_be_visible()


async def test_an_id_is_copied(browser: Surfer, site: Site) -> None:
    async with site.visit(browser, "/dashboard/rows", permissions=["clipboard-read", "clipboard-write"]) as watched:
        await ready(watched.page)
        button = watched.page.get_by_role("button", name="Copy order-2")
        await button.click()
        assert await watched.page.evaluate("navigator.clipboard.readText()") == "order-2"


# -- changes


async def test_a_change_asks_in_a_dialog(browser: Surfer, site: Site) -> None:
    async with site.visit(browser, "/dashboard/rows") as watched:
        page = watched.page
        await ready(page)
        opener = page.locator("summary", has_text="Retry …")
        await opener.click()
        dialog = page.get_by_role("dialog", name="Retry 3 tasks?")
        await expect(dialog.get_by_label("Reason")).to_be_focused()
        await dialog.get_by_role("button", name="Cancel").click()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await opener.click()
        await expect(dialog).to_be_visible()


async def test_rows_are_chosen_in_a_stretch_and_all_at_once(browser: Surfer, site: Site) -> None:
    async with site.visit(browser, "/dashboard/rows") as watched:
        page = watched.page
        await ready(page)
        await page.get_by_label("Select t2").check()
        await page.get_by_label("Select t4").click(modifiers=["Shift"])
        await expect(page.locator(".bulk-count")).to_have_text("3 selected")
        await page.get_by_label("Select all rows on this page").check()
        await expect(page.locator(".bulk-count")).to_have_text("5 selected")
        await page.get_by_role("button", name="Clear selection").click()
        await expect(page.locator(".bulk")).to_be_hidden()


# -- without JavaScript


async def test_without_javascript_all_of_it_works(browser: Surfer, site: Site) -> None:
    async with site.visit(browser, "/dashboard/login", stranger=True, java_script_enabled=False) as watched:
        page = watched.page
        await page.get_by_label("Name").fill("ada")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await page.goto(f"{site.url}/dashboard/settings")
        await page.get_by_role("button", name="Dark").click()
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        await page.get_by_label("Time zone").select_option("America/Manaus")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_text("Settings saved.")).to_be_visible()
        await expect(page.locator("#look")).to_contain_text("-04:00")
        await page.goto(f"{site.url}/dashboard/rows")
        await expect(page.locator(".bulk")).to_be_visible()
        await expect(page.locator(".live")).to_be_hidden()
        await page.locator("summary", has_text="Retry …").click()
        await expect(page.get_by_role("button", name="Retry 3 tasks")).to_be_visible()
        await page.locator("details.user > summary").click()
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


# -- live


async def test_rows_change_in_place_and_new_ones_are_told(browser: Surfer, site: Site) -> None:
    async with site.visit(browser, "/dashboard/rows") as watched:
        page = watched.page
        await listening(page, site)
        site.rows = [row(9), *(row(number, "failed" if number == 2 else "running") for number in (1, 2, 3, 4))]
        site.changes.touch()
        await expect(page.locator("#task-t2 .status")).to_have_text("Failed")
        shown = await page.locator("#tasks tbody tr").evaluate_all("rows => rows.map(row => row.id)")
        assert shown == [f"task-t{number}" for number in range(1, 6)], "no row moves"
        await expect(page.locator("#task-t5")).to_have_class("gone")
        await page.get_by_role("button", name="1 new – show").click()
        await expect(page.locator("#task-t9")).to_be_visible()


async def test_nothing_moves_under_the_hands(browser: Surfer, site: Site) -> None:
    async with site.visit(browser, "/dashboard/rows") as watched:
        page = watched.page
        await listening(page, site)
        box = page.get_by_label("Select t3")
        await box.check()
        site.rows[1] = row(2, "failed")
        site.changes.touch()
        await expect(page.locator(".live-state")).to_have_text("On hold while you select or type")
        await expect(page.locator("#task-t2 .status")).to_have_text("Running")
        await box.uncheck()
        await expect(page.locator("#task-t2 .status")).to_have_text("Failed")
        await expect(page.locator(".live-state")).to_have_text("Live")


async def test_a_pause_holds_and_a_hidden_page_hears_nothing(browser: Surfer, site: Site) -> None:
    async with site.visit(browser, "/dashboard/rows") as watched:
        page = watched.page
        await page.get_by_role("button", name="Pause updates").click()
        await expect(page.locator(".live-state")).to_have_text("Paused")
        site.rows[0] = row(1, "completed")
        site.changes.touch()
        async with page.expect_response("**/dashboard/rows"):
            await page.get_by_role("button", name="Resume updates").click()
        await expect(page.locator("#task-t1 .status")).to_have_text("Completed")
        async with page.expect_event("requestfailed", lambda request: "/dashboard/events" in request.url):
            await page.evaluate(HIDE, True)
        async with page.expect_request(EVENTS):
            await page.evaluate(HIDE, False)


async def test_after_three_failures_the_page_says_since_when_it_is_stale_and_polls(browser: Surfer, site: Site) -> None:
    async with site.visit(browser, "/dashboard/settings") as watched:
        page = watched.page
        watched.expect("503")
        await page.clock.install()
        await page.route(EVENTS, lambda route: route.fulfill(status=503))
        await page.goto(f"{site.url}/dashboard/rows")
        await ready(page)
        for _ in range(2):
            async with page.expect_request(EVENTS):
                await page.clock.run_for(4100)
        await expect(page.locator(".live-state")).to_contain_text("stale since")
        site.rows[0] = row(1, "completed")
        async with page.expect_response("**/dashboard/rows"):
            await page.clock.run_for(10_100)
        await expect(page.locator("#task-t1 .status")).to_have_text("Completed")
        await page.unroute(EVENTS)
        async with page.expect_response(EVENTS):
            await page.clock.run_for(10_100)
        await expect(page.locator(".live-state")).to_have_text("Live")


async def test_a_session_that_ends_leads_to_the_login_and_back(browser: Surfer, site: Site) -> None:
    secret = (await site.lab.session_service.login("ada", PASSWORD, address="x", agent="")).secret
    async with browser.page() as watched:
        page = watched.page
        await page.context.add_cookies([{"name": "session", "value": secret, "url": site.url}])
        await page.goto(f"{site.url}/dashboard/rows")
        await listening(page, site)
        await site.lab.session_service.end(secret)
        site.changes.touch()
        await page.wait_for_url("**/dashboard/login?next=/dashboard/rows")
