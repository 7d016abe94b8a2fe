"""`make test-engines`: which engines the tests run on, and what comes of one that can't be had."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sandbox import ArtifactMissing, BuildFailed, build, tools
from sandbox.kinds import KINDS
from tests import each_engine

REPORT = '<testsuites><testsuite tests="3" failures="{0}" errors="0" skipped="1"/></testsuites>'
NO_ARTIFACT = """building engine failed; the end of the log:
[ERROR] [ERROR] Some problems were encountered:
[ERROR] Could not find artifact a:b:2.1.4
[ERROR] Help"""


class Machine:
    """Builds some kinds of engine and runs no test: it keeps what would have run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.faults: dict[str, Exception] = {}
        self.failures: set[str] = set()
        self.ran: list[tuple[str, Mapping[str, str]]] = []
        monkeypatch.setattr(build, "program", self.build)
        monkeypatch.setattr(build, "needs", lambda *_: ())
        monkeypatch.setattr(tools, "install", lambda *_: None)
        monkeypatch.setattr(subprocess, "run", self.run)

    def build(self, part: object, say: object, name: str) -> Path:
        if name in self.faults:
            raise self.faults[name]
        return Path(name)

    def run(
        self, command: Sequence[str], *, env: Mapping[str, str], **_options: Any
    ) -> subprocess.CompletedProcess[str]:
        self.ran.append((command[command.index("-m", 3) + 1], env))
        failed = env.get("ENGINE") in self.failures
        (report,) = [word.partition("=")[2] for word in command if word.startswith("--junitxml=")]
        Path(report).write_text(REPORT.format(int(failed)))
        return subprocess.CompletedProcess(command, int(failed))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_each_supported_kind_is_tried_on_servers_of_its_own(machine: Machine) -> None:
    results = each_engine.run({"CAMUNDA_URL": "http://another-shells/engine-rest"})
    supported = [kind.name for kind in KINDS.values() if kind.is_supported]
    assert [result.engine for result in results] == [env["ENGINE"] for _, env in machine.ran] == supported
    assert {marked for marked, _ in machine.ran} == {"engine"}
    assert not any("CAMUNDA_URL" in env for _, env in machine.ran)
    assert {"camunda-7.24", "camunda-7.21", "operaton-1.0"} <= set(supported)


def test_what_can_not_be_had_is_no_failure(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.faults["operaton-2.1"] = ArtifactMissing(NO_ARTIFACT)
    monkeypatch.setenv("ENGINES", "camunda-7.24 operaton-2.1")
    monkeypatch.delenv("ENGINE_URL", raising=False)
    assert each_engine.main() == 0
    first, second = capsys.readouterr().out.strip().splitlines()
    assert first.split() == ["camunda-7.24", "passed:", "3", "tests,", "0", "failures,", "0", "errors,", "1", "skipped"]
    assert second.split() == ["operaton-2.1", "not", "tried:", "Could", "not", "find", "artifact", "a:b:2.1.4"]


@pytest.mark.parametrize("broken", ["tests", "build"])
def test_failures_are_told_at_the_end_and_by_the_exit_code(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    if broken == "tests":
        machine.failures.add("camunda-7.21")
    else:
        machine.faults["camunda-7.21"] = BuildFailed("the compiler ended with 1")
    monkeypatch.setenv("ENGINES", "camunda-7.21 camunda-7.24")
    monkeypatch.delenv("ENGINE_URL", raising=False)
    assert each_engine.main() == 1
    told = capsys.readouterr().out.strip().splitlines()
    assert [line.split()[1] for line in told] == ["failed:", "passed:"]


def test_an_engine_at_an_address_is_not_configured(machine: Machine) -> None:
    url = "http://camunda.example/engine-rest"
    (result,) = each_engine.run({"ENGINE_URL": url, "ENGINES": "camunda-7.24"})
    ((marked, env),) = machine.ran
    assert (result.engine, result.outcome, marked) == (url, "passed", "engine and not own_engine")
    assert env["ENGINE_URL"] == url


def test_an_unknown_kind_is_named_before_anything_runs(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENGINES", "camunda-7.24 flowable-7")
    monkeypatch.delenv("ENGINE_URL", raising=False)
    assert each_engine.main() == 2
    assert "'flowable-7' is none of them" in capsys.readouterr().out
    assert not machine.ran
