"""`python -m sandbox.soak`, with TASKS, REPLICAS, MINUTES, SEED, FAULTS and SOAK_PORTS of the environment."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections import Counter
from pathlib import Path

from sandbox.box import NEEDED, Sandbox
from sandbox.errors import SandboxError
from sandbox.soak.fates import Fate
from sandbox.soak.plan import Deed, Plan, read_plan
from sandbox.soak.run import Report, Soak

FOLDER = Path(".sandbox/soak")
DEFAULT_PORTS = 18280
_SHOWN = 20


def _say(line: str) -> None:
    print(line, flush=True)


def show(plan: Plan, report: Report) -> None:
    """Print what came of it, the numbers last."""
    evaluation = report.evaluation
    of_ids = {
        "lost": evaluation.lost,
        "duplicated": evaluation.duplicated,
        "stuck": evaluation.stuck,
        "misled": evaluation.misled,
    }
    for name, ids in of_ids.items():
        for each in sorted(ids)[:_SHOWN]:
            _say(f"  {name}: {each}")
    for first, second in evaluation.unexplained[:_SHOWN]:
        _say(f"  unexplained: {second.task} ran again in {second}, after {first}")
    rate, faults = report.instances / report.seconds, len(report.strikes)
    _say(f"instances {report.instances}, in {report.seconds:.0f} s: {rate:.1f} a second, with {faults} faults")
    exits = sum(strike.deed is Deed.EXIT for strike in report.strikes)
    _say(
        f"answers of the engine spoiled {report.spoiled}, commands and greetings without a primary {report.unled}, "
        f"connections to the store cut {report.cuts}, gateways ended by a handler {exits}"
    )
    odd = Counter(run.fate for run in report.runs if run.fate is not Fate.WELL)
    _say(f"odd runs: {', '.join(f'{fate} {times}' for fate, times in sorted(odd.items()))}")
    _say(f"handler re-runs {evaluation.reruns}, incidents {evaluation.incidents}")
    size = f"TASKS={plan.tasks} REPLICAS={plan.replicas} MINUTES={plan.minutes:g} FAULTS={plan.faults}"
    numbers = ", ".join(f"{name} {len(ids)}" for name, ids in of_ids.items())
    _say(f"{numbers}, unexplained runs {len(evaluation.unexplained)}   (SEED={plan.seed} {size})")


def main() -> int:
    """Run a soak on servers of its own; return 0 only where its evaluation holds."""
    try:
        plan = read_plan(os.environ)
        shutil.rmtree(FOLDER / "run", ignore_errors=True)
        (FOLDER / "run").mkdir(parents=True)
        sandbox = Sandbox(FOLDER, int(os.environ.get("SOAK_PORTS") or DEFAULT_PORTS), say=_say)
        sandbox.down(wipe=True)
        try:
            sandbox.up(NEEDED)
            _say(f"{plan.tasks} tasks, {plan.replicas} gateways, {plan.faults} faults, SEED={plan.seed}")
            report = asyncio.run(Soak(plan, sandbox, (FOLDER / "run").resolve(), _say).run())
        finally:
            sandbox.down()
    except SandboxError as error:
        _say(str(error))
        return 2
    show(plan, report)
    return 0 if report.evaluation.holds else 1


if __name__ == "__main__":
    sys.exit(main())
