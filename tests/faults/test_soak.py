"""A short soak: the same as `make soak`, on the servers that fault tests may disturb."""

from __future__ import annotations

from pathlib import Path

from sandbox import Sandbox
from sandbox.soak.fates import Fate
from sandbox.soak.plan import Deed, Plan
from sandbox.soak.run import Soak

PLAN = Plan(tasks=200, replicas=2, minutes=0.5, seed=3, faults=7)


async def test_a_short_soak_loses_duplicates_and_leaves_nothing(disturbed: Sandbox, tmp_path: Path) -> None:
    said: list[str] = []
    report = await Soak(PLAN, disturbed, tmp_path, said.append).run()
    assert tuple(report.struck) == tuple(PLAN.schedule())
    assert len(said) > PLAN.faults
    assert {Deed.STEP_DOWN, Deed.CUT} <= {fault.deed for fault in report.struck}
    assert min(report.spoiled, report.unled, report.cuts) > 0
    assert Deed.EXIT in {strike.deed for strike in report.strikes}
    assert {run.fate for run in report.runs} == set(Fate)
    evaluation = report.evaluation
    assert (evaluation.lost, evaluation.duplicated, evaluation.stuck) == (frozenset(), frozenset(), frozenset())
    assert (evaluation.unexplained, evaluation.misled) == ([], frozenset())
    assert report.instances >= PLAN.tasks
