"""What a soak is to do: how many tasks, for how long, and which faults in which order, all from one seed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sandbox.errors import SandboxError
from sandbox.parts import Part
from sandbox.soak.fates import Fate, draw

LEAST_FAULTS = 20
SECONDS_A_FAULT = 10.0
SPOILED: Final = 0.03
"""The share of the engine's answers that are spoiled on their way to the gateways."""
_SHORTEST, _LONGEST = 1.0, 8.0
_PLAIN_SHARE: Final = 0.25


class Deed(StrEnum):
    """What a fault does; the one who is hit comes back after the fault's seconds."""

    KILL = "kill"
    STOP = "stop"
    FREEZE = "freeze"
    STEP_DOWN = "step down"
    """The store alone: there is no primary."""
    CUT = "cut"
    """The store alone: its connections are reset, again and again."""
    EXIT = "exit"
    """What a handler does to its gateway; no fault of the plan."""


_TO_ALL: Final = (Deed.KILL, Deed.STOP, Deed.FREEZE)
_TO_THE_STORE: Final = (Deed.STEP_DOWN, Deed.CUT)


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
class Order:
    """A process instance to start: what its handler does, and whether that is a plain function."""

    fate: Fate
    is_plain: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """How large a soak is. Its faults, and what its handlers do, follow from the seed alone."""

    tasks: int = 5000
    replicas: int = 2
    minutes: float = 5.0
    seed: int = 1
    faults: int = LEAST_FAULTS

    @property
    def seconds(self) -> float:
        return self.minutes * 60

    def schedule(self) -> Sequence[Fault]:
        """Return the faults in order: all are hit, the store in each way of its own, then chance decides."""
        chance = random.Random(self.seed)  # noqa: S311 - it must be repeatable, it keeps no secret
        everyone: list[Part | int] = [Part.ENGINE, Part.STORE, Part.BROKER, *range(self.replicas)]
        hits: list[tuple[Part | int, Sequence[Deed]]] = [(target, _TO_ALL) for target in everyone]
        hits += [(Part.STORE, (deed,)) for deed in _TO_THE_STORE]
        chance.shuffle(hits)
        while len(hits) < self.faults:
            target = chance.choice(everyone)
            hits.append((target, (*_TO_ALL, *_TO_THE_STORE) if target is Part.STORE else _TO_ALL))
        return [
            Fault(target, chance.choice(list(deeds)), round(chance.uniform(_SHORTEST, _LONGEST), 1))
            for target, deeds in hits[: self.faults]
        ]

    def orders(self) -> Sequence[Order]:
        """Return what is to be started, in order."""
        chance = random.Random(self.seed)  # noqa: S311 - as above
        return [
            # A coroutine that hangs is cancelled; only a thread goes on. And a thread blocks nobody.
            Order(fate, fate is Fate.HANGS or (fate is not Fate.BLOCKS and chance.random() < _PLAIN_SHARE))
            for fate in draw(self.tasks, chance)
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
