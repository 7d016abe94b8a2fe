"""Another package with a name of the gateway's: the command says which, and does not run the other one's code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.packaging.installation import Installation, install

ADVICE = "Let worker-api-gateway have an environment of its own, and look at PYTHONPATH"


@pytest.mark.parametrize("name", ["gateway", "web"])
def test_a_package_that_comes_first_is_named(installed: Installation, tmp_path: Path, name: str) -> None:
    other = tmp_path / name / "__init__.py"
    other.parent.mkdir()
    other.write_text("raise SystemExit('the other one ran')\n")
    ended = installed.gateway(tmp_path, "version", env={"PYTHONPATH": str(tmp_path)})
    hides = f"{other} is imported in place of the gateway's package {name!r} in {installed.packages}, which it hides"
    assert (ended.code, ended.text) == (2, f"gateway: {hides}. {ADVICE}\n")


def test_a_folder_of_that_name_that_is_no_package_hides_nothing(installed: Installation, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    ended = installed.gateway(tmp_path, "version", env={"PYTHONPATH": str(tmp_path)})
    assert (ended.code, ended.text) == (0, "1.0.0\n")


def test_a_package_that_was_installed_over_it_is_named(wheel: Path, tmp_path: Path) -> None:
    """Pip lets the files of one distribution overwrite those of another, and says nothing."""
    spoilt = install(wheel, tmp_path / "venv")
    (spoilt.packages / "web" / "__init__.py").write_text("from web.webapi import ctx\n")
    info = spoilt.packages / "web.py-0.62.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: web.py\nVersion: 0.62\n")
    (info / "RECORD").write_text("web/__init__.py,,\nweb.py-0.62.dist-info/METADATA,,\n")
    ended = spoilt.gateway(tmp_path, "serve")
    shared = "the package 'web' is worker-api-gateway's and web.py's: one overwrites the other's files"
    assert (ended.code, ended.text) == (2, f"gateway: {shared}. {ADVICE}\n")
    told = spoilt.module(
        tmp_path, "timeit", "-n1", "-r1", "-s", "import worker_api_gateway as w", "print(*w.shared_packages())"
    )
    assert shared in told.text

    (spoilt.packages / "web" / "__init__.py").unlink()
    ended = spoilt.gateway(tmp_path, "version")
    damaged = f"the gateway's package 'web' in {spoilt.packages} is damaged: install worker-api-gateway again"
    assert (ended.code, ended.text) == (2, f"gateway: {damaged}. {ADVICE}\n")


def test_another_error_of_an_import_is_not_explained_away(wheel: Path, tmp_path: Path) -> None:
    broken = install(wheel, tmp_path / "venv")
    (broken.packages / "bridge" / "topic.py").write_text("import nowhere_at_all\n")
    ended = broken.gateway(tmp_path, "doctor")
    assert ended.code == 1
    assert "No module named 'nowhere_at_all'" in ended.text
