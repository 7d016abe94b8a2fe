"""The API of a running gateway, called as its OpenAPI document allows and as it forbids, with a key of each scope."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from bridge.domain.access import Scope
from tests.e2e.gateways import GatewayProcess, Lab
from tests.e2e.test_access import ADMIN, command
from tests.fuzz.examples import fuzz_seconds

_SEED: Final = "17"
_CODE: Final = '''
from pydantic import BaseModel

from bridge.topic import Fail, topic


class Input(BaseModel):
    """What the work needs."""

    fail: bool = False


class Output(BaseModel):
    """What it gives."""

    receipt: str


@topic("{topic}", retries=1)
async def work(given: Input) -> Output:
    """Fail where it is asked to."""
    if given.fail:
        raise Fail("no stock")
    return Output(receipt="R-1")
'''
_CONFIG: Final = """
[auth.openapi.key]
api_key = "{key}"

[dictionaries.tasks]
values = {tasks}

[dictionaries.topics]
values = {topics}

[parameters]
task_id = {{ dictionary = "tasks", probability = 0.6 }}
topic = {{ dictionary = "topics", probability = 0.6 }}

[generation]
with-security-parameters = false

# What a document can't tell: which topics are worked here, and which cursors are ours.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 401, 403, 404, 409, 413, 422, 429, 502, 503]

[[operations]]
include-path = "/tasks"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 404, 429, 503]

# Nor what a search is.
[[operations]]
include-path = "/tasks/search"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 422, 429, 503]

[[operations]]
include-path-regex = "^/operations(/preview)?$"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 404, 409, 422, 429, 503]
"""


@dataclass(frozen=True)
class Fuzzed:
    """A gateway with tasks that completed and that failed."""

    lab: Lab
    gateway: GatewayProcess
    topic: str
    tasks: Sequence[str]

    async def key(self, scope: Scope) -> str:
        """Make a key by the command; one that may operate is bound to the topic."""
        bound = ("--topic", self.topic) if scope is Scope.OPERATE else ()
        code, out, err = await command(self.lab, "keys", "create", "fuzz", "--scope", scope, *bound)
        assert code == 0, err
        return out.strip()


@pytest.fixture
async def fuzzed(lab: Lab) -> Fuzzed:
    topic = lab.topic("work")
    lab.write_topic("work", _CODE.replace("{topic}", topic))
    process = await lab.deploy("work", topic)
    gateway = await lab.gateway(**ADMIN, RATE_LIMIT_KEY="0", RATE_LIMIT_ADDRESS="0")
    instances = [await lab.start(process, {"fail": {"type": "Boolean", "value": at % 2 == 0}}) for at in range(4)]
    for instance in instances[::2]:
        await lab.until_incident(instance)
    await lab.until_finished(process, 2)
    failed = [(await lab.task_of(instance))["id"] for instance in instances[::2]]
    return Fuzzed(lab, gateway, topic, [*failed, *await lab.successes(process)])


async def schemathesis(folder: Path, url: str, key: str, fuzzed: Fuzzed) -> tuple[int, str]:
    """Call the API in every phase; return the exit code and what is told, with a reproducer for each fault."""
    config = folder / "schemathesis.toml"
    config.write_text(
        _CONFIG.format(key=key, tasks=json.dumps(fuzzed.tasks), topics=json.dumps([fuzzed.topic, "other"]))
    )
    seconds = fuzz_seconds()
    bounds = ["--max-time", str(math.ceil(seconds))] if seconds else ["--max-examples", "3", "--seed", _SEED]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", str(config), "run"),
        *(
            f"{url}/schema/openapi.json",
            "--checks",
            "all",
            "--generation-database",
            "none",
            "--warnings",
            "off",
            *bounds,
        ),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(errors="replace")


def faults(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the gateway's log has of errors of its own."""
    return [line for line in lines if line.get("level") in {"error", "critical"} or "exception" in line]


async def test_no_request_costs_more_than_itself(fuzzed: Fuzzed, tmp_path: Path) -> None:
    keys = [("nobody", "wag_nobody_0"), *[(scope.value, await fuzzed.key(scope)) for scope in Scope]]
    for whose, key in keys:
        code, told = await schemathesis(tmp_path, fuzzed.gateway.url, key, fuzzed)
        assert code == 0, f"with the key of {whose}: {told}"
        assert faults(fuzzed.gateway.lines) == [], f"with the key of {whose}"
        assert await fuzzed.gateway.ask("GET", "/health/live") == (200, {"status": "alive"})
