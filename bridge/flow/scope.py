"""The variables of a task: which to fetch, and the scope in which a handler reads them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from bridge.domain.inputs import refuses_others
from bridge.domain.task import Task, Variables
from bridge.domain.topic import Context, Log, Topic
from bridge.domain.trace_context import VARIABLE
from bridge.ports.engine import Engine, TopicPoll
from bridge.ports.store import Records


def fetched_variables(topic: Topic[Any, Any]) -> tuple[str, ...] | None:
    """Return the variables to ask the engine for: the topic's, and the one with the trace context; None for all."""
    if topic.variables is None or refuses_others(topic.input):
        return topic.variables
    return tuple(dict.fromkeys((*topic.variables, VARIABLE)))


def topic_poll(topic: Topic[Any, Any], lock: timedelta) -> TopicPoll:
    """Return what a fetch asks for: locks of that duration on the tasks that the topic wants, with their variables."""
    return TopicPoll(
        topic.name,
        lock,
        fetched_variables(topic),
        topic.process_definition_keys,
        topic.tenant_ids,
        local_variables=topic.local_variables,
        include_extension_properties=topic.include_extension_properties,
        business_key=topic.business_key,
        process_variables=topic.process_variables,
        process_definition_ids=topic.process_definition_ids,
        process_definition_version_tag=topic.process_definition_version_tag,
        without_tenant_id=topic.without_tenant_id,
    )


async def read_inputs(engine: Engine, topic: Topic[Any, Any], execution_id: str) -> Variables:
    """Return what a fetch of the topic's task would have brought. Raises as `ports.engine.Engine.read_variables`."""
    seen = await engine.read_variables(execution_id, local=topic.local_variables)
    wanted = fetched_variables(topic)
    return seen if wanted is None else {name: value for name, value in seen.items() if name in wanted}


def context_of(task: Task, *, engine: Engine, records: Records, log: Log) -> Context:
    """Return the context of a task's handler, whose files are read where the task sees its variables."""

    async def read_file(variable: str) -> bytes:
        return await engine.read_file(task.scope, variable)

    return Context(
        task_id=task.id,
        topic=task.topic,
        attempt=task.attempts,
        idempotency_key=task.id,
        business_key=task.business_key,
        process_instance_id=task.process_instance_id,
        tenant_id=task.tenant_id,
        log=log,
        put_once=records.put_once,
        read_file=read_file,
        activity_id=task.activity_id,
        process_definition_key=task.process_definition_key,
        process_definition_id=task.process_definition_id,
        execution_id=task.execution_id,
        priority=task.priority,
        retries_left=task.retries,
        created_at=task.engine_created_at,
        properties=task.properties or {},
    )
