"""Bulk work on real servers by the pages alone: exact before, honest meanwhile, true in the end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp

from tests.e2e.gateways import TIME_LIMIT, GatewayProcess, Lab
from tests.pause import pause

PASSWORD = "canary horse battery"
ADMIN = {"GATEWAY_ADMIN_USER": "root", "GATEWAY_ADMIN_PASSWORD": PASSWORD, "INSECURE_COOKIES": "true"}
OPERATIONS = "/dashboard/operations"
SUM = ("total", "requeued", "skipped", "failed", "pending")
FRAGILE = """
from pathlib import Path
from pydantic import BaseModel
from bridge.topic import topic, Fail

class Input(BaseModel):
    number: int

@topic("{topic}")
async def fragile(given: Input) -> None:
    if not Path("{mended}").exists():
        raise Fail("out of order")
"""


class Operator:
    """Somebody at the dashboard whose browser knows no JavaScript."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def get(self, path: str) -> str:
        async with self._session.get(self._url + path) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.text()

    async def post(self, path: str, fields: Mapping[str, str]) -> tuple[str, str]:
        """Send a form; return where that led to, and what is there."""
        async with self._session.post(self._url + path, data=fields) as answer:
            assert answer.status == 200, await answer.text()
            return answer.url.path, await answer.text()

    async def preview(self, query: str) -> dict[str, str]:
        """Return the fields of the form that starts it."""
        html = await self.get(f"{OPERATIONS}/preview?q={query}")
        found = re.search(rf'<form[^>]*action="{OPERATIONS}".*?</form>', html, re.S)
        assert found is not None, html
        return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', found[0]))

    async def sums(self, path: str) -> dict[str, int]:
        """Return what the operation's page counts; it always adds up."""
        html = await self.get(path)
        found = {name: int(text) for name, text in re.findall(r'<dd id="(\w+)">(\d+)</dd>', html)}
        assert list(found) == list(SUM)
        assert found["total"] == sum(found[name] for name in SUM[1:])
        return found


@asynccontextmanager
async def operator(gateway: GatewayProcess) -> AsyncIterator[Operator]:
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, headers={"Origin": gateway.url}) as session:
        found = Operator(session, gateway.url)
        await found.post("/dashboard/login", {"name": "root", "password": PASSWORD})
        yield found


async def broken(lab: Lab, count: int) -> tuple[GatewayProcess, str, str]:
    """Start a gateway, and have so many tasks fail; return it, the process and the topic."""
    topic = lab.topic("fragile")
    lab.write_topic("fragile", FRAGILE.format(topic=topic, mended=lab.folder / "mended"))
    key = await lab.deploy("fragile", topic)
    gateway = await lab.gateway("serve", **ADMIN)
    await lab.start_many(key, count)
    async with asyncio.timeout(TIME_LIMIT):
        while (await gateway.ask("GET", "/tasks/statistics"))[1]["by_status"].get("failed") != count:
            await pause()
    return gateway, key, topic


async def incidents(lab: Lab, key: str) -> int:
    return int((await lab.ask("GET", f"/incident/count?processDefinitionKeyIn={key}"))["count"])


async def test_many_are_retried_by_one_operation_and_each_is_told(lab: Lab) -> None:
    gateway, key, topic = await broken(lab, 120)
    (lab.folder / "mended").touch()
    async with operator(gateway) as visitor:
        form = await visitor.preview(f"state:failed+topic:{topic}")
        assert form["expected"] == "120"
        form |= {"reason": "mended", "rate": "20", "typed": "120"}
        path, _ = await visitor.post(OPERATIONS, form)
        assert (await visitor.post(OPERATIONS, form))[0] == path
        # The last one in line goes on by itself before its turn.
        html = await visitor.get(f"{path}?after=118")
        (early,) = re.findall(r"/dashboard/tasks/([\w-]+)", html)[:1]
        status, _ = await gateway.ask("POST", f"/tasks/{early}/retry")
        assert status == 202
        async with asyncio.timeout(TIME_LIMIT):
            while "119 completed" not in (html := await visitor.get(path)):
                assert (await visitor.sums(path))["total"] == 120
        sums = await visitor.sums(path)
        assert (sums["requeued"], sums["skipped"], sums["failed"], sums["pending"]) == (119, 1, 0, 0)
        assert "0 awaiting outcome" in html
        skipped = await visitor.get(f"{path}?result=skipped")
        assert early in skipped
        assert re.search(r"it was failed and is \w+ now|it can&#39;t be tried again|it was fetched again", skipped)
        listed = await visitor.get(OPERATIONS)
        assert listed.count('id="operation-') == 1
        audit = await visitor.get("/dashboard/audit?action=operation.start")
        assert audit.count('id="entry-') == 1
    await lab.until_finished(key, 120)
    assert len(await lab.successes(key)) == len(set(await lab.successes(key))) == 120
    assert await incidents(lab, key) == 0


async def test_one_that_is_cancelled_leaves_the_rest_as_it_is(lab: Lab) -> None:
    gateway, key, topic = await broken(lab, 40)
    (lab.folder / "mended").touch()
    async with operator(gateway) as visitor:
        form = await visitor.preview(f"state:failed+topic:{topic}")
        path, _ = await visitor.post(OPERATIONS, form | {"reason": "mended", "rate": "4"})
        token = {"csrf_token": form["csrf_token"], "reason": "enough"}
        async with asyncio.timeout(TIME_LIMIT):
            while not (await visitor.sums(path))["requeued"]:
                await pause()
        _, html = await visitor.post(f"{path}/cancel", token)
        assert "Cancelled" in html
        async with asyncio.timeout(TIME_LIMIT):
            while re.search(r"\b0 awaiting outcome", await visitor.get(path)) is None:
                await pause()
        sums = await visitor.sums(path)
        assert sums["pending"] > 0
        assert sums["requeued"] + sums["pending"] == 40
        await lab.until_finished(key, sums["requeued"])
        assert await incidents(lab, key) == sums["pending"]
        _, html = await visitor.post(f"{path}/resume", token)
        assert "It is no longer paused." in html
        assert await visitor.sums(path) == sums
