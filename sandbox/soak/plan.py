"""What a soak is to do: how many tasks, for how long, and which faults in which order, all from one seed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sandbox.errors import SandboxError
from sandbox.parts import Part

LEAST_FAULTS = 20
SECONDS_A_FAULT = 10.0
_SHORTEST, _LONGEST = 1.0, 6.0


class Deed(StrEnum):
    """What a fault does; the one who is hit comes back after the fault's seconds."""

    KILL = "kill"
    STOP = "stop"
    FREEZE = "freeze"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: on a server, or (a number) on a replica of the gateway."""

    target: Part | int
    deed: Deed
    seconds: float

    def __str__(self) -> str:
        who = self.target if isinstance(self.target, Part) else f"gateway {self.target + 1}"
        return f"{self.deed} {who} for {self.seconds:.1f} s"


@dataclass(frozen=True, slots=True)
class Plan:
    """How large a soak is. Its faults follow from the seed alone."""

    tasks: int = 5000
    replicas: int = 2
    minutes: float = 5.0
    seed: int = 1
    faults: int = LEAST_FAULTS

    @property
    def seconds(self) -> float:
        return self.minutes * 60

    def schedule(self) -> Sequence[Fault]:
        """Return the faults in order: every server and every replica is hit, then chance decides."""
        chance = random.Random(self.seed)  # noqa: S311 - it must be repeatable, it keeps no secret
        everyone: list[Part | int] = [Part.ENGINE, Part.STORE, Part.BROKER, *range(self.replicas)]
        targets = list(everyone)
        chance.shuffle(targets)
        while len(targets) < self.faults:
            targets.append(chance.choice(everyone))
        return [
            Fault(target, chance.choice(list(Deed)), round(chance.uniform(_SHORTEST, _LONGEST), 1))
            for target in targets[: self.faults]
        ]


def read_plan(environ: Mapping[str, str]) -> Plan:
    """Read TASKS, REPLICAS, MINUTES, SEED and FAULTS; raise `SandboxError` for what is no such number."""
    try:
        minutes = float(environ.get("MINUTES") or 5)
        plan = Plan(
            tasks=int(environ.get("TASKS") or 5000),
            replicas=int(environ.get("REPLICAS") or 2),
            minutes=minutes,
            seed=int(environ.get("SEED") or random.SystemRandom().randrange(10**6)),
            faults=int(environ.get("FAULTS") or max(LEAST_FAULTS, int(minutes * 60 / SECONDS_A_FAULT))),
        )
    except ValueError as error:
        raise SandboxError(f"TASKS, REPLICAS, MINUTES, SEED and FAULTS are numbers: {error}") from error
    if plan.tasks < 1 or plan.replicas < 1 or plan.minutes <= 0 or plan.faults < 0:
        raise SandboxError("TASKS and REPLICAS are 1 or more, MINUTES above 0, FAULTS 0 or more")
    return plan
