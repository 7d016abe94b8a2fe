"""What the engine suite needs besides the port: a process to work on, and ways to disturb it, for both engines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import uuid4

import aiohttp

from bridge.adapters.camunda.engine import CamundaEngine
from bridge.adapters.memory.engine import MemoryEngine
from bridge.domain.errors import TaskGone
from bridge.domain.task import Variables
from bridge.domain.variables import encode, to_wire
from bridge.ports.engine import Engine

_PROCESS = """<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:camunda="http://camunda.org/schema/1.0/bpmn"
             id="definitions" targetNamespace="tests">
  <process id="{key}" isExecutable="true" camunda:historyTimeToLive="P1D">
    <startEvent id="start"/>
    <sequenceFlow id="to_task" sourceRef="start" targetRef="task"/>
    <serviceTask id="task" camunda:type="external" camunda:topic="{topic}" camunda:taskPriority="${{priority}}"/>
    <boundaryEvent id="caught" attachedToRef="task"><errorEventDefinition errorRef="refused"/></boundaryEvent>
    <sequenceFlow id="to_after" sourceRef="task" targetRef="after"/>
    <sequenceFlow id="to_after_error" sourceRef="caught" targetRef="after"/>
    <userTask id="after"/>
  </process>
  <error id="refused" errorCode="refused"/>
</definitions>
"""


_SCOPED = """<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:camunda="http://camunda.org/schema/1.0/bpmn"
             id="definitions" targetNamespace="tests">
  <process id="{key}" isExecutable="true" camunda:historyTimeToLive="P1D" camunda:versionTag="stable">
    <startEvent id="start"/>
    <sequenceFlow id="to_task" sourceRef="start" targetRef="task"/>
    <serviceTask id="task" camunda:type="external" camunda:topic="{topic}">
      <extensionElements>
        <camunda:properties><camunda:property name="owner" value="tests"/></camunda:properties>
        <camunda:inputOutput>{inputs}</camunda:inputOutput>
      </extensionElements>
      {loop}
    </serviceTask>
    <sequenceFlow id="to_after" sourceRef="task" targetRef="after"/>
    <userTask id="after"/>
  </process>
</definitions>
"""
_LOOP = (
    "<multiInstanceLoopCharacteristics><loopCardinality>{count}</loopCardinality></multiInstanceLoopCharacteristics>"
)

_THROWING = """<extensionElements>
  <camunda:errorEventDefinition id="thrown" errorRef="refused"
    expression="${{externalTask.errorDetails == 'boom' or always}}"/>
</extensionElements>"""


class HandClock:
    """A clock that moves only when told to."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> None:
        self._now += by


class EngineLab(Protocol):
    """An engine, and a process in which an external task is followed by a user task; it catches `refused`."""

    @property
    def engine(self) -> Engine: ...

    async def start(
        self,
        topic: str,
        variables: Variables | None = None,
        business_key: str | None = None,
        retries: int | None = None,
        priority: int = 0,
        tenant: str | None = None,
    ) -> str:
        """Start an instance that waits at an external task of `topic`; return the task's id."""
        ...

    async def start_scoped(
        self,
        topic: str,
        variables: Variables,
        inputs: Mapping[str, str],
        elements: int | None = None,
        business_key: str | None = None,
    ) -> list[str]:
        """Start an instance whose external task has input mappings; return the ids of its tasks, in order.

        `inputs` has the name of the process variable that each local one is a copy of. With `elements` the activity
        is a parallel multi-instance of so many, and the copied variable's name ends in the element's number. The
        definition's version tag is `stable`, and the activity has the extension property `owner`, which is `tests`.
        """
        ...

    async def start_throwing(self, topic: str) -> str:
        """Start an instance whose external task throws `refused` by its errorEventDefinition; return the task's id.

        It does so for a failure with the details `boom`, and where the variable `always` is true: at `complete` too.
        """
        ...

    async def expire(self, task_id: str, worker_id: str) -> None:
        """Return when the worker's lock has expired."""
        ...

    async def suspend(self, task_id: str) -> None: ...

    async def cancel(self, task_id: str) -> None:
        """Delete the task's process instance."""
        ...

    async def stored(self, process_instance_id: str) -> Variables:
        """Return the instance's variables after its external task has ended."""
        ...


class MemoryLab:
    """The engine in memory, on a clock moved by hand."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.engine = MemoryEngine(self.clock)

    async def start(
        self,
        topic: str,
        variables: Variables | None = None,
        business_key: str | None = None,
        retries: int | None = None,
        priority: int = 0,
        tenant: str | None = None,
    ) -> str:
        return self.engine.add(
            topic, variables, business_key=business_key, retries=retries, priority=priority, tenant_id=tenant
        )

    async def start_scoped(
        self,
        topic: str,
        variables: Variables,
        inputs: Mapping[str, str],
        elements: int | None = None,
        business_key: str | None = None,
    ) -> list[str]:
        numbers = [""] if elements is None else [str(number) for number in range(elements)]
        locals_ = [{name: variables[source + number] for name, source in inputs.items()} for number in numbers]
        ids = self.engine.add_each(
            topic, variables, locals_, is_multi_instance=elements is not None, business_key=business_key,
            version_tag="stable", properties={"owner": "tests"},
        )  # fmt: skip
        return list(ids)

    async def start_throwing(self, topic: str) -> str:
        return self.engine.add(
            topic,
            encode({"always": False}),
            error_when=lambda seen, details: details == "boom" or seen["always"].value,
        )

    async def expire(self, task_id: str, worker_id: str) -> None:
        await self.engine.lock(task_id, worker_id, timedelta(milliseconds=1))
        self.clock.advance(timedelta(milliseconds=2))

    async def suspend(self, task_id: str) -> None:
        self.engine.suspend(task_id)

    async def cancel(self, task_id: str) -> None:
        self.engine.cancel(task_id)

    async def stored(self, process_instance_id: str) -> Variables:
        return self.engine.variables[process_instance_id]


class CamundaLab:
    """A running Camunda; each topic gets a process of its own, which is removed in the end."""

    def __init__(self, base_url: str, session: aiohttp.ClientSession, credentials: str | None = None) -> None:
        self.engine = CamundaEngine(base_url, credentials=credentials)
        self._base_url = base_url
        self._session = session
        self._keys: dict[tuple[str, str | None], str] = {}
        self._deployments: list[str] = []

    async def close(self) -> None:
        await self.engine.close()
        for deployment in self._deployments:
            await self._ask("DELETE", f"/deployment/{deployment}?cascade=true")

    async def start(
        self,
        topic: str,
        variables: Variables | None = None,
        business_key: str | None = None,
        retries: int | None = None,
        priority: int = 0,
        tenant: str | None = None,
    ) -> str:
        key = self._keys.get((topic, tenant)) or await self._deploy(topic, tenant)
        wired = {**to_wire(variables or {}), "priority": {"type": "Long", "value": priority}}
        body = {"variables": wired, "businessKey": business_key}
        of_tenant = "" if tenant is None else f"/tenant-id/{tenant}"
        instance = await self._ask("POST", f"/process-definition/key/{key}{of_tenant}/start", body)
        (task,) = await self._ask("GET", f"/external-task?processInstanceId={instance['id']}&maxResults=2")
        if retries is not None:
            await self.engine.set_retries(task["id"], retries)
        return str(task["id"])

    async def start_scoped(
        self,
        topic: str,
        variables: Variables,
        inputs: Mapping[str, str],
        elements: int | None = None,
        business_key: str | None = None,
    ) -> list[str]:
        key = f"lab-{uuid4().hex}"
        # A typed copy: the value of a File alone would become Bytes.
        counted = "" if elements is None else ".concat(loopCounter)"
        mapped = "".join(
            f"""<camunda:inputParameter name="{name}">${{execution.getVariableTyped('{source}'{counted})}}"""
            "</camunda:inputParameter>"
            for name, source in inputs.items()
        )
        loop = "" if elements is None else _LOOP.format(count=elements)
        await self._deploy_model(key, _SCOPED.format(key=key, topic=topic, inputs=mapped, loop=loop), None)
        body = {"variables": to_wire(variables), "businessKey": business_key}
        instance = await self._ask("POST", f"/process-definition/key/{key}/start", body)
        tasks = await self._ask("GET", f"/external-task?processInstanceId={instance['id']}")
        if elements is None:
            return [str(task["id"]) for task in tasks]
        places = {
            (await self.engine.read_variables(task["executionId"]))["loopCounter"].value: task["id"] for task in tasks
        }
        return [str(places[number]) for number in range(elements)]

    async def start_throwing(self, topic: str) -> str:
        key = f"lab-{uuid4().hex}"
        model = _PROCESS.replace('camunda:taskPriority="${{priority}}"/>', f">{_THROWING}</serviceTask>")
        await self._deploy_model(key, model.format(key=key, topic=topic), None)
        body = {"variables": to_wire(encode({"always": False}))}
        instance = await self._ask("POST", f"/process-definition/key/{key}/start", body)
        (task,) = await self._ask("GET", f"/external-task?processInstanceId={instance['id']}&maxResults=2")
        return str(task["id"])

    async def expire(self, task_id: str, worker_id: str) -> None:
        await self.engine.lock(task_id, worker_id, timedelta(milliseconds=1))
        until = (await self.engine.get(task_id)).lock_until
        while until is not None and datetime.now(UTC) <= until:
            await self.engine.version()

    async def suspend(self, task_id: str) -> None:
        instance = (await self.engine.get(task_id)).process_instance_id
        await self._ask("PUT", f"/process-instance/{instance}/suspended", {"suspended": True})

    async def cancel(self, task_id: str) -> None:
        instance = (await self.engine.get(task_id)).process_instance_id
        await self._ask("DELETE", f"/process-instance/{instance}")

    async def stored(self, process_instance_id: str) -> Variables:
        return await self.engine.read_variables(process_instance_id)

    async def _deploy(self, topic: str, tenant: str | None) -> str:
        key = self._keys[topic, tenant] = f"lab-{uuid4().hex}"
        await self._deploy_model(key, _PROCESS.format(key=key, topic=topic), tenant)
        return key

    async def _deploy_model(self, key: str, model: str, tenant: str | None) -> None:
        form = aiohttp.FormData()
        form.add_field("deployment-name", key)
        if tenant is not None:
            form.add_field("tenant-id", tenant)
        form.add_field("data", model.encode(), filename=f"{key}.bpmn")
        async with self._session.post(f"{self._base_url}/deployment/create", data=form) as response:
            response.raise_for_status()
            self._deployments.append((await response.json())["id"])

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        async with self._session.request(method, f"{self._base_url}{path}", json=body) as response:
            if response.status == 404:
                raise TaskGone(path, status=404)
            response.raise_for_status()
            return await response.json() if response.status == 200 else None
