"""A handler that misbehaves while thirty others share its writes hurts itself alone, on real servers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest

from bridge.domain.task import State
from tests.faults.lab import FaultLab

OTHERS = 30
CULPRIT = 404
RETRIES = 3


@dataclass(frozen=True, slots=True)
class Bad:
    """What the handler does, how its task ends, and how often it runs until then."""

    deed: str
    state: State
    runs: int


BAD = {
    "a code that is a number": Bad("raise BpmnError(404)", State.COMPLETED, 1),
    "a code that is changed to a number": Bad(
        "error = BpmnError('R'); error.code = 404; raise error", State.COMPLETED, 1
    ),
    "a result that no variable holds": Bad("return {'n': object()}", State.FAILED, 1),
    "a result that no document holds": Bad("return {'n': 'x' * 17_000_000}", State.FAILED, 1),
    "an exit": Bad("raise SystemExit(1)", State.FAILED, 1 + RETRIES),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_of_thirty_one_handlers_that_end_at_once_one_misbehaves(faults: FaultLab, bad: Bad) -> None:
    body = f"    from bridge.topic import BpmnError\n    if given.number == {CULPRIT}:\n        {bad.deed}\n"
    key = await faults.counted(gated=True, concurrency=OTHERS + 1, body=body)
    gateway = await faults.faulty()
    tasks = await faults.begin(key, OTHERS)
    culprit = await faults.first_task_of(await faults.start_with(key, number={"type": "Integer", "value": CULPRIT}))
    await faults.gate.until(OTHERS + 1)
    await faults.gate.open()
    await faults.until_kept(culprit, bad.state)
    for task_id in tasks:
        await faults.until_kept(task_id, State.COMPLETED)
    assert Counter(run.task_id for run in faults.runs()) == {**dict.fromkeys(tasks, 1), culprit: bad.runs}
    assert Counter(await faults.successes(key)) == Counter(tasks)
    assert await faults.count(f"processDefinitionKey={key}") == (bad.state is State.FAILED)
    assert [(await faults.kept(task_id)).lost_claims for task_id in (*tasks, culprit)] == [0] * (OTHERS + 1)
    assert await gateway.stop() == 0
