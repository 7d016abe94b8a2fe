"""`gateway dev`: a file changes and the new handler answers; a file with an error is told, and mended."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.e2e.gateways import ROOT, TIME_LIMIT, GatewayProcess, Lab
from tests.pause import pause

PASSWORD = "correct horse battery staple"
LOGIN = {"GATEWAY_ADMIN_USER": "ada", "GATEWAY_ADMIN_PASSWORD": PASSWORD, "INSECURE_COOKIES": "true"}
PAGES = (
    "",
    "/tasks",
    "/topics",
    "/failures",
    "/operations",
    "/workers",
    "/audit",
    "/settings/people",
    "/settings/keys",
)
ANSWER = """
from pydantic import BaseModel
from bridge.topic import topic

class Input(BaseModel):
    text: str

@topic("{topic}")
async def work(given: Input) -> dict[str, int]:
    return {{"answer": {answer}}}
"""


async def run(folder: Path, *command: str) -> str:
    """Run `python -m` in the folder; return what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command, cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": ""},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(TIME_LIMIT):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@asynccontextmanager
async def developing(folder: Path, *arguments: str, **env: str) -> AsyncIterator[GatewayProcess]:
    gateway = GatewayProcess({"LOG_FORMAT": "json", **env}, folder, ("dev", *arguments))
    await gateway.start()
    try:
        yield gateway
    finally:
        code = await gateway.stop()
        gateway.tell()
    assert code == 0


async def told(gateway: GatewayProcess, text: str) -> None:
    """Wait for a line of `gateway dev` with the text."""
    async with asyncio.timeout(TIME_LIMIT):
        while not any(text in line["event"] for line in gateway.lines):
            await pause()


async def open_pages(gateway: GatewayProcess) -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, headers={"Origin": gateway.url}) as session:
        login = f"{gateway.url}/dashboard/login"
        async with session.get(login) as answer:
            fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', await answer.text()))
        async with session.post(login, data={**fields, "name": "ada", "password": PASSWORD}) as answer:
            assert answer.url.path == "/dashboard", await answer.text()
        for page in PAGES:
            async with session.get(f"{gateway.url}/dashboard{page}") as answer:
                assert (page, answer.status) == (page, 200)


async def test_a_new_repository_is_tried_without_a_server(tmp_path: Path) -> None:
    await run(tmp_path, "gateway", "init", "my-topics")
    root = tmp_path / "my-topics"
    (root / "task.json").write_text('{"text": "three short words"}')
    topic = root / "my_topics" / "count_words.py"
    written = topic.read_text()
    async with developing(root, "--memory", **LOGIN) as gateway:
        await told(gateway, "Nothing is kept")
        ask = ("gateway", "dev", "task", "count_words", "--variables", "task.json", "--port", str(gateway.port))
        assert await run(root, *ask) == "completed\n    words: Integer = 3\n"
        gateway.lines.clear()
        topic.write_text(written.replace("words=words)", "words=words + 100)"))
        await gateway.until("started")
        assert await run(root, *ask) == "completed\n    words: Integer = 103\n"
        status, kept = await gateway.ask("GET", "/tasks")
        assert (status, [task["status"] for task in kept["tasks"]]) == (200, ["completed", "completed"])
        await open_pages(gateway)


async def test_a_file_with_an_error_is_told_and_mended(lab: Lab) -> None:
    topic = lab.topic("answer")
    lab.write_topic("answer", ANSWER.format(topic=topic, answer=1))
    key = await lab.deploy("answer", topic)
    text = {"text": {"type": "String", "value": "x"}}
    async with developing(lab.folder, **lab.env) as gateway:
        lab.write_topic("answer", "x = (1,\n")
        await told(gateway, "goes on with the topics as they were")
        await told(gateway, "answer.py, line 1:")
        first = await lab.start(key, text)
        await lab.until_finished(key, 1)
        assert (await lab.variables(first))["answer"]["value"] == 1
        gateway.lines.clear()
        lab.write_topic("answer", ANSWER.format(topic=topic, answer=2))
        await gateway.until("started")
        second = await lab.start(key, text)
        await lab.until_finished(key, 2)
        assert (await lab.variables(second))["answer"]["value"] == 2
        assert (await gateway.ask("POST", "/dev/tasks", {}))[0] in {404, 405}
