"""What a sandbox remembers."""

from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.parts import Choices, Part
from sandbox.process import Started
from sandbox.state import State, StateFile

CHOICES = Choices(base=20000, memory=True, history="none")
STARTED = Started(pid=4711, ticks=99, boot="b", mark="m")


def test_a_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "deep" / "folder")
    assert file.read() is None
    file.write(State(CHOICES, {Part.ENGINE: STARTED}))
    assert file.read() == State(CHOICES, {Part.ENGINE: STARTED})
    assert [path.name for path in file.directory.iterdir()] == ["state.json"]


def test_choices_of_another_version_are_left_out(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    file.write(State(Choices(base=20000, history="none")))
    file.path.write_text(file.path.read_text().replace('"history"', '"engine_version": "7.23.0", "history"'))
    assert file.read() == State(Choices(base=20000, history="none"))


def test_parts_are_recorded_and_forgotten_one_by_one(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    file.write(State(CHOICES))
    file.record(Part.ENGINE, STARTED)
    file.record(Part.STORE, STARTED)
    file.record(Part.ENGINE, None)
    state = file.read()
    assert state is not None
    assert state.started == {Part.STORE: STARTED}
    assert state.choices == CHOICES


def test_nothing_is_recorded_where_no_sandbox_is(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="no sandbox"):
        StateFile(tmp_path).record(Part.ENGINE, STARTED)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"choices": {"base": 1}, "started": {}, "compose": false}'])
def test_a_file_that_is_no_state_is_refused(tmp_path: Path, text: str) -> None:
    file = StateFile(tmp_path)
    file.path.write_text(text)
    with pytest.raises(SandboxError, match="state file"):
        file.read()
