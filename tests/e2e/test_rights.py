"""An engine with authorization on: who lacks rights is told so, and the least rights are enough for the whole way."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from bridge.domain.rights import Right
from tests.e2e.gateways import ROOT, Lab
from tests.e2e.test_main_job import COUNT
from tests.guarded import GuardedEngine


@pytest.fixture
async def guarded_lab(servers: dict[str, str], guarded_engine: GuardedEngine, tmp_path: Path) -> AsyncIterator[Lab]:
    """A lab whose own hand is the admin's, and whose gateways are a user without rights."""
    name = await guarded_engine.add_user()
    login = {"CAMUNDA_URL": guarded_engine.url, "CAMUNDA_USERNAME": name, "CAMUNDA_PASSWORD": name}
    async with aiohttp.ClientSession(headers=guarded_engine.admin) as session:
        lab = Lab({**servers, **login}, tmp_path, session)
        try:
            yield lab
        finally:
            await lab.close()


@pytest.mark.own_engine
async def test_missing_rights_are_named_and_the_least_rights_complete_a_task(
    guarded_lab: Lab, guarded_engine: GuardedEngine
) -> None:
    lab, user = guarded_lab, guarded_lab.env["CAMUNDA_USERNAME"]
    topic = lab.topic("count")
    lab.write_topic("count", COUNT.format(topic=topic))
    key = await lab.deploy("count", topic)
    gateway = await lab.gateway()
    instance = await lab.start(key, {"number": {"type": "Integer", "value": 41}})
    for right in Right:
        assert "PROCESS_DEFINITION" in (await gateway.until("engine_right_missing", right=right.value))["grant"]
    status, health = await gateway.ask("GET", "/health")
    assert status == 200
    assert len(health["components"]["engine"]["warnings"]) == len(Right)
    code, said = await run_doctor(lab)
    assert code == 1
    assert said.count("grant ") == len(Right)
    assert await lab.finished(key) == 0

    await guarded_engine.grant(user, *Right, definition=key)
    await gateway.until("engine_rights_complete")
    await lab.until_finished(key, 1)
    assert (await lab.variables(instance))["next"]["value"] == 42
    successes = f"/history/external-task-log?processDefinitionKey={key}&successLog=true&maxResults=10"
    assert len(await lab.ask("GET", successes)) == 1
    _, health = await gateway.ask("GET", "/health")
    assert health["components"]["engine"]["warnings"] == []
    assert not [line for line in gateway.lines if "unbound number of results" in str(line)]


async def run_doctor(lab: Lab) -> tuple[int, str]:
    """Return the exit code and the output of `gateway doctor` with the gateways' settings."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "doctor"),
        cwd=lab.folder,
        env={**os.environ, **lab.env, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()
