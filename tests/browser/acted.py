"""What somebody does before the pictures are taken, by the pages as a person would, so that none of them is empty."""

from __future__ import annotations

import re
from typing import Any, Final

import aiohttp
from playwright.async_api import Page, expect

TOPIC: Final = "say_hello"
SETTLED_WITHIN: Final = 90.0

_FAILED: Final = "/dashboard/tasks?state=failed"
_PREVIEW: Final = f"/dashboard/operations/preview?q=state:failed+topic:{TOPIC}"


async def act(page: Page, url: str, engine: str, headers: dict[str, str]) -> None:
    """Keep a view, make a key, mend what made some of the tasks fail, and retry those of a topic together."""
    await page.goto(url + _FAILED)
    await page.locator("summary", has_text="Save this view").click()
    await _confirm(page, name="Failed")
    await page.goto(f"{url}/dashboard/settings/keys")
    await page.locator("input[name=label]").fill("order service")
    for scope in ("submit", "read"):
        await page.locator(f"input[name=scope][value={scope}]").check()
    await page.locator("main form.form button[type=submit]").click()
    await page.wait_for_load_state()
    await mend(engine, headers)
    await page.goto(url + _PREVIEW)
    await page.locator("#start input[name=reason]").fill("The greeting service is back")
    await page.locator("#start button[type=submit]").click()
    await page.wait_for_url("**/dashboard/operations/*")
    await expect(page.locator("#pending")).to_have_text("0", timeout=SETTLED_WITHIN * 1000)
    waiting = page.locator('#outcomes [data-state="requeued"]')
    await expect(waiting).to_have_text(re.compile(r"^\s*0\b"), timeout=SETTLED_WITHIN * 1000)


async def mend(engine: str, headers: dict[str, str]) -> None:
    """Mend every second of the instances whose task failed for good: the others fail again."""
    async with aiohttp.ClientSession(headers=headers) as session:
        query = {"topicName": TOPIC, "noRetriesLeft": "true", "sortBy": "id", "sortOrder": "asc"}
        found: list[dict[str, Any]] = await _json(session, f"{engine}/external-task", query)
        for task in found[::2]:
            address = f"{engine}/process-instance/{task['processInstanceId']}/variables/fail_times"
            async with session.put(address, json={"value": 0, "type": "Integer"}) as answer:
                answer.raise_for_status()


async def _confirm(page: Page, **fields: str) -> None:
    dialog = page.locator("dialog[open]")
    for name, value in fields.items():
        await dialog.locator(f"input[name={name}]").fill(value)
    await dialog.locator("button[type=submit]").click()
    await page.wait_for_load_state()


async def _json(session: aiohttp.ClientSession, address: str, query: dict[str, str]) -> Any:
    async with session.get(address, params=query) as answer:
        answer.raise_for_status()
        return await answer.json()
