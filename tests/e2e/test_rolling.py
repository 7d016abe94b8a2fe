"""Two versions roll: an older and a newer gateway work side by side on one store; one that is too old ends."""

from __future__ import annotations

import pytest

from bridge.domain.schema import SCHEMA
from tests.e2e.gateways import GatewayProcess, Lab
from tests.e2e.test_main_job import COUNT

TASKS = 20


class NewerGateway(GatewayProcess):
    """A gateway of a newer schema."""

    module = "tests.e2e.newer"


async def newer(lab: Lab, schema: int, least: int) -> NewerGateway:
    """Start a gateway of a schema; it is ended with the lab."""
    env = {**lab.env, "SCHEMA": str(schema), "LEAST": str(least)}
    made = NewerGateway(env, lab.folder, ("serve",))
    lab.gateways.append(made)
    await made.start()
    return made


async def test_a_rolling_upgrade_loses_nothing_and_a_gateway_that_is_too_old_is_refused(lab: Lab) -> None:
    topic = lab.topic("count")
    lab.write_topic("count", COUNT.format(topic=topic))
    key = await lab.deploy("count", topic)
    older = await lab.gateway()
    next_one = await newer(lab, SCHEMA + 1, SCHEMA)
    for _ in range(TASKS):
        await lab.start(key, {"number": {"type": "Integer", "value": 41}})
    await lab.until_finished(key, TASKS)
    assert not [line for gateway in (older, next_one) for line in gateway.lines if line["event"] == "schema_refused"]
    await next_one.stop()
    await newer(lab, SCHEMA + 2, SCHEMA + 1)
    refused = await older.until("schema_refused")
    assert f"has {SCHEMA}: start a newer version" in refused["error"]
    await older.until("stopped")
    assert await older.stop() == 2
    late = GatewayProcess(lab.env, lab.folder)
    lab.gateways.append(late)
    with pytest.raises(AssertionError, match="start a newer version"):
        await late.start()
    for _ in range(TASKS):
        await lab.start(key, {"number": {"type": "Integer", "value": 41}})
    await lab.until_finished(key, 2 * TASKS)
