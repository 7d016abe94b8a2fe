"""The demo's processes and its reading of the history, on the real engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from uuid import uuid4

import aiohttp
import pytest

from sandbox.demo.checks import find_mismatches
from sandbox.demo.definitions import DEFINITIONS, PUBLICACOES, SAUDACAO, Definition
from sandbox.demo.engine import EngineApi, Instance, LogKind
from sandbox.demo.errors import EngineRefused, EngineUnreachable
from sandbox.demo.history import InstanceCounts, count_instances, observe
from sandbox.demo.run import start
from sandbox.demo.samples import Sample, business_keys, samples

WORKER = "demo-test"


class Lab:
    """A deployed demo, a run of its own, and a worker's hand on its tasks."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, url
        self.engine = EngineApi(session, url)
        self.run = f"demo-{uuid4().hex[:8]}"
        self.keys = business_keys(self.run)
        self.samples = samples(10, 7, self.run)

    async def ask(self, method: str, path: str, body: object = None) -> object:
        async with self.session.request(method, f"{self.url}{path}", json=body) as response:
            response.raise_for_status()
            return await response.json() if response.status == 200 else None

    async def act(self, instance: str, action: str, **body: object) -> None:
        async with self.session.get(f"{self.url}/external-task?processInstanceId={instance}") as response:
            (task,) = await response.json()
        path = f"/external-task/{task['id']}"
        await self.ask("POST", f"{path}/lock", {"workerId": WORKER, "lockDuration": 60_000})
        await self.ask("POST", f"{path}/{action}", {"workerId": WORKER, **body})

    def of(self, definition: Definition) -> list[Sample]:
        return [sample for sample in self.samples if sample.definition is definition]


@pytest.fixture
async def lab(servers: dict[str, str]) -> AsyncIterator[Lab]:
    async with aiohttp.ClientSession() as session:
        here = Lab(session, servers["CAMUNDA_URL"])
        deployment = await here.engine.deploy(definition.file for definition in DEFINITIONS)
        yield here
        await here.ask("DELETE", f"/deployment/{deployment}?cascade=true")


async def instances(lab: Lab) -> dict[str, Instance]:
    return {instance.business_key: instance async for instance in lab.engine.instances(lab.keys)}


async def test_to_deploy_again_changes_nothing(lab: Lab) -> None:
    first = await lab.engine.deploy(definition.file for definition in DEFINITIONS)
    assert await lab.engine.deploy(definition.file for definition in DEFINITIONS) == first


async def test_instances_wait_at_their_external_tasks(lab: Lab) -> None:
    ids = await start(lab.engine, lab.samples, 4)
    assert len(set(ids)) == 10
    assert set(await instances(lab)) == {sample.business_key for sample in lab.samples}
    for definition in DEFINITIONS:
        assert await count_instances(lab.engine, lab.keys, definition) == InstanceCounts(started=5)
        waiting = {"processDefinitionKey": definition.key, "activeActivityIdIn": definition.task}
        assert await lab.engine.count(lab.keys, **waiting) == 5
        async with lab.session.get(f"{lab.url}/external-task?processDefinitionKey={definition.key}") as response:
            tasks = [task for task in await response.json() if task["processInstanceId"] in ids]
        assert Counter(task["topicName"] for task in tasks) == {definition.topic: 5}


async def test_another_run_is_not_counted(lab: Lab) -> None:
    await start(lab.engine, samples(2, 7, f"demo-{uuid4().hex[:8]}"), 2)
    assert await count_instances(lab.engine, lab.keys, SAUDACAO) == InstanceCounts()
    assert await observe(lab.engine, lab.keys) == []


async def test_each_way_to_end_is_read_from_the_history(lab: Lab) -> None:
    good, retried, missing, _, _ = await start(lab.engine, lab.of(SAUDACAO), 1)
    new, known, again, sealed, misread = await start(lab.engine, lab.of(PUBLICACOES), 1)
    await lab.act(good, "complete")
    await lab.act(retried, "failure", errorMessage="not yet", retries=3, retryTimeout=0)
    await lab.act(retried, "complete")
    await lab.act(missing, "bpmnError", errorCode="NAME_MISSING", errorMessage="no name")
    for instance, nova in ((new, True), (known, True), (again, False)):
        await lab.act(instance, "complete", variables={"nova": {"type": "Boolean", "value": nova}})
    await lab.act(sealed, "bpmnError", errorCode="PUBLICACAO_SIGILOSA", errorMessage="segredo de justiça")
    await lab.act(misread, "failure", errorMessage="dígitos", retries=0, retryTimeout=0)

    seen = {each.instance.id: each for each in await observe(lab.engine, lab.keys)}
    assert {each: seen[each].ends for each in (good, retried, missing, new, known, again, sealed, misread)} == {
        good: ("saudado",),
        retried: ("saudado",),
        missing: ("sem_nome",),
        new: ("registrada",),
        known: ("registrada",),
        again: ("ja_conhecida",),
        sealed: ("sigilosa",),
        misread: (),
    }
    assert (seen[misread].instance.state, seen[misread].incidents) == ("ACTIVE", ("registrar",))
    assert [entry.kind for entry in seen[retried].log] == [LogKind.CREATION, LogKind.FAILURE, LogKind.SUCCESS]
    assert await count_instances(lab.engine, lab.keys, PUBLICACOES) == InstanceCounts(
        started=5, ended=4, errors=1, incidents=1
    )
    # what nobody worked on is all that is wrong
    idle = {sample.business_key for sample in lab.of(SAUDACAO)[3:]}
    assert {each.business_key for each in find_mismatches(lab.samples, seen.values())} == idle


async def test_a_refusal_says_what_was_asked(lab: Lab) -> None:
    with pytest.raises(EngineRefused, match="POST /process-definition/key/no_such/start"):
        await lab.engine.start("no_such", "key", {})


async def test_an_engine_that_does_not_answer_is_told_from_one_that_refuses() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(EngineUnreachable, match="CAMUNDA_URL"):
            await EngineApi(session, "http://127.0.0.1:1/engine-rest").count("x")
