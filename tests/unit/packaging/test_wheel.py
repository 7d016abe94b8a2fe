"""The wheel: all that the gateway needs, nothing that is the checkout's own."""

from __future__ import annotations

import subprocess
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

from tests.unit.packaging.installation import ROOT, Installation

PACKAGES = ("bridge", "gateway", "sandbox", "web")
ENTRY = "worker_api_gateway.py"
LEFT_OUT = ("sandbox/demo/", "sandbox/soak/")


@pytest.fixture(scope="session")
def files(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_it_has_every_file_of_its_packages_and_no_other(files: set[str]) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES, ENTRY],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    pages = subprocess.run(
        ["git", "ls-files", "--cached", "templates", "static"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    present = {f"web/{path}" for path in pages if (ROOT / path).exists()}
    present |= {path for path in tracked if (ROOT / path).exists() and not path.startswith(LEFT_OUT)}
    assert {"bridge/topic.py", "web/templates/base.html", "web/static/app.css"} <= present
    assert files == present


def test_it_has_no_topics(files: set[str]) -> None:
    assert {path.split("/")[0] for path in files} == {*PACKAGES, ENTRY}
    assert not [path for path in files if "say_hello" in path or "nova_publicacao" in path]


@pytest.mark.parametrize("package", ["bridge", "gateway", "web"])
def test_its_types_are_for_others_too(files: set[str], package: str) -> None:
    assert f"{package}/py.typed" in files


def test_each_dependency_has_bounds(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(name))
    needed = [Requirement(text) for text in metadata.get_all("Requires-Dist") or []]
    needed = [requirement for requirement in needed if requirement.marker is None]
    assert len(needed) > 30
    for requirement in needed:
        kinds = {clause.operator for clause in requirement.specifier}
        assert kinds in ({">=", "<"}, {"=="}), requirement
    assert metadata["Requires-Python"] == "<3.14,>=3.11"


def test_the_command_runs_without_a_checkout(installed: Installation, tmp_path: Path) -> None:
    version = installed.gateway(tmp_path, "version")
    assert (version.code, version.text) == (0, "1.0.0\n")
    shown = installed.gateway(tmp_path, "sandbox", "--help")
    assert (shown.code, "up" in shown.text) == (0, True), shown.text


def test_pages_have_their_templates_and_files(installed: Installation, tmp_path: Path) -> None:
    found = installed.module(
        tmp_path, "timeit", "-n1", "-r1",
        "-s", "from web.components import assets, page",
        "print(page.FOLDER, (page.FOLDER / 'base.html').is_file(), (assets.FOLDER / 'app.css').is_file())",
    )  # fmt: skip
    assert f"{installed.packages / 'web' / 'templates'} True True" in found.text
