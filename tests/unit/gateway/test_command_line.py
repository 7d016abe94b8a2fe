"""The command line as a whole: what its help says, and that a small command imports no client of a server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import topics
from gateway.cli.main import COMMANDS, app
from gateway.version import gateway_version

SERVERS = ("aio_pika", "aiohttp", "beanie", "bridge.adapters", "faststream", "litestar", "opentelemetry", "pymongo",
           "structlog", "uvicorn", "uvloop")  # fmt: skip
SETTINGS = ("pydantic_settings", "gateway.settings")
FIRST_LINES = "import sys; sys.argv[1:] = {arguments!r}; from gateway.cli.main import main"
TOLD = """
try:
    main()
except SystemExit as end:
    print("exit", end.code or 0)
print("imported", *sorted(name for name in sys.modules if name.split(".")[0] in {names!r} or name in {names!r}))
"""


def imported(folder: Path, *arguments: str, names: tuple[str, ...]) -> tuple[int, set[str]]:
    """Run a command in a process of its own; return its exit code, and which of the modules it imported."""
    code = FIRST_LINES.format(arguments=list(arguments)) + TOLD.format(names=names)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    *_, end, found = done.stdout.splitlines()
    return int(end.removeprefix("exit ")), set(found.split()[1:])


@pytest.mark.parametrize("arguments", [("--version",), ("version",), ("--help",), ("init", "mine")])
def test_a_command_without_settings_imports_next_to_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert imported(tmp_path, *arguments, names=SERVERS + SETTINGS) == (0, set())


@pytest.mark.parametrize("arguments", [("topics", "new", "ship"), ("topics", "--help")])
def test_a_command_of_topics_files_imports_no_server(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert imported(tmp_path, *arguments, names=SERVERS) == (0, set())


API = (*SERVERS, *SETTINGS, "babel")


@pytest.mark.parametrize(
    "arguments", [("tasks", "list"), ("failures", "list"), ("operations", "list"), ("tasks", "export")]
)
def test_a_command_that_calls_the_api_imports_no_server(
    tmp_path: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_URL", "http://127.0.0.1:1")
    assert imported(tmp_path, *arguments, names=API) == (1, set())


def test_the_settings_are_shown_without_a_server(tmp_path: Path) -> None:
    assert imported(tmp_path, "config", "--json", names=(*SERVERS, "httpx")) == (0, set())


@pytest.mark.parametrize(("name", "command"), [*COMMANDS.items(), *topics.COMMANDS.items()])
def test_a_command_is_listed_with_its_own_help(name: str, command: Any) -> None:
    assert command.help == command.load(name).help.split("\n\n")[0].replace("\n", " ")


def test_the_version_is_an_option_and_a_command() -> None:
    for arguments in (["--version"], ["version"]):
        done = CliRunner().invoke(app, arguments)
        assert (done.exit_code, done.stdout) == (0, f"{gateway_version()}\n")


def test_a_command_that_there_is_not_is_told_with_the_nearest() -> None:
    done = CliRunner().invoke(app, ["topcis"])
    assert done.exit_code == 2
    assert "Did you mean 'topics'?" in done.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_given_its_completion(shell: str) -> None:
    done = CliRunner().invoke(app, [], prog_name="gateway", env={"_GATEWAY_COMPLETE": f"source_{shell}"})
    assert done.exit_code == 0
    assert "gateway" in done.stdout


def test_commands_are_completed_with_their_groups() -> None:
    typed = {"_GATEWAY_COMPLETE": "complete_bash", "COMP_WORDS": "gateway topics r", "COMP_CWORD": "2"}
    done = CliRunner().invoke(app, [], prog_name="gateway", env=typed)
    assert done.stdout.split() == ["run"]
