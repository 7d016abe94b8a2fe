"""The readiness of a process, by the state of its parts and loops."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bridge.domain.errors import EngineError
from bridge.operations.health import Purpose, Readiness
from bridge.runtime.loop import Loop
from gateway.settings import Role
from gateway.wiring import Gateway

_FAILING: Final = 2
"""A loop that has failed more often in a row makes the process not ready."""
_ROLES: Final[Mapping[Purpose, Role]] = {
    Purpose.HTTP: Role.WEB,
    Purpose.INTAKE: Role.INTAKE,
    Purpose.WORK: Role.WORK,
}
_NOT_FOR_HTTP: Final = frozenset({"rabbitmq", "consumers"})
"""Steps that are connected last. Submissions are stored without RabbitMQ: the store is the outbox."""
_LOOPS: Final[Mapping[Purpose, frozenset[str]]] = {
    Purpose.HTTP: frozenset({"heartbeat"}),
    Purpose.INTAKE: frozenset({"heartbeat", "reconcile", "poll"}),
    Purpose.WORK: frozenset({"heartbeat", "renew", "consumers"}),
}


class ReadinessCheck:
    """Computes whether a process is ready. Its start fills `missing`, `attached` and `loops`.

    `missing` has the step that is not done yet, and why; `attached` says of each topic whether RabbitMQ delivers it.
    """

    def __init__(self, gateway: Gateway, loops: Sequence[Loop], stop: asyncio.Event) -> None:
        self._gateway = gateway
        self._loops = loops
        self._stop = stop
        self.missing: Mapping[str, str] = {"start": "the process is starting"}
        self.attached: Mapping[str, bool] = {}

    def check(self, purpose: Purpose | None = None) -> Readiness:
        """Return the readiness for one purpose, or for all purposes of the process's roles (None).

        For all purposes an engine that is away does not count in a process with the role web: it takes submissions
        meanwhile, and pages say what is wrong.
        """
        if self._stop.is_set():
            return Readiness(("the process is ending",))
        return Readiness(tuple(self._reasons(purpose)))

    def _reasons(self, purpose: Purpose | None) -> Iterator[str]:
        roles = self._gateway.roles
        if purpose is not None and _ROLES[purpose] not in roles:
            yield f"this process has not the role {_ROLES[purpose].value}"
            return
        if self.missing:
            yield from self._unconnected(purpose)
        elif Role.WORK in roles and purpose in {None, Purpose.WORK}:
            yield from self._of_topics()
        for loop in self._loops:
            counts = purpose is None or loop.name in _LOOPS[purpose]
            forgiven = purpose is None and Role.WEB in roles and isinstance(loop.fault, EngineError)
            if loop.failures > _FAILING and counts and not forgiven:
                yield f"{loop.name} has failed {loop.failures} times in a row"

    def _unconnected(self, purpose: Purpose | None) -> Iterator[str]:
        for name, why in self.missing.items():
            if purpose is not Purpose.HTTP or name not in _NOT_FOR_HTTP:
                yield f"{name}: {why}"

    def _of_topics(self) -> Iterator[str]:
        faults = self._gateway.consumer.faults()
        for topic, yes in self.attached.items():
            if not yes:
                yield f"no consumer is attached to topic {topic}" + (f": {faults[topic]}" if topic in faults else "")
        for topic, load in self._gateway.claims.loads().items():
            if load.stuck and load.slots <= 0:
                yield f"topic {topic}: all its threads ({load.stuck}) are stuck in handlers that were given up"
