"""The soak's three numbers count what they say, and its faults follow from the seed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.task import FINAL, State
from sandbox.errors import SandboxError
from sandbox.parts import Part
from sandbox.soak.plan import Plan, read_plan
from sandbox.soak.verdict import Entry, Evidence, Run, judge

GOOD = Evidence(
    instances={"i1": True, "i2": True},
    incidents=frozenset(),
    log=[Entry(f"i{n}", f"t{n}", success) for n in (1, 2) for success in (False, True)],
    results=["i1", "i2"],
    states={"t1": State.COMPLETED, "t2": State.COMPLETED},
    runs=[Run("t1", "t1", 1), Run("t2", "t2", 1)],
)
WITHOUT_END = {"i1": True, "i2": False}


def numbers(evidence: Evidence) -> tuple[int, int, int]:
    verdict = judge(evidence)
    assert verdict.holds is (not (verdict.lost or verdict.duplicated or verdict.stuck))
    return len(verdict.lost), len(verdict.duplicated), len(verdict.stuck)


def test_all_well_with_a_run_too_many() -> None:
    again = replace(GOOD, runs=[*GOOD.runs, Run("t2", "t2", 2)])
    assert numbers(again) == (0, 0, 0)
    assert judge(again).reruns == 1


@pytest.mark.parametrize(
    "evidence",
    [
        replace(GOOD, instances={**GOOD.instances, "i3": False}),
        replace(GOOD, states={"t1": State.COMPLETED}),
        replace(GOOD, instances=WITHOUT_END, log=GOOD.log[:3]),
        replace(GOOD, runs=GOOD.runs[:1]),
    ],
)
def test_lost(evidence: Evidence) -> None:
    assert numbers(evidence) == (1, 0, 0)


@pytest.mark.parametrize(
    "evidence",
    [
        replace(GOOD, results=["i1", "i2", "i2"]),
        replace(GOOD, runs=[*GOOD.runs, Run("t2", "other", 2)]),
    ],
)
def test_duplicated(evidence: Evidence) -> None:
    assert numbers(evidence) == (0, 1, 0)


def test_two_successes_are_duplicated_as_task_and_as_instance() -> None:
    assert judge(replace(GOOD, log=[*GOOD.log, Entry("i2", "t2", True)])).duplicated == {"t2", "i2"}


@pytest.mark.parametrize("state", [state for state in State if state not in FINAL])
def test_stuck(state: State) -> None:
    unfinished = replace(GOOD, instances=WITHOUT_END, log=GOOD.log[:3], states={**GOOD.states, "t2": state})
    assert numbers(unfinished) == (0, 0, 1)
    assert numbers(replace(unfinished, incidents=frozenset({"i2"}))) == (0, 0, 0)


def test_an_end_that_the_store_never_learnt_of_is_stuck() -> None:
    assert numbers(replace(GOOD, states={**GOOD.states, "t2": State.REPORTING})) == (0, 0, 1)


def test_faults_follow_from_the_seed_and_leave_nobody_out() -> None:
    plan = Plan(seed=5, replicas=3, faults=20)
    assert plan.schedule() == Plan(seed=5, replicas=3, faults=20).schedule()
    assert plan.schedule() != replace(plan, seed=6).schedule()
    assert {fault.target for fault in plan.schedule()} == {Part.ENGINE, Part.STORE, Part.BROKER, 0, 1, 2}


def test_the_plan_is_read_from_the_environment() -> None:
    read = read_plan({"TASKS": "10", "REPLICAS": "3", "MINUTES": "10", "SEED": "4"})
    assert read == Plan(tasks=10, replicas=3, minutes=10, seed=4, faults=60)
    assert read_plan({"MINUTES": "1"}).faults == 20
    for wrong in ({"TASKS": "many"}, {"REPLICAS": "0"}):
        with pytest.raises(SandboxError):
            read_plan(wrong)
