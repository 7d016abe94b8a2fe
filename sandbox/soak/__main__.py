"""`python -m sandbox.soak`, with TASKS, REPLICAS, MINUTES, SEED, FAULTS and SOAK_PORTS of the environment."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

from sandbox.box import NEEDED, Sandbox
from sandbox.errors import SandboxError
from sandbox.soak.plan import Plan, read_plan
from sandbox.soak.run import Report, Soak

FOLDER = Path(".sandbox/soak")
DEFAULT_PORTS = 18280


def _say(line: str) -> None:
    print(line, flush=True)


def show(plan: Plan, report: Report) -> None:
    """Print what came of it, the three numbers last."""
    verdict = report.verdict
    for name, ids in (("lost", verdict.lost), ("duplicated", verdict.duplicated), ("stuck", verdict.stuck)):
        for each in sorted(ids)[:20]:
            _say(f"  {name}: {each}")
    rate, faults = report.instances / report.seconds, len(report.struck)
    _say(f"instances {report.instances}, in {report.seconds:.0f} s: {rate:.1f} a second, with {faults} faults")
    _say(f"handler re-runs {verdict.reruns}, incidents {verdict.incidents}")
    size = f"TASKS={plan.tasks} REPLICAS={plan.replicas} MINUTES={plan.minutes:g} FAULTS={plan.faults}"
    numbers = f"lost {len(verdict.lost)}, duplicated {len(verdict.duplicated)}, stuck {len(verdict.stuck)}"
    _say(f"{numbers}   (SEED={plan.seed} {size})")


def main() -> int:
    """Run a soak on servers of its own; return 0 only where nothing was lost, duplicated or stuck."""
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
    return 0 if report.verdict.holds else 1


if __name__ == "__main__":
    sys.exit(main())
