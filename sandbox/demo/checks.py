"""Is every instance where it must be, by the engine's own history? Pure: what is, against what must be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

from sandbox.demo.definitions import STORED
from sandbox.demo.engine import Instance, LogEntry, LogKind
from sandbox.demo.samples import End, Sample

_COMPLETED, _ACTIVE = "COMPLETED", "ACTIVE"


@dataclass(frozen=True, slots=True)
class Observed:
    """What the engine says of an instance: its end events, the activities of its open incidents, its task's log."""

    instance: Instance
    ends: tuple[str, ...] = ()
    incidents: tuple[str, ...] = ()
    log: tuple[LogEntry, ...] = ()

    def entries(self, kind: LogKind) -> tuple[LogEntry, ...]:
        """Return the log's entries of one kind."""
        return tuple(entry for entry in self.log if entry.kind is kind)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """An instance that is not where it must be; `instance_id` is None for one that the engine doesn't have."""

    business_key: str
    instance_id: str | None
    problem: str


def find_mismatches(samples: Sequence[Sample], observed: Iterable[Observed]) -> list[Mismatch]:
    """Compare the instances of a run with what was started; return all that differs, in the order of the samples."""
    by_key: dict[str, list[Observed]] = defaultdict(list)
    for seen in observed:
        by_key[seen.instance.business_key].append(seen)
    found: list[Mismatch] = []
    for sample in samples:
        found.extend(_of_sample(sample, by_key.get(sample.business_key, [])))
    found.extend(_stored_twice(samples, by_key))
    known = {sample.business_key for sample in samples}
    found.extend(
        Mismatch(key, seen.instance.id, "is of this run, but was not started by it")
        for key, instances in by_key.items()
        if key not in known
        for seen in instances
    )
    return found


def _of_sample(sample: Sample, instances: Sequence[Observed]) -> Iterator[Mismatch]:
    if not instances:
        yield Mismatch(sample.business_key, None, "was started, and the engine doesn't have it")
    for seen in instances:
        problems = [*_problems(sample, seen), *(["was started twice"] if len(instances) > 1 else [])]
        if problems:
            yield Mismatch(sample.business_key, seen.instance.id, "; ".join(problems))


def _problems(sample: Sample, seen: Observed) -> Iterator[str]:
    if seen.instance.process != sample.definition.key:
        yield f"is an instance of {seen.instance.process}, not of {sample.definition.key}"
    if len(seen.entries(LogKind.CREATION)) != 1:
        yield f"had {len(seen.entries(LogKind.CREATION))} external tasks, not one"
    match sample.end:
        case End.COMPLETED | End.RETRIED:
            yield from _not_completed(sample, seen)
        case End.BPMN_ERROR:
            yield from _not_ended(seen, frozenset({sample.definition.error_end}))
            yield from _not_so_often("completed", seen.entries(LogKind.SUCCESS), 0)
            yield from _not_so_often("ended by a BPMN error", seen.entries(LogKind.DELETION), 1)
        case End.REJECTED | End.EXHAUSTED:
            yield from _not_standing(sample, seen)
        case _:
            assert_never(sample.end)


def _not_completed(sample: Sample, seen: Observed) -> Iterator[str]:
    yield from _not_ended(seen, sample.definition.ends)
    yield from _not_so_often("completed", seen.entries(LogKind.SUCCESS), 1)
    yield from _not_so_often("ended by a BPMN error or cancelled", seen.entries(LogKind.DELETION), 0)
    if sample.end is End.RETRIED and not seen.entries(LogKind.FAILURE):
        yield "was to fail at first, and no failure was reported"


def _not_ended(seen: Observed, ends: frozenset[str]) -> Iterator[str]:
    if seen.instance.state != _COMPLETED:
        yield f"is {seen.instance.state}, not {_COMPLETED}"
    if len(seen.ends) != 1 or seen.ends[0] not in ends:
        yield f"ended at {_list(seen.ends)}, not at {_list(sorted(ends), ' or ')}"
    if seen.incidents:
        yield f"has an incident at {_list(seen.incidents)}"


def _not_standing(sample: Sample, seen: Observed) -> Iterator[str]:
    if seen.instance.state != _ACTIVE:
        yield f"is {seen.instance.state}, not {_ACTIVE} with an incident"
    if seen.incidents != (sample.definition.task,):
        yield f"has incidents at {_list(seen.incidents)}, not one at {sample.definition.task}"
    if seen.ends:
        yield f"ended at {_list(seen.ends)}"
    yield from _not_so_often("completed", seen.entries(LogKind.SUCCESS), 0)
    failures = seen.entries(LogKind.FAILURE)
    if sample.end is End.EXHAUSTED and len(failures) < 2:
        yield f"was to be retried before its incident, and failed {len(failures)} times"
    if sample.end is End.REJECTED and any(entry.retries for entry in failures):
        yield "was retried, though no retry can help"


def _not_so_often(what: str, entries: Sequence[LogEntry], times: int) -> Iterator[str]:
    if len(entries) != times:
        yield f"its external task was {what} {len(entries)} times, not {times}"


def _stored_twice(samples: Sequence[Sample], by_key: dict[str, list[Observed]]) -> Iterator[Mismatch]:
    # At most once, not exactly once: an earlier run on the same data may have stored it.
    stored: dict[tuple[str, str], Observed] = {}
    for sample in samples:
        for seen in by_key.get(sample.business_key, []):
            if sample.publication is None or STORED not in seen.ends:
                continue
            first = stored.setdefault(sample.publication, seen)
            if first is not seen:
                problem = f"was stored as new, as was {first.instance.business_key} with the same publication"
                yield Mismatch(sample.business_key, seen.instance.id, problem)


def _list(names: Iterable[str], between: str = ", ") -> str:
    return between.join(names) or "none"
