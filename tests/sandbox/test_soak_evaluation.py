"""The soak's numbers count what they say, and its faults and handlers' fates follow from the seed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest

from bridge.domain.task import FINAL, State
from sandbox.errors import SandboxError
from sandbox.parts import Part
from sandbox.soak.durations import CLAIM, LOCK, STORED, STORED_AFTER
from sandbox.soak.evaluation import Entry, Evidence, evaluate
from sandbox.soak.fates import INCIDENT, ONCE, RETRIED, Fate
from sandbox.soak.plan import Deed, Plan, read_plan
from sandbox.soak.runs import Run, Strike, read_runs


def run(task: str, key: str = "", attempt: int = 1, fate: Fate = Fate.WELL, **known: float | None) -> Run:
    """Return a run of process 1 that began after 10 s and ended after 11, unless it is told otherwise."""
    times: dict[str, float | None] = {"pid": 1, "began": 10.0, "ended": 11.0, **known}
    return Run(task, key or task, attempt, fate, **times)  # type: ignore[arg-type]


GOOD = Evidence(
    instances={"i1": True, "i2": True},
    incidents=frozenset(),
    log=[Entry(f"i{n}", f"t{n}", success) for n in (1, 2) for success in (False, True)],
    results=["i1", "i2"],
    states={"t1": State.COMPLETED, "t2": State.COMPLETED},
    runs=[run("t1"), run("t2")],
    fates={"i1": Fate.WELL, "i2": Fate.WELL, "i3": Fate.WELL},
)
WITHOUT_END = {"i1": True, "i2": False}


def numbers(evidence: Evidence) -> tuple[int, int, int]:
    evaluation = evaluate(evidence)
    of_ids = (evaluation.lost, evaluation.duplicated, evaluation.stuck)
    assert evaluation.holds is (not any((*of_ids, evaluation.misled, evaluation.unexplained)))
    return len(evaluation.lost), len(evaluation.duplicated), len(evaluation.stuck)


def ran_again(first: Run, *strikes: Strike, pid: int = 2, began: float = 20.0) -> int:
    """Return how many runs are unexplained where the task of the first ran again."""
    second = run(first.task, attempt=2, pid=pid, began=began, ended=began + 1)
    evaluation = evaluate(replace(GOOD, runs=[GOOD.runs[0], second, first], strikes=strikes))
    assert evaluation.reruns == 1
    assert evaluation.holds is (len(evaluation.unexplained) == 0)
    return len(evaluation.unexplained)


def test_a_run_too_many_is_unexplained() -> None:
    assert numbers(replace(GOOD, runs=[*GOOD.runs, run("t2", attempt=2, began=20.0)])) == (0, 0, 0)
    assert ran_again(run("t2")) == 1


@pytest.mark.parametrize("fate", Fate)
def test_a_failure_with_retries_left_explains_a_run(fate: Fate) -> None:
    assert ran_again(run("t2", fate=fate)) == (fate not in RETRIED)


@pytest.mark.parametrize("deed", [Deed.KILL, Deed.STOP, Deed.EXIT])
def test_the_end_of_its_process_explains_a_run(deed: Deed) -> None:
    def end(at: float, pid: int = 1) -> Strike:
        return Strike(deed, 0, at, at, pid)

    cut_short = run("t2", ended=None)
    assert ran_again(cut_short, end(15)) == 0
    assert ran_again(cut_short, end(15, pid=2)) == 1
    assert ran_again(cut_short, end(9)) == 1, "it ended before the run began"
    assert ran_again(cut_short, end(21)) == 1, "it ended after the next run had begun"
    assert ran_again(run("t2"), end(11 + STORED / 2)) == 0
    assert ran_again(run("t2"), end(11 + 2 * STORED)) == 1, "the outcome was stored by then"
    away = Strike(Deed.STEP_DOWN, Part.STORE, 10.5, 14)
    assert ran_again(run("t2"), away, end(14 + STORED_AFTER / 2)) == 0, "the outcome could not be stored until then"
    assert ran_again(run("t2"), away) == 1


def test_a_process_that_was_frozen_beyond_its_claim_explains_a_run() -> None:
    assert ran_again(run("t2", ended=19.0), Strike(Deed.FREEZE, 0, 10.5, 10.5 + CLAIM, 1)) == 0
    assert ran_again(run("t2", ended=19.0), Strike(Deed.FREEZE, 0, 10.5, 10.5 + CLAIM, 2)) == 1
    assert ran_again(run("t2", ended=19.0), Strike(Deed.FREEZE, 0, 10.5, 10.5 + CLAIM / 2, 1)) == 1


@pytest.mark.parametrize("deed", [Deed.KILL, Deed.STOP, Deed.FREEZE])
def test_an_engine_that_was_away_beyond_the_lock_of_what_runs_explains_a_run(deed: Deed) -> None:
    assert ran_again(run("t2", ended=10 + LOCK), Strike(deed, Part.ENGINE, 9, 9 + LOCK)) == 0
    assert ran_again(run("t2", ended=10 + LOCK), Strike(deed, Part.ENGINE, 9, 9 + LOCK / 3)) == 1
    assert ran_again(run("t2"), Strike(deed, Part.ENGINE, 9, 9 + LOCK)) == 1, "it had ended when the engine came back"


@pytest.mark.parametrize("deed", [Deed.KILL, Deed.FREEZE, Deed.STEP_DOWN, Deed.CUT])
def test_no_outage_of_the_store_or_the_broker_explains_a_run(deed: Deed) -> None:
    for part in (Part.STORE, Part.BROKER):
        assert ran_again(run("t2", ended=None), Strike(deed, part, 9, 19)) == 1


def test_of_three_runs_each_needs_its_own_explanation() -> None:
    killed = Strike(Deed.KILL, 0, 15, 15, 1)
    runs = [run("t2", ended=None), run("t2", pid=2, began=20, ended=21), run("t2", pid=3, began=30, ended=31)]
    evaluation = evaluate(replace(GOOD, runs=[GOOD.runs[0], *runs], strikes=[killed]))
    assert evaluation.unexplained == [(runs[1], runs[2])]


@pytest.mark.parametrize("fate", Fate)
def test_who_ends_otherwise_than_their_handler_has_them_end_is_misled(fate: Fate) -> None:
    fates = {**GOOD.fates, "i2": fate}
    well = replace(GOOD, fates=fates)
    thrown = replace(well, log=GOOD.log[:3])
    incident = replace(
        thrown, instances=WITHOUT_END, states={**GOOD.states, "t2": State.FAILED}, incidents=frozenset({"i2"})
    )
    right = incident if fate in INCIDENT else thrown if fate is Fate.REFUSES else well
    for evidence in (well, thrown, incident):
        assert numbers(evidence) == (0, 0, 0)
        assert evaluate(evidence).misled == (set() if evidence is right else {"i2"})


def test_diaries_are_read() -> None:
    begun = {"task": "t1", "key": "k", "attempt": 2, "fate": "well", "pid": 7, "began": 1.5}
    lines = [{"run": "a", **begun}, {"run": "b", **begun, "fate": "dies"}, {"run": "a", "ended": 2.5}]
    assert read_runs(json.dumps(line) for line in lines) == [
        Run("t1", "k", 2, Fate.WELL, 7, 1.5, 2.5),
        Run("t1", "k", 2, Fate.DIES, 7, 1.5),
    ]


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
        replace(GOOD, runs=[*GOOD.runs, run("t2", "other", 2)]),
    ],
)
def test_duplicated(evidence: Evidence) -> None:
    assert numbers(evidence) == (0, 1, 0)


def test_two_successes_are_duplicated_as_task_and_as_instance() -> None:
    assert evaluate(replace(GOOD, log=[*GOOD.log, Entry("i2", "t2", True)])).duplicated == {"t2", "i2"}


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
    of_the_store = {Deed.STEP_DOWN, Deed.CUT}
    assert {fault.deed for fault in plan.schedule() if fault.target is Part.STORE} >= of_the_store
    assert not [fault for fault in plan.schedule() if fault.target is not Part.STORE and fault.deed in of_the_store]


def test_fates_follow_from_the_seed_and_none_is_left_out() -> None:
    plan = Plan(seed=5, tasks=1000)
    assert plan.orders() == Plan(seed=5, tasks=1000).orders()
    assert plan.orders() != replace(plan, seed=6).orders()
    fates = Counter(order.fate for order in plan.orders())
    assert set(fates) == set(Fate)
    assert fates[Fate.WELL] > 800
    assert {order.is_plain for order in plan.orders() if order.fate is Fate.HANGS} == {True}
    assert {order.is_plain for order in plan.orders() if order.fate is Fate.BLOCKS} == {False}
    assert {order.is_plain for order in plan.orders() if order.fate is Fate.WELL} == {True, False}
    assert len(Plan(tasks=3).orders()) == 3


def test_what_is_retried_or_ends_its_process_happens_once() -> None:
    assert RETRIED | {Fate.DIES} <= ONCE
    assert not ONCE & INCIDENT


def test_the_plan_is_read_from_the_environment() -> None:
    read = read_plan({"TASKS": "10", "REPLICAS": "3", "MINUTES": "10", "SEED": "4"})
    assert read == Plan(tasks=10, replicas=3, minutes=10, seed=4, faults=60)
    assert read_plan({"MINUTES": "1"}).faults == 20
    for wrong in ({"TASKS": "many"}, {"REPLICAS": "0"}):
        with pytest.raises(SandboxError):
            read_plan(wrong)
