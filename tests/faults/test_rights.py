"""A user who lacks READ_HISTORY and nothing else: every history is empty to them, which proves nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from bridge.domain.rights import Right
from bridge.domain.task import State
from tests.e2e.test_bulk import ADMIN, operator
from tests.faults.lab import FaultLab, FaultyGateway
from tests.faults.proxy import Proxy
from tests.guarded import GuardedEngine

WITHOUT_HISTORY = frozenset(Right) - {Right.HISTORY}
both = pytest.mark.parametrize("rights", [WITHOUT_HISTORY, frozenset(Right)], ids=["without history", "with history"])


@pytest.fixture
async def guarded_faults(
    servers: dict[str, str], guarded_engine: GuardedEngine, tmp_path: Path
) -> AsyncIterator[FaultLab]:
    """A lab whose own hand is the admin's, and whose gateways are a user without rights."""
    name = await guarded_engine.add_user()
    login = {"CAMUNDA_URL": guarded_engine.url, "CAMUNDA_USERNAME": name, "CAMUNDA_PASSWORD": name}
    async with aiohttp.ClientSession(headers=guarded_engine.admin) as session:
        lab = FaultLab({**servers, **login, **ADMIN}, tmp_path, session)
        await lab.open()
        try:
            yield lab
        finally:
            await lab.close()


async def successes(lab: FaultLab, key: str) -> int:
    """Count the completions in the engine's log, which its admin may read."""
    query = f"processDefinitionKey={key}&successLog=true"
    return int((await lab.ask("GET", f"/history/external-task-log/count?{query}"))["count"])


async def assert_untold(gateway: FaultyGateway, task_id: str) -> None:
    """Assert that what is missing is named, and that the task's page says why its end can't be told."""
    await gateway.until("engine_right_missing", right=Right.HISTORY.value)
    assert {line["right"] for line in gateway.events("engine_right_missing")} == {Right.HISTORY.value}
    async with operator(gateway) as visitor:
        page = await visitor.get(f"/dashboard/tasks/{task_id}")
    assert "can&#39;t be told" in page
    assert "READ_HISTORY" in page


@both
async def test_a_completion_whose_answer_is_lost_is_told_by_a_history_that_may_be_read(
    guarded_faults: FaultLab, guarded_engine: GuardedEngine, rights: frozenset[Right]
) -> None:
    lab = guarded_faults
    key = await lab.counted()
    await guarded_engine.grant(lab.env["CAMUNDA_USERNAME"], *rights, definition=key)
    async with Proxy(guarded_engine.url) as proxy:
        fault = proxy.drop_answer("/complete")
        gateway = await lab.faulty(CAMUNDA_URL=proxy.url)
        task_id = await lab.first_task_of(await lab.start(key))
        await gateway.until("outcome_settled", task_id=task_id, how="defer")
        assert fault.swallowed > 0
        untold = rights == WITHOUT_HISTORY
        kept = await lab.until_kept(task_id, State.UNKNOWN if untold else State.COMPLETED)
        assert len(lab.runs()) == 1
        assert await successes(lab, key) == 1, "the engine has what the gateway can't see"
        if untold:
            assert "READ_HISTORY" in (kept.error or "")
            await assert_untold(gateway, task_id)
        assert await gateway.stop() == 0


@both
async def test_an_instance_that_is_deleted_under_an_outcome_is_cancelled_only_where_its_history_says_so(
    guarded_faults: FaultLab, guarded_engine: GuardedEngine, rights: frozenset[Right]
) -> None:
    lab = guarded_faults
    key = await lab.counted(gated=True)
    await guarded_engine.grant(lab.env["CAMUNDA_USERNAME"], *rights, definition=key)
    gateway = await lab.faulty(LOCK_DURATION="600", CLAIM_DURATION="60")
    instance = await lab.start(key)
    (visit,) = await lab.gate.until(1)
    task_id = visit.run.task_id
    # No lock is renewed so soon: the first to find the task gone is the handler's outcome.
    await lab.cancel(instance)
    await visit.let_go()
    untold = rights == WITHOUT_HISTORY
    kept = await lab.until_kept(task_id, State.UNKNOWN if untold else State.CANCELLED)
    assert await successes(lab, key) == 0
    if untold:
        assert "READ_HISTORY" in (kept.error or "")
        await assert_untold(gateway, task_id)
    assert await gateway.stop() == 0
