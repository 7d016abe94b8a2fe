"""The commands on a gateway that runs: what failed is found, retried one by one and all together, and exported."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from bridge.domain.access import Scope
from tests.e2e.gateways import ROOT, TIME_LIMIT, Lab
from tests.e2e.test_access import ADMIN, command
from tests.e2e.test_bulk import FRAGILE
from tests.pause import pause


async def test_failed_tasks_are_found_and_retried_by_commands(lab: Lab) -> None:
    topic = lab.topic("fragile")
    lab.write_topic("fragile", FRAGILE.format(topic=topic, mended=lab.folder / "mended"))
    process = await lab.deploy("fragile", topic)
    gateway = await lab.gateway("serve", **ADMIN)
    scopes = ("--scope", Scope.READ, "--scope", Scope.OPERATE, "--topic", topic)
    code, key, err = await command(lab, "keys", "create", "cli", *scopes)
    assert code == 0, err
    env = {**os.environ, "PYTHONPATH": str(ROOT), "GATEWAY_URL": gateway.url, "GATEWAY_KEY": key.strip()}

    async def run(*arguments: str, code: int = 0, **more: str) -> str:
        running = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", *arguments),
            cwd=lab.folder,
            env={**env, **more},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, told = await running.communicate()
        assert running.returncode == code, told.decode()
        return (out if code == 0 else told).decode()

    await lab.start_many(process, 5)
    query = f"state:failed topic:{topic}"
    async with asyncio.timeout(TIME_LIMIT):
        while len(json.loads(await run("tasks", "list", query, "--json"))["tasks"]) < 5:
            await pause()
    async with asyncio.timeout(TIME_LIMIT):  # statistics are written every two seconds
        while sum(one["count"] for one in json.loads(await run("failures", "list", "--json"))["failures"]) < 5:
            await pause()
    (group,) = json.loads(await run("failures", "list", "--json"))["failures"]
    assert (group["topic"], group["error"], group["count"]) == (topic, "Fail", 5)
    lines = (await run("tasks", "export", f"fp:{group['fp']}")).splitlines()
    first, *_ = [json.loads(line)["task_id"] for line in lines]
    assert len(lines) == 5
    assert "out of order" in await run("tasks", "show", first)

    assert "query.unknown_field" in await run("tasks", "list", "staet:failed", code=2)
    assert "not known" in await run("tasks", "list", code=4, GATEWAY_KEY="wag_abcdefghijkm_" + "0" * 64)
    assert "task.not_kept" in await run("tasks", "show", "nothing", code=3)

    (lab.folder / "mended").touch()
    await run("tasks", "retry", first)
    await lab.until_finished(process, 1)
    assert "operation.changed" in await run("operations", "start", query, "--reason", "x", "--expected", "5", code=5)
    started = json.loads(await run("operations", "start", query, "--reason", "mended", "--expected", "4", "--json"))
    await lab.until_finished(process, 5)
    async with asyncio.timeout(TIME_LIMIT):
        while (told := json.loads(await run("operations", "show", started["id"], "--items", "--json")))[
            "state"
        ] != "done":
            await pause()
    assert [item["result"] for item in told["items"]] == ["requeued"] * 4
    assert started["id"] in await run("operations", "list")
