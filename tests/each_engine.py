"""`make test-engines`: runs the tests that speak with an engine on each kind of engine, and says how each went.

ENGINES lists the kinds (`sandbox.kinds`), by default all that the gateway supports. ENGINE_URL names an engine that
runs somewhere, which then is the only one; its login is CAMUNDA_USERNAME and CAMUNDA_PASSWORD, or CAMUNDA_TOKEN.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from xml.etree import ElementTree as ET

from sandbox import ArtifactMissing, Part, SandboxError, build, tools
from sandbox.kinds import KINDS, kind

FOLDERS: Final = ("tests/contract", "tests/e2e")


@dataclass(frozen=True)
class Result:
    """How the tests went on one engine."""

    engine: str
    outcome: Literal["passed", "failed", "not tried"]
    detail: str

    def __str__(self) -> str:
        return f"{self.engine:<16} {self.outcome}: {self.detail}"


def run(environment: Mapping[str, str]) -> list[Result]:
    """Run the tests on each engine that the environment names, one after the other."""
    if url := environment.get("ENGINE_URL"):
        # An engine that others use isn't to be stopped, killed or configured.
        return [run_tests(url, "engine and not own_engine", environment)]
    names = environment.get("ENGINES", "").split() or [each.name for each in KINDS.values() if each.is_supported]
    return [run_on(each.name, environment) for each in [kind(name) for name in names]]


def run_on(name: str, environment: Mapping[str, str]) -> Result:
    """Build a kind of engine, and run the tests on it."""
    try:
        tools.install(build.needs(Part.ENGINE, name), _say)
        build.program(Part.ENGINE, _say, name)
    except ArtifactMissing as error:
        return Result(name, "not tried", _missing(str(error)))
    except SandboxError as error:
        return Result(name, "failed", str(error))
    return run_tests(name, "engine", {**environment, "ENGINE": name})


def run_tests(engine: str, marked: str, environment: Mapping[str, str]) -> Result:
    """Run what has the markers; servers of another shell are not taken for the engine's."""
    own = {name: value for name, value in environment.items() if name != "CAMUNDA_URL"}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = (sys.executable, "-m", "pytest", "-q", "-m", marked, f"--junitxml={report}", *FOLDERS)
        code = subprocess.run(command, env=own, check=False).returncode
        return Result(engine, "failed" if code else "passed", _counts(report) or f"pytest ended with {code}")


def _counts(report: Path) -> str:
    if not report.exists():
        return ""
    suite = ET.parse(report).getroot().find("testsuite")
    found = {} if suite is None else suite.attrib
    return ", ".join(f"{found.get(name)} {name}" for name in ("tests", "failures", "errors", "skipped"))


def _missing(text: str) -> str:
    """Return the line in which Maven names what it did not find."""
    named = [line for line in text.splitlines() if any(said in line for said in build.NO_ARTIFACT)]
    return (named or [text])[0].rpartition("[ERROR]")[2].strip()[:200]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Return the exit code: 1 where tests failed, 2 for an unknown kind; what can't be had is no failure."""
    try:
        results = run(os.environ)
    except ValueError as error:
        _say(str(error))
        return 2
    _say("\n".join(("", *map(str, results))))
    return int(any(result.outcome == "failed" for result in results))


if __name__ == "__main__":
    sys.exit(main())
