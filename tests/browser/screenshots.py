"""Takes the pictures of docs/images: real servers, a gateway with the demo's work behind it, and a browser.

`make screenshots`, or `python -m tests.browser.screenshots`; with `--every` each whole page in each variant,
and with `--empty` the same before anything has happened. CAMUNDA_URL, MONGODB_URI and RABBITMQ_URL together
name other servers to use than a sandbox; what is shown stands in a database of its own, which is dropped at the end.
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

import aiohttp
import typer
from playwright.async_api import Page, expect
from pymongo import AsyncMongoClient
from rich.console import Console

from gateway.settings import read_settings
from sandbox.demo.engine import authorization
from sandbox.demo.gateway import environment, gateway
from sandbox.demo.progress import Limits
from sandbox.demo.run import Demo, Plan
from sandbox.demo.servers import servers
from tests.browser.acted import TOPIC, act
from tests.browser.chromium import Surfer, surfer

FOLDER: Final = Path(__file__).parents[2] / "docs" / "images"
ZONE: Final = "America/Sao_Paulo"
NAME: Final = "ana"
PHONE: Final = 760
"""Up to which width a variant is that of a phone."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A page to be taken; `follow` is the selector of a link on it that leads to the page itself."""

    name: str
    path: str
    follow: str | None = None
    stranger: bool = False


@dataclass(frozen=True, slots=True)
class Variant:
    """How a page is shown."""

    width: int
    theme: str
    language: str

    @property
    def options(self) -> dict[str, Any]:
        """What the browser is told: the screen, as of a phone where it's narrow, and what its owner prefers."""
        phone = self.width <= PHONE
        return {
            "viewport": {"width": self.width, "height": 844 if phone else 900},
            "color_scheme": self.theme,
            "locale": self.language,
            "timezone_id": ZONE,
            "device_scale_factor": 2 if phone else 1,
            "is_mobile": phone,
            "has_touch": phone,
            "reduced_motion": "reduce",
        }


@dataclass(frozen=True, slots=True)
class Picture:
    """A shot, how it is looked at, and under what name it is kept; `whole` takes also what is below the screen."""

    shot: Shot
    variant: Variant
    file: str
    whole: bool = False


SHOTS: Final = {
    shot.name: shot
    for shot in (
        Shot("login", "/dashboard/login", stranger=True),
        Shot("overview", "/dashboard?range=1h"),
        Shot("tasks", "/dashboard/tasks"),
        Shot("task", "/dashboard/tasks?state=failed", follow="main a[data-open]"),
        Shot("topics", "/dashboard/topics"),
        Shot("topic", f"/dashboard/topics/{TOPIC}"),
        Shot("failures", "/dashboard/failures"),
        Shot("workers", "/dashboard/workers"),
        Shot("operations", "/dashboard/operations"),
        Shot("preview", "/dashboard/operations/preview?q=attempts:%3E%3D2"),
        Shot("operation", "/dashboard/operations", follow="main a[data-open]"),
        Shot("audit", "/dashboard/audit"),
        Shot("settings", "/dashboard/settings"),
        Shot("people", "/dashboard/settings/people"),
        Shot("keys", "/dashboard/settings/keys"),
    )
}
VARIANTS: Final = (
    Variant(1440, "light", "en"),
    Variant(1440, "dark", "pt-BR"),
    Variant(390, "light", "pt-BR"),
    Variant(390, "dark", "en"),
)
LIGHT, DARK, _, PHONE_DARK = VARIANTS
PICTURES: Final = (
    Picture(SHOTS["overview"], LIGHT, "overview.png"),
    Picture(SHOTS["tasks"], DARK, "tasks-pt-BR-dark.png"),
    Picture(SHOTS["task"], LIGHT, "task.png"),
    Picture(SHOTS["failures"], LIGHT, "failures.png"),
    Picture(SHOTS["topics"], DARK, "topics-pt-BR-dark.png"),
    Picture(SHOTS["operation"], LIGHT, "operation.png"),
    Picture(SHOTS["overview"], PHONE_DARK, "phone-dark.png"),
)


def every() -> tuple[Picture, ...]:
    """Return each page in each variant."""
    return tuple(
        Picture(shot, variant, f"{shot.name}-{variant.width}-{variant.theme}-{variant.language}.png", whole=True)
        for variant in VARIANTS
        for shot in SHOTS.values()
    )


async def take(
    browser: Surfer, url: str, login: tuple[str, str], folder: Path, pictures: Sequence[Picture]
) -> list[str]:
    """Take the pictures; return what could not be taken, or what the browser complained of."""
    problems: list[str] = []
    for variant in dict.fromkeys(picture.variant for picture in pictures):
        async with browser.page(**variant.options) as watched:
            page = watched.page
            same = [picture for picture in pictures if picture.variant == variant]
            for picture in sorted(same, key=lambda picture: not picture.shot.stranger):
                if not picture.shot.stranger:
                    await come_in(page, url, login)
                problems += await _take(page, url, picture, folder)
            problems += watched.complaints
    return problems


async def come_in(page: Page, url: str, login: tuple[str, str]) -> None:
    """Log in, unless the page is already."""
    await page.goto(f"{url}/dashboard/login?next=/dashboard/settings")
    if page.url.startswith(f"{url}/dashboard/login"):
        await page.locator("input[name=name]").fill(login[0])
        await page.locator("input[name=password]").fill(login[1])
        await page.locator("button[type=submit]").click()
        await page.wait_for_url("**/dashboard/settings")


async def _take(page: Page, url: str, picture: Picture, folder: Path) -> list[str]:
    shot = picture.shot
    answer = await page.goto(url + shot.path)
    if shot.follow is not None:
        link = page.locator(shot.follow).first
        if await link.count() == 0:
            return [f"{shot.name}: nothing to follow at {shot.path}"]
        await link.click()
        await page.wait_for_url(lambda address: not address.endswith(shot.path))
        await page.wait_for_load_state()
    if answer is None or not answer.ok:
        return [f"{shot.name}: {'no answer' if answer is None else answer.status}"]
    await expect(page.locator("html")).to_have_attribute("data-ready", "")
    # A stack names the folders of the machine that the picture is taken on.
    await page.evaluate("document.querySelectorAll('details.stack').forEach((stack) => { stack.open = false })")
    await page.evaluate("document.fonts.ready")
    await page.screenshot(path=folder / picture.file, full_page=picture.whole, animations="disabled")
    return []


async def _drop(uri: str, database: str) -> None:
    async with AsyncMongoClient[Any](uri) as client:
        await client.drop_database(database)


def main(
    instances: Annotated[int, typer.Option("--instances", "-n", min=1)] = 400,
    all_pages: Annotated[bool, typer.Option("--every", help="Each page in each variant, whole.")] = False,
    empty: Annotated[bool, typer.Option(help="Take them before anything has happened.")] = False,
    only: Annotated[str, typer.Option(help="Names of pages, with commas; all where it's empty.")] = "",
    folder: Annotated[Path, typer.Option(help="Where the pictures go.")] = FOLDER,
    directory: Annotated[Path, typer.Option("--dir", help="The sandbox's folder.")] = Path(".sandbox"),
    ports: Annotated[int | None, typer.Option(help="The first of the sandbox's ports.")] = None,
) -> None:
    """Start what is needed, have work done, and take the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    console = Console(width=120)
    names = {name.strip() for name in only.split(",") if name.strip()}
    wanted = every() if all_pages or empty else PICTURES
    pictures = [picture for picture in wanted if not names or picture.shot.name in names]
    if empty:
        pictures = [picture for picture in pictures if picture.shot.follow is None]
    login, database = (NAME, secrets.token_urlsafe(12)), f"screenshots_{secrets.token_hex(4)}"
    own = {"GATEWAY_ADMIN_USER": login[0], "GATEWAY_ADMIN_PASSWORD": login[1], "MONGODB_DATABASE": database}
    with servers(directory, ports, os.environ, console.print) as found:
        env = {"ENVIRONMENT": "demo", **environment({**found.env, **own})}
        settings = read_settings(camunda_url=env["CAMUNDA_URL"])
        plan = Plan(f"demo-{secrets.token_hex(2)}", instances, 2026, 8, Limits(600, 120))
        try:
            with gateway(env, directory / "logs" / "gateway.log", console.print) as started:
                demo = Demo(plan, settings, started, env, found.ours, console)

                async def play() -> list[str]:
                    async with aiohttp.ClientSession() as session:
                        await started.ready(session)
                    async with surfer() as browser:
                        if not empty:
                            await demo.play(stay=False)
                            async with browser.page(**LIGHT.options) as watched:
                                await come_in(watched.page, started.url, login)
                                await act(watched.page, started.url, settings.camunda_url, authorization(settings))
                        return await take(browser, started.url, login, folder, pictures)

                problems = asyncio.run(play())
        finally:
            asyncio.run(_drop(env["MONGODB_URI"], database))
    for problem in problems:
        console.print(problem, style="red", markup=False)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    typer.run(main)
