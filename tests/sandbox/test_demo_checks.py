"""The demo's checks: nothing where all is well, and each planted mismatch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sandbox.demo.checks import Observed, find_mismatches
from sandbox.demo.definitions import PUBLICACOES, SAUDACAO, STORED, Definition
from sandbox.demo.engine import Instance, LogEntry, LogKind
from sandbox.demo.samples import End, Sample, samples
from sandbox.demo.summary import percentile, summarise

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
SAMPLES = samples(40, 7, "demo-run")


def entry(sample: Sample, kind: LogKind, after: int = 0, retries: int | None = None) -> LogEntry:
    return LogEntry(kind, sample.definition.task, BEGIN + timedelta(milliseconds=after), retries)


def as_it_must_be(sample: Sample, place: int, known: set[object]) -> Observed:
    new = sample.publication not in known
    known.add(sample.publication)
    good = "saudado" if sample.definition is SAUDACAO else STORED if new else "ja_conhecida"
    created = entry(sample, LogKind.CREATION)
    first, last = entry(sample, LogKind.FAILURE, 5), entry(sample, LogKind.FAILURE, 9, retries=3)
    incident = (sample.definition.task,)
    ends: dict[End, tuple[str, tuple[str, ...], tuple[str, ...], tuple[LogEntry, ...]]] = {
        End.COMPLETED: ("COMPLETED", (good,), (), (entry(sample, LogKind.SUCCESS, 10),)),
        End.RETRIED: ("COMPLETED", (good,), (), (first, entry(sample, LogKind.SUCCESS, 2000))),
        End.BPMN_ERROR: ("COMPLETED", (sample.definition.error_end,), (), (entry(sample, LogKind.DELETION, 30),)),
        End.REJECTED: ("ACTIVE", (), incident, (first,)),
        End.EXHAUSTED: ("ACTIVE", (), incident, (first, last)),
    }
    state, reached, incidents, log = ends[sample.end]
    instance = Instance(f"instance-{place}", sample.business_key, sample.definition.key, state)
    return Observed(instance, reached, incidents, (created, *log))


def all_well() -> list[Observed]:
    known: set[object] = set()
    return [as_it_must_be(sample, place, known) for place, sample in enumerate(SAMPLES)]


def place_of(end: End, definition: Definition | None = None) -> int:
    return next(
        place for place, sample in enumerate(SAMPLES) if sample.end is end and definition in {None, sample.definition}
    )


def without(seen: Observed, kind: LogKind) -> Observed:
    return replace(seen, log=tuple(each for each in seen.log if each.kind is not kind))


def twice(seen: Observed, kind: LogKind) -> Observed:
    return replace(seen, log=(*seen.log, *seen.entries(kind)))


def in_state(seen: Observed, state: str) -> Observed:
    return replace(seen, instance=replace(seen.instance, state=state))


def test_nothing_is_found_where_all_is_well() -> None:
    assert {sample.end for sample in SAMPLES} == set(End)
    assert find_mismatches(SAMPLES, all_well()) == []
    assert find_mismatches(SAMPLES, reversed(all_well())) == []


@pytest.mark.parametrize(
    ("end", "plant", "problem"),
    [
        (End.COMPLETED, lambda seen: twice(seen, LogKind.SUCCESS), "completed 2 times"),
        (End.COMPLETED, lambda seen: without(seen, LogKind.SUCCESS), "completed 0 times"),
        (End.COMPLETED, lambda seen: twice(seen, LogKind.CREATION), "had 2 external tasks"),
        (End.COMPLETED, lambda seen: replace(seen, ends=("sem_nome",)), "ended at sem_nome, not at saudado"),
        (End.COMPLETED, lambda seen: replace(seen, ends=()), "ended at none"),
        (End.COMPLETED, lambda seen: replace(seen, ends=("saudado", "sem_nome")), "ended at saudado, sem_nome"),
        (End.COMPLETED, lambda seen: in_state(seen, "ACTIVE"), "is ACTIVE"),
        (End.COMPLETED, lambda seen: in_state(seen, "EXTERNALLY_TERMINATED"), "is EXTERNALLY_TERMINATED"),
        (End.COMPLETED, lambda seen: replace(seen, incidents=("saudar",)), "incident at saudar"),
        (End.RETRIED, lambda seen: without(seen, LogKind.FAILURE), "no failure was reported"),
        (End.RETRIED, lambda seen: twice(seen, LogKind.SUCCESS), "completed 2 times"),
        (End.BPMN_ERROR, lambda seen: replace(seen, ends=("saudado",)), "ended at saudado, not at sem_nome"),
        (End.BPMN_ERROR, lambda seen: twice(seen, LogKind.DELETION), "ended by a BPMN error 2 times"),
        (End.REJECTED, lambda seen: replace(seen, incidents=()), "has incidents at none"),
        (End.REJECTED, lambda seen: replace(seen, incidents=("novidade",)), "has incidents at novidade"),
        (End.REJECTED, lambda seen: replace(seen, incidents=("registrar",) * 2), "has incidents at registrar, reg"),
        (End.REJECTED, lambda seen: in_state(seen, "COMPLETED"), "is COMPLETED, not ACTIVE"),
        (
            End.REJECTED,
            lambda seen: replace(seen, log=(*seen.log, replace(seen.log[-1], retries=2))),
            "was retried, though no retry can help",
        ),
        (End.EXHAUSTED, lambda seen: replace(seen, log=seen.log[:2]), "was to be retried before its incident"),
        (End.EXHAUSTED, lambda seen: replace(seen, ends=("saudado",)), "ended at saudado"),
    ],
)
def test_a_planted_mismatch_is_found(end: End, plant: Callable[[Observed], Observed], problem: str) -> None:
    observed, place = all_well(), place_of(end)
    observed[place] = plant(observed[place])
    (found,) = find_mismatches(SAMPLES, observed)
    assert (found.business_key, found.instance_id) == (SAMPLES[place].business_key, f"instance-{place}")
    assert problem in found.problem


def test_an_instance_that_the_engine_does_not_have_is_found() -> None:
    (found,) = find_mismatches(SAMPLES, all_well()[1:])
    assert (found.business_key, found.instance_id) == (SAMPLES[0].business_key, None)


def test_an_instance_that_was_started_twice_is_found() -> None:
    observed = all_well()
    again = replace(observed[0], instance=replace(observed[0].instance, id="again"))
    found = find_mismatches(SAMPLES, [*observed, again])
    assert [each.instance_id for each in found] == ["instance-0", "again"]
    assert all(each.problem == "was started twice" for each in found)


def test_an_instance_that_nobody_started_is_found() -> None:
    stranger = replace(all_well()[0].instance, id="stranger", business_key="demo-run-other")
    (found,) = find_mismatches(SAMPLES, [*all_well(), Observed(stranger)])
    assert (found.instance_id, found.problem) == ("stranger", "is of this run, but was not started by it")


def test_an_instance_of_another_process_is_found() -> None:
    observed = all_well()
    observed[0] = replace(observed[0], instance=replace(observed[0].instance, process=PUBLICACOES.key))
    (found,) = find_mismatches(SAMPLES, observed)
    assert "is an instance of publicacoes, not of saudacao" in found.problem


def test_a_publication_that_was_stored_twice_is_found() -> None:
    observed = all_well()
    (again, *_) = [place for place, seen in enumerate(observed) if "ja_conhecida" in seen.ends]
    observed[again] = replace(observed[again], ends=(STORED,))
    (found,) = find_mismatches(SAMPLES, observed)
    assert found.business_key == SAMPLES[again].business_key
    assert "was stored as new, as was demo-run-publicacoes-" in found.problem


def test_publications_that_an_earlier_run_stored_are_no_mismatch() -> None:
    known = [replace(seen, ends=("ja_conhecida",)) if STORED in seen.ends else seen for seen in all_well()]
    assert find_mismatches(SAMPLES, known) == []


def test_the_summary_counts_by_topic() -> None:
    hello = summarise(SAUDACAO, all_well())
    assert (hello.topic, hello.started, hello.completed, hello.bpmn_errors, hello.incidents, hello.retried) == (
        "say_hello",
        *(20, 17, 2, 1, 4),
    )
    # neither the retried, 2 s, nor those with an incident
    assert (hello.p50, hello.p95) == (timedelta(milliseconds=10), timedelta(milliseconds=30))
    publications = summarise(PUBLICACOES, all_well())
    assert (publications.started, publications.incidents, publications.retried) == (20, 1, 0)
    assert summarise(PUBLICACOES, []).p50 is None


@pytest.mark.parametrize(("percent", "expected"), [(50, 5), (95, 10), (100, 10), (10, 1), (11, 2)])
def test_a_percentile_is_one_of_the_times(percent: int, expected: int) -> None:
    times = [timedelta(seconds=second) for second in range(1, 11)]
    assert percentile(times, percent) == timedelta(seconds=expected)
    assert percentile(times[:1], percent) == times[0]
