"""One wheel, and one installation of it, a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.packaging.installation import Installation, build, install


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Return an installation that all tests of the session share; none of them changes it."""
    return install(wheel, tmp_path_factory.mktemp("installed") / "venv")
