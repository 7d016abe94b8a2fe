"""The numbers of a soak, from what the engine, the store and the side effects say. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.domain.task import FINAL, State
from sandbox.soak.fates import INCIDENT, Fate
from sandbox.soak.runs import Run, Strike, unexplained


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the engine's external task log: a task of an instance was created, or ended well."""

    instance: str
    task: str
    success: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known at the end. `instances` tells of each whether it has ended; `results` names each result's.

    `fates` tells of each instance what its handler was to do; `strikes` has all faults that struck.
    """

    instances: Mapping[str, bool]
    incidents: frozenset[str]
    log: Sequence[Entry]
    results: Sequence[str]
    states: Mapping[str, State]
    runs: Sequence[Run]
    fates: Mapping[str, Fate]
    strikes: Sequence[Strike] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The ids of what went wrong.

    `unexplained` has the runs, each after the one before it, that neither a failure nor the end of a process nor a
    lock that ended explains; other `reruns` are no fault: a handler runs at least once. `misled` are the instances
    that ended otherwise than their own handlers had them end.
    """

    lost: frozenset[str]
    duplicated: frozenset[str]
    stuck: frozenset[str]
    unexplained: Sequence[tuple[Run, Run]]
    misled: frozenset[str]
    reruns: int
    incidents: int

    @property
    def holds(self) -> bool:
        return not (self.lost or self.duplicated or self.stuck or self.unexplained or self.misled)


def evaluate(evidence: Evidence) -> Evaluation:
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
    return Evaluation(
        lost=frozenset(lost),
        duplicated=_twice(evidence) | {task for task, times in Counter(task for task, _ in keys).items() if times > 1},
        stuck=frozenset(stuck),
        unexplained=unexplained(evidence.runs, evidence.strikes),
        misled=_misled(evidence),
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


def _misled(evidence: Evidence) -> frozenset[str]:
    """Return the instances whose end, where they have one, is not what their fate makes it."""
    succeeded = {entry.instance for entry in evidence.log if entry.success}

    def ends_so(instance: str, fate: Fate) -> bool:
        if instance in evidence.incidents:
            return fate in INCIDENT
        return fate not in INCIDENT and (fate is not Fate.REFUSES) is (instance in succeeded)

    ended = {instance for instance, ended in evidence.instances.items() if ended} | evidence.incidents
    return frozenset(instance for instance in ended if not ends_so(instance, evidence.fates[instance]))
