"""What is looked for at the top of a repository: licence, changes, and the hooks of a commit."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]

ROOT: Final = Path(__file__).parents[3]
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_licence_is_the_one_that_the_package_names() -> None:
    assert (PROJECT["license"], PROJECT["license-files"]) == ("Apache-2.0", ["LICENSE"])
    text = read("LICENSE")
    assert re.search(r"Apache License\s+Version 2\.0, January 2004", text)
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_changelog_has_the_version_and_a_place_for_what_comes() -> None:
    sections = re.findall(r"^## \[([^\]]+)\](?: - (\d{4}-\d\d-\d\d))?$", read("CHANGELOG.md"), re.MULTILINE)
    assert sections[0] == ("Unreleased", "")
    assert PROJECT["version"] in dict(sections)
    assert all(day for _, day in sections[1:])


def test_a_commit_is_held_to_what_lint_holds() -> None:
    (local,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    hooks = {hook["entry"].removeprefix(".venv/bin/").replace(" --force-exclude", "") for hook in local["hooks"]}
    lint = re.search(r"^lint: setup\n((?:\t.+\n)+)", read("Makefile"), re.MULTILINE)
    assert lint is not None
    commands = {line.strip().removeprefix("$(RUN)/") for line in lint[1].splitlines()}
    assert hooks == {command.removesuffix(" .") if command.startswith("ruff") else command for command in commands}
