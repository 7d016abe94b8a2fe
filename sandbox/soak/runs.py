"""Which runs of handlers are explained: by their own failure, the end of their process, or a lock that ended. Pure."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf
from typing import Any

from sandbox.parts import Part
from sandbox.soak.durations import CLAIM, LOCK, STORED, STORED_AFTER
from sandbox.soak.fates import RETRIED, Fate
from sandbox.soak.plan import Deed


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a handler, as its diary tells, in the machine's time; `ended` is None where its process did first."""

    task: str
    key: str
    attempt: int
    fate: Fate
    pid: int
    began: float
    ended: float | None = None

    def __str__(self) -> str:
        until = "never" if self.ended is None else f"{self.ended:.2f}"
        return f"process {self.pid}, {self.began:.2f} to {until}, {self.fate}"


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault that struck: from when until when (for a server: until it answered again), and which process.

    What a handler ended was seen alive when it `began`, and found dead when it `ended`.
    """

    deed: Deed
    target: Part | int
    began: float
    ended: float
    pid: int | None = None


def read_runs(lines: Iterable[str]) -> list[Run]:
    """Read the diaries: one line for the begin of a run, and another for its end where it came to that."""
    runs: dict[str, Run] = {}
    for line in lines:
        told: dict[str, Any] = json.loads(line)
        name = told.pop("run")
        if name in runs:
            runs[name] = replace(runs[name], ended=told["ended"])
        else:
            runs[name] = Run(**{**told, "fate": Fate(told["fate"])})
    return list(runs.values())


def unexplained(runs: Iterable[Run], strikes: Sequence[Strike]) -> list[tuple[Run, Run]]:
    """Return each run that nothing explains, after the one before it of the same task."""
    by_task: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_task[run.task].append(run)
    pairs = (pair for of_task in by_task.values() for pair in pairwise(sorted(of_task, key=lambda run: run.began)))
    return [(first, second) for first, second in pairs if not is_explained(first, second, strikes)]


def is_explained(first: Run, second: Run, strikes: Sequence[Strike]) -> bool:
    """Return whether the task may run again after its first run.

    It may where that run was a failure with retries left; where its process ended, or was frozen for longer than its
    claim, before the outcome was stored; and where the engine was away for longer than the lock, while it ran.
    """
    if first.fate in RETRIED:
        return True
    open_until = _open_until(first, strikes)
    return any(
        _ends_the_run(strike, first, open_until) and strike.began <= second.began
        for strike in strikes
        if first.began <= strike.ended and strike.began <= open_until
    )


def _ends_the_run(strike: Strike, run: Run, open_until: float) -> bool:
    lasted = strike.ended - strike.began
    match strike.deed:
        case Deed.KILL | Deed.STOP | Deed.EXIT if strike.pid is not None:
            return strike.pid == run.pid
        case Deed.FREEZE if strike.pid is not None:
            # A claim may be a third of its time old when the process freezes.
            return strike.pid == run.pid and lasted > CLAIM * 2 / 3
        case _:
            return strike.target is Part.ENGINE and lasted > LOCK / 2 and strike.ended <= open_until


def _open_until(run: Run, strikes: Sequence[Strike]) -> float:
    """Return until when the outcome of a run may be nowhere but in its process."""
    if run.ended is None:
        return inf
    until = run.ended + STORED
    of_the_store = (strike for strike in strikes if strike.target is Part.STORE and strike.ended >= run.ended)
    for strike in sorted(of_the_store, key=lambda strike: strike.began):
        if strike.began <= until:
            until = max(until, strike.ended + STORED_AFTER)
    return until
