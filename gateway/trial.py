"""One run of a topic's handler by hand, as a worker runs it, with no server: for `gateway topics run`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, assert_never

from bridge.adapters.logging.journal import StructlogJournal, task_log
from bridge.domain.errors import SetupError, VariableError
from bridge.domain.task import BpmnFault, Completion, Failure, Outcome, State, Task, Variables
from bridge.domain.topic import Topic
from bridge.domain.variables import parse_submitted
from bridge.flow.handle.run import Run
from bridge.flow.handle.threads import Threads
from bridge.flow.scope import fetched_variables
from bridge.testing import MemoryFiles, MemoryRecords, make_context
from gateway.settings import Settings

TASK_ID = "by-hand"


def read_variables(file: Path) -> Variables:
    """Read a task's variables from JSON: an object of plain values, or of Camunda's typed ones, as a submission's.

    Raises `SetupError` for a file that can't be read, or has something else.
    """
    try:
        found = json.loads(file.read_text("utf-8"))
        if isinstance(found, dict):
            return parse_submitted(found)
    except (OSError, ValueError, VariableError) as error:
        raise SetupError(f"{file} can't be read: {error}") from error
    raise SetupError(f'{file} is no JSON object: name each variable, as in {{"order_id": "A-17"}}')


def unfetched(topic: Topic[Any, Any], variables: Variables) -> list[str]:
    """Return the names of variables that a fetch of the topic's tasks does not bring."""
    wanted = fetched_variables(topic)
    return [] if wanted is None else sorted(set(variables) - set(wanted))


async def run_topic(
    topic: Topic[Any, Any], variables: Variables, settings: Settings, journal: StructlogJournal, *, attempt: int = 1
) -> Outcome:
    """Run the handler once on those of the variables that a fetch brings; return what the engine would be told.

    Records are kept for this run alone, and no file can be read. `attempt` counts from 1.
    """
    missing = unfetched(topic, variables)
    given = {name: value for name, value in variables.items() if name not in missing}
    retries = topic.retry_limit(settings.task_retry_limit)
    now = datetime.now(UTC)
    task = Task(
        TASK_ID, topic.name, TASK_ID, now + settings.lock, now, now, max(retries - attempt + 1, 0),
        state=State.RUNNING, variables=given, attempts=attempt,
    )  # fmt: skip
    context = make_context(
        task_id=task.id, topic=topic.name, attempt=attempt, retries_left=task.retries, created_at=now,
        log=task_log(journal, task, secrets=topic.secrets),
        put_once=MemoryRecords().put_once, read_file=MemoryFiles().read_file,
    )  # fmt: skip
    delays = [timedelta(seconds=seconds) for seconds in (settings.retry_delay, settings.retry_delay_max)]
    run = Run(
        timeout=timedelta(seconds=settings.task_timeout),
        first_delay=delays[0],
        most_delay=delays[1],
        threads=Threads(journal),
        engine_format=settings.engine_format,
    )
    try:
        async with run.slot(topic) as slot:
            return await run.run(topic, task, context, slot)
    finally:
        run.close()


def told(outcome: Outcome) -> Iterator[str]:
    """Say in lines what the engine would be told."""
    match outcome:
        case Completion():
            yield "completed"
            yield from _listed(outcome.variables)
        case BpmnFault():
            yield f"BPMN error {outcome.code}: {outcome.message}".rstrip(": ")
            yield from _listed(outcome.variables)
        case Failure():
            again = f"tried again after {outcome.retry_after.total_seconds():.0f} s; retries left: {outcome.retries}"
            yield f"failed: {outcome.message}"
            yield again if outcome.retries else "an incident: no retries are left"
            yield outcome.details.rstrip()
        case _:
            assert_never(outcome)


def _listed(variables: Mapping[str, Any]) -> Iterator[str]:
    for name, value in variables.items():
        scope = " (local)" if value.local else ""
        yield f"    {name}: {value.type} = {json.dumps(value.value, ensure_ascii=False)}{scope}"
