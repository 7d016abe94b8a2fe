"""Takes the pictures of docs/images: real servers, a gateway with the demo's work behind it, and a browser.

`make screenshots`, or `python -m tests.browser.screenshots`. CAMUNDA_URL, MONGODB_URI and RABBITMQ_URL together name
other servers to use than a sandbox.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from playwright.async_api import Page, expect
from rich.console import Console

from bridge.settings import read_settings
from sandbox.demo.gateway import environment, gateway
from sandbox.demo.progress import Limits
from sandbox.demo.run import Demo, Plan
from sandbox.demo.servers import servers
from tests.browser.chromium import Surfer, surfer

FOLDER: Final = Path(__file__).parents[2] / "docs" / "images"
ZONE: Final = "America/Sao_Paulo"


@dataclass(frozen=True, slots=True)
class Shot:
    """A page to be taken; `follow` is the selector of a link on it that leads to the page itself."""

    name: str
    path: str
    follow: str | None = None
    stranger: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """How a page is looked at."""

    width: int
    theme: str
    language: str


SHOTS: Final = (
    Shot("login", "/dashboard/login", stranger=True),
    Shot("overview", "/dashboard"),
    Shot("tasks", "/dashboard/tasks"),
    Shot("task", "/dashboard/tasks?state=failed", follow="main a[data-open]"),
    Shot("topics", "/dashboard/topics"),
    Shot("failures", "/dashboard/failures"),
    Shot("workers", "/dashboard/workers"),
    Shot("operations", "/dashboard/operations"),
    Shot("audit", "/dashboard/audit"),
    Shot("settings", "/dashboard/settings"),
    Shot("people", "/dashboard/settings/people"),
    Shot("keys", "/dashboard/settings/keys"),
)
LOOKS: Final = (
    Look(1440, "light", "en"),
    Look(1440, "dark", "pt-BR"),
    Look(390, "light", "pt-BR"),
    Look(390, "dark", "en"),
)


async def take(
    browser: Surfer, url: str, login: tuple[str, str], folder: Path, shots: Sequence[Shot], looks: Sequence[Look]
) -> list[str]:
    """Take every shot in every look; return what could not be taken, or what the browser complained of."""
    problems: list[str] = []
    for look in looks:
        options: dict[str, Any] = {
            "viewport": {"width": look.width, "height": 900 if look.width > 760 else 844},
            "color_scheme": look.theme,
            "locale": look.language,
            "timezone_id": ZONE,
            "device_scale_factor": 1 if look.width > 760 else 2,
            "reduced_motion": "reduce",
        }
        async with browser.page(**options) as watched:
            page = watched.page
            for shot in sorted(shots, key=lambda shot: not shot.stranger):
                if not shot.stranger:
                    await _come_in(page, url, login)
                name = f"{shot.name}-{look.width}-{look.theme}-{look.language}.png"
                problems += await _take(page, url, shot, folder / name)
            problems += watched.complaints
    return problems


async def _come_in(page: Page, url: str, login: tuple[str, str]) -> None:
    await page.goto(f"{url}/dashboard/login?next=/dashboard/settings")
    if page.url.startswith(f"{url}/dashboard/login"):
        await page.locator("input[name=name]").fill(login[0])
        await page.locator("input[name=password]").fill(login[1])
        await page.locator("button[type=submit]").click()
        await page.wait_for_url("**/dashboard/settings")


async def _take(page: Page, url: str, shot: Shot, file: Path) -> list[str]:
    answer = await page.goto(url + shot.path)
    if shot.follow is not None:
        link = page.locator(shot.follow).first
        if await link.count() == 0:
            return [f"{shot.name}: nothing to follow at {shot.path}"]
        await link.click()
        await page.wait_for_load_state()
    if answer is None or not answer.ok:
        return [f"{shot.name}: {'no answer' if answer is None else answer.status}"]
    await expect(page.locator("html")).to_have_attribute("data-ready", "")
    await page.evaluate("document.fonts.ready")
    await page.screenshot(path=file, full_page=True, animations="disabled")
    return []


def main(
    instances: Annotated[int, typer.Option("--instances", "-n", min=1)] = 200,
    only: Annotated[str, typer.Option(help="Names of pages, with commas; all where it's empty.")] = "",
    folder: Annotated[Path, typer.Option(help="Where the pictures go.")] = FOLDER,
    directory: Annotated[Path, typer.Option("--dir", help="The sandbox's folder.")] = Path(".sandbox"),
    ports: Annotated[int | None, typer.Option(help="The first of the sandbox's ports.")] = None,
) -> None:
    """Start what is needed, have work done, and take the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    console = Console(width=120)
    names = {name.strip() for name in only.split(",") if name.strip()}
    shots = [shot for shot in SHOTS if not names or shot.name in names]
    with servers(directory, ports, os.environ, console.print) as found:
        env = {"ENVIRONMENT": "demo", **environment(found.env)}
        settings = read_settings(camunda_url=env["CAMUNDA_URL"])
        plan = Plan(f"demo-{secrets.token_hex(4)}", instances, 2026, 8, Limits(600, 120))
        with gateway(env, directory / "logs" / "gateway.log", console.print) as started:
            demo = Demo(plan, settings, started, env, found.ours, console)

            async def play() -> list[str]:
                await demo.play(stay=False)
                login = (env["GATEWAY_ADMIN_USER"], env["GATEWAY_ADMIN_PASSWORD"])
                async with surfer() as browser:
                    return await take(browser, started.url, login, folder, shots, LOOKS)

            problems = asyncio.run(play())
    for problem in problems:
        console.print(problem, style="red", markup=False)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    typer.run(main)
