"""The three numbers of a soak, from what the engine, the store and the side effects say. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.task import FINAL, State


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the engine's external task log: a task of an instance was created, or ended well."""

    instance: str
    task: str
    success: bool


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the handler, as its side effect tells."""

    task: str
    key: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known at the end. `instances` tells of each whether it has ended; `results` names each result's."""

    instances: Mapping[str, bool]
    incidents: frozenset[str]
    log: Sequence[Entry]
    results: Sequence[str]
    states: Mapping[str, State]
    runs: Sequence[Run]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The ids of what went wrong. `reruns` is no fault: a handler runs at least once."""

    lost: frozenset[str]
    duplicated: frozenset[str]
    stuck: frozenset[str]
    reruns: int
    incidents: int

    @property
    def holds(self) -> bool:
        return not (self.lost or self.duplicated or self.stuck)


def judge(evidence: Evidence) -> Verdict:
    """Hold the evidence against the promise."""
    tasks: dict[str, set[str]] = defaultdict(set)
    for entry in evidence.log:
        tasks[entry.instance].add(entry.task)
    lost, stuck = set[str](), set[str]()
    ran = {run.task for run in evidence.runs}
    for instance, ended in evidence.instances.items():
        ids = tasks[instance]
        states = [evidence.states.get(task) for task in ids]
        if not ids or None in states or (ended and not ids <= ran):
            lost.add(instance)
        elif not ended and instance not in evidence.incidents:
            # An end that the store has and the engine hasn't is lost; what the store has none of is stuck.
            (lost if all(state in FINAL for state in states) else stuck).add(instance)
        elif ended and any(state is not State.COMPLETED for state in states):
            stuck.add(instance)
    keys = {(run.task, run.key) for run in evidence.runs}
    return Verdict(
        lost=frozenset(lost),
        duplicated=_twice(evidence) | {task for task, times in Counter(task for task, _ in keys).items() if times > 1},
        stuck=frozenset(stuck),
        reruns=len(evidence.runs) - len(ran),
        incidents=len(evidence.incidents),
    )


def _twice(evidence: Evidence) -> frozenset[str]:
    """Return the tasks with more than one success, and the instances with more than one result or success."""
    successes = [entry for entry in evidence.log if entry.success]
    counts = (
        Counter(entry.task for entry in successes),
        Counter(entry.instance for entry in successes),
        Counter(evidence.results),
    )
    return frozenset(name for count in counts for name, times in count.items() if times > 1)
