"""`python -m tests.faults.crashing serve`: the gateway with the crash points that the environment's CRASH_AT names."""

from __future__ import annotations

import os

from gateway.cli.main import main
from tests.faults.crash_points import CrashPoints, read_points

if __name__ == "__main__":
    main(CrashPoints(read_points(os.environ["CRASH_AT"])).wrap)
