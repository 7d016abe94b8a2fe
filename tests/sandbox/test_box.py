"""The sandbox without its servers: choices, addresses, refusals."""

import os
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sandbox import build, tools
from sandbox.box import Sandbox
from sandbox.cli import app
from sandbox.errors import Missing, PortTaken, SandboxError
from sandbox.parts import Choices, Part
from sandbox.process import Started, boot_id, start_ticks
from sandbox.state import State, StateFile
from sandbox.tools import Tool


def remember(directory: Path, state: State) -> None:
    StateFile(directory).write(state)


def test_choices_are_given_or_remembered_or_default(tmp_path: Path) -> None:
    assert Sandbox(tmp_path).choices == Choices(base=18080, memory=False, history="full")
    remember(tmp_path, State(Choices(base=20000, memory=True, history="none")))
    assert Sandbox(tmp_path).choices == Choices(base=20000, memory=True, history="none")
    assert Sandbox(tmp_path, 30000, memory=False).choices == Choices(base=30000, memory=False, history="none")
    given = Sandbox(tmp_path, timezone="Asia/Tokyo", history=None).choices
    assert (given.timezone, given.history) == ("Asia/Tokyo", "none")


def test_a_part_that_is_gone_counts_as_lost_and_another_process_with_its_id_is_left_alone(tmp_path: Path) -> None:
    mine = Started(pid=os.getpid(), ticks=1, boot="b", mark="of a part long gone")
    remember(tmp_path, State(Choices(base=20000), {Part.ENGINE: mine}))
    box = Sandbox(tmp_path)
    assert [status.state for status in box.status()] == ["lost", "stopped", "stopped", "stopped"]
    box.down()
    assert [status.state for status in box.status()] == ["stopped"] * 4


def test_only_what_runs_can_be_paused(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="doesn't run"):
        Sandbox(tmp_path).pause(Part.STORE)


def test_a_port_of_somebody_else_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "program", lambda *_: Path("/a/program"))
    monkeypatch.setattr(build, "needs", lambda *_: ())
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        with pytest.raises(PortTaken, match=str(port)):
            Sandbox(tmp_path, port - 1).start(Part.STORE)


def test_wiping_takes_the_data_and_leaves_the_base(tmp_path: Path) -> None:
    remember(tmp_path, State(Choices(base=20000)))
    (tmp_path / "data" / "store").mkdir(parents=True)
    Sandbox(tmp_path).down(wipe=True)
    assert not (tmp_path / "data").exists()
    assert Sandbox(tmp_path).choices.base == 20000


def test_data_is_put_back_to_what_it_was_at_a_snapshot(tmp_path: Path) -> None:
    remember(tmp_path, State(Choices(base=20000)))
    file = tmp_path / "data" / "engine" / "engine.mv.db"
    file.parent.mkdir(parents=True)
    file.write_text("before")
    box = Sandbox(tmp_path)
    box.snapshot(Part.ENGINE, "first")
    file.write_text("after")
    (file.parent / "more").touch()
    box.restore(Part.ENGINE, "first")
    assert file.read_text() == "before"
    assert [path.name for path in file.parent.iterdir()] == ["engine.mv.db"]
    with pytest.raises(SandboxError, match="nothing at"):
        box.restore(Part.ENGINE, "second")
    assert file.exists()
    with pytest.raises(SandboxError, match="letters"):
        box.snapshot(Part.ENGINE, "../data")


def test_data_is_not_copied_under_a_part_that_runs(tmp_path: Path) -> None:
    me = Started(os.getpid(), start_ticks(os.getpid()) or 0, boot_id(), "m")
    remember(tmp_path, State(Choices(base=20000), {Part.ENGINE: me}))
    with pytest.raises(SandboxError, match="stop it first"):
        Sandbox(tmp_path).snapshot(Part.ENGINE, "first")


def test_an_engine_with_authorization_says_whom_it_lets_in(tmp_path: Path) -> None:
    env = Sandbox(tmp_path, 20000, authorization=True).env()
    assert (env["CAMUNDA_USERNAME"], env["CAMUNDA_PASSWORD"]) == ("demo", "demo")
    assert "CAMUNDA_USERNAME" not in Sandbox(tmp_path, 20000).env()


def test_env_prints_lines_for_a_shell(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["env", "--dir", str(tmp_path), "--ports", "20000"])
    assert result.exit_code == 0
    lines = dict(line.split("=", 1) for line in result.stdout.splitlines())
    assert lines == Sandbox(tmp_path, 20000).env()


def test_what_can_not_be_installed_is_named_and_ends_with_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = Tool("RabbitMQ", "rabbitmq-server", lambda: None)
    monkeypatch.setattr(build, "needs", lambda *_: (absent,))
    monkeypatch.setattr(tools, "_root_prefix", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match="apt-get install rabbitmq-server"):
        Sandbox(tmp_path).up([Part.BROKER])
    result = CliRunner().invoke(app, ["up", "--dir", str(tmp_path), "--parts", "broker"])
    assert result.exit_code == 2
