"""Reads how the instances of one run stand, from the engine's history alone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial

from sandbox.demo.checks import Observed
from sandbox.demo.definitions import DEFINITIONS, Definition
from sandbox.demo.engine import EngineApi, Instance
from sandbox.demo.together import together

_AT_ONCE = 16
_OVER = frozenset({"COMPLETED", "EXTERNALLY_TERMINATED", "INTERNALLY_TERMINATED"})


@dataclass(frozen=True, slots=True)
class InstanceCounts:
    """How many instances of a process came where; `ended` counts those of `errors` too."""

    started: int = 0
    ended: int = 0
    errors: int = 0
    incidents: int = 0

    @property
    def completed(self) -> int:
        """Ended by the success of their task."""
        return self.ended - self.errors

    @property
    def settled(self) -> int:
        """Where nothing more happens by itself: ended, or standing with an incident."""
        return self.ended + self.incidents

    @property
    def waiting(self) -> int:
        """Running without an incident."""
        return self.started - self.settled


async def count_instances(engine: EngineApi, business_keys: str, definition: Definition) -> InstanceCounts:
    """Count the run's instances of one process."""

    async def count(**filters: str) -> int:
        return await engine.count(business_keys, processDefinitionKey=definition.key, **filters)

    # One after the other, the part before the whole: else an instance that ends in between makes a count negative.
    errors = await count(executedActivityIdIn=definition.error_end)
    incidents = await count(incidentStatus="open")
    ended = await count(finished="true")
    return InstanceCounts(await count(), ended, errors, incidents)


async def observe(engine: EngineApi, business_keys: str) -> list[Observed]:
    """Return every instance of the run with all that the checks ask about."""
    ends = await _ends(engine, business_keys)
    instances = [instance async for instance in engine.instances(business_keys)]

    async def one(instance: Instance) -> Observed:
        log = await engine.task_log(instance.id)
        incidents = await engine.incidents(instance.id) if instance.state not in _OVER else ()
        return Observed(instance, tuple(ends.get(instance.id, ())), incidents, log)

    return await together([partial(one, instance) for instance in instances], _AT_ONCE)


async def _ends(engine: EngineApi, business_keys: str) -> dict[str, list[str]]:
    ends: dict[str, list[str]] = defaultdict(list)
    for definition in DEFINITIONS:
        for end in sorted({*definition.ends, definition.error_end}):
            query = {"processDefinitionKey": definition.key, "executedActivityIdIn": end}
            async for instance in engine.instances(business_keys, **query):
                ends[instance.id].append(end)
    return ends
