"""A real browser: Debian's Chromium, what it is given in place of the internet, and what it must not complain of."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Route, async_playwright

from sandbox.build import cache
from sandbox.errors import Missing
from sandbox.tools import Tool, install
from web.alpine import URL, VERSION

FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CLOSING: Final = 60.0
"""Seconds within which a page ends; one that hangs fails its test instead of holding up all others."""
AXE: Final = "4.14.1"
_AXE_HASH: Final = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
_STANDARDS: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]

_TELL_VIOLATIONS: Final = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.effectiveDirective} refused ${event.blockedURI} ${event.sample}`));
"""


def _chromium() -> Path | None:
    found = shutil.which("chromium")
    return None if found is None else Path(found)


CHROMIUM: Final = Tool("Chromium", "chromium", _chromium)
NPM: Final = Tool("npm", "npm", lambda: Path(found) if (found := shutil.which("npm")) else None)


@dataclass(frozen=True, slots=True)
class Scripts:
    """What pages get from the CDN, and the program that looks for barriers; each as npm has it."""

    alpine: Path
    axe: Path


def prepare() -> Scripts:
    """Install what is missing; raises `Missing`, with the command to give, where that can't be done."""
    install((CHROMIUM, NPM), print)
    axe = _packed("axe-core", AXE, "axe.min.js")
    if hashlib.sha256(axe.read_bytes()).hexdigest() != _AXE_HASH:
        raise Missing(f"{axe} isn't the file of axe-core {AXE}: delete it, and try again")
    return Scripts(_packed("@alpinejs/csp", VERSION, "dist/cdn.min.js"), axe)


def _packed(package: str, version: str, file: str) -> Path:
    """Return a file of an npm package, fetched once; npm checks what it gets by the registry's hash."""
    folder = cache() / "npm" / f"{package.replace('/', '+')}@{version}"
    found = folder / "package" / file
    if not found.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [str(NPM.require()), "pack", "--silent", "--pack-destination", str(folder), f"{package}@{version}"]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        for archive in folder.glob("*.tgz"):
            with tarfile.open(archive) as opened:
                opened.extractall(folder, filter="data")
    return found


@dataclass
class Watched:
    """A page, and what its browser complained of."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def expect(self, text: str) -> None:
        """Let complaints with this text pass: the test has caused them."""
        self.expected.append(text)

    def check(self) -> None:
        """Fail on any complaint that the test didn't cause."""
        left = [each for each in self.complaints if not any(text in each for text in self.expected)]
        assert left == [], "the browser complained"


class Surfer:
    """Opens pages in one browser, each in a context of its own."""

    def __init__(self, browser: Browser, scripts: Scripts) -> None:
        self._browser = browser
        self._scripts = scripts

    @asynccontextmanager
    async def page(self, *, alpine: bytes | None = None, **options: Any) -> AsyncIterator[Watched]:
        """Yield a page that reaches nothing but its own server, and the CDN's one file (or `alpine` in its place)."""
        context = await self._browser.new_context(**{"locale": "en-US", "timezone_id": "America/Sao_Paulo", **options})
        try:
            watched = Watched(await context.new_page())
            await self._surround(context, watched, alpine)
            yield watched
        finally:
            async with asyncio.timeout(CLOSING):
                await context.close()

    async def _surround(self, context: BrowserContext, watched: Watched, alpine: bytes | None) -> None:
        content = self._scripts.alpine.read_bytes() if alpine is None else alpine

        async def serve(route: Route) -> None:
            if route.request.url == URL:
                headers = {"Access-Control-Allow-Origin": "*", "Content-Type": "text/javascript"}
                await route.fulfill(body=content, headers=headers)
            else:
                watched.complaints.append(f"asked for {route.request.url}")
                await route.abort()

        def told(message: ConsoleMessage) -> None:
            if message.type in {"error", "warning"}:
                watched.complaints.append(f"{message.type}: {message.text}")

        await context.route(re.compile("^https:"), serve)
        await context.add_init_script(_TELL_VIOLATIONS)
        watched.page.on("console", told)
        watched.page.on("pageerror", lambda error: watched.complaints.append(f"uncaught: {error}"))
        watched.page.on("dialog", lambda dialog: watched.complaints.append(f"dialog: {dialog.message}"))

    async def barriers(self, page: Page) -> list[str]:
        """Return what keeps people out of a page, by WCAG 2.2 A and AA."""
        await page.evaluate(self._scripts.axe.read_text(encoding="utf-8"))
        found = await page.evaluate(
            "async (tags) => (await axe.run(document, {runOnly: {type: 'tag', values: tags}})).violations", _STANDARDS
        )
        return [f"{each['id']}: {node['html'][:160]}" for each in found for node in each["nodes"][:4]]


@asynccontextmanager
async def surfer() -> AsyncIterator[Surfer]:
    """Yield a browser with a profile of its own."""
    scripts = await asyncio.to_thread(prepare)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM.require(), args=list(FLAGS))
        try:
            yield Surfer(browser, scripts)
        finally:
            await browser.close()
