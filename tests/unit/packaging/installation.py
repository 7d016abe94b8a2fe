"""An installation of the wheel: an environment of its own that has the dependencies, and no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Installation:
    """A virtual environment into which the wheel was installed."""

    venv: Path
    packages: Path
    """Its site-packages."""

    @property
    def python(self) -> str:
        return str(self.venv / "bin" / "python")

    def gateway(self, folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Ended:
        """Run the command `gateway` in a folder."""
        return run([str(self.venv / "bin" / "gateway"), *arguments], folder, env)

    def module(self, folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Ended:
        """Run `python -m` in a folder."""
        return run([self.python, "-m", *arguments], folder, env)


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that ended, with all that it wrote."""

    code: int
    text: str


def build(folder: Path) -> Path:
    """Build the wheel of this checkout; return its path."""
    done = run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], ROOT)
    assert done.code == 0, done.text
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, venv: Path) -> Installation:
    """Install the wheel alone; its dependencies are those of the Python that runs the tests."""
    # Without pip of its own, as bootstrapping it takes longest.
    made = run([sys.executable, "-m", "venv", "--without-pip", str(venv)], venv.parent)
    assert made.code == 0, made.text
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "install", "--no-index", "--no-deps"]
    installed = run([*pip, "--quiet", str(wheel)], venv.parent)
    assert installed.code == 0, installed.text
    (packages,) = venv.glob("lib/python*/site-packages")
    # By one path in a file: what site-packages of the tests' own names by such files, as the checkout, is not seen.
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return Installation(venv, packages)


def run(command: list[str], folder: Path, env: Mapping[str, str] | None = None) -> Ended:
    """Run a command without the settings and paths of the session that runs the tests."""
    given = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**given, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=250,
        check=False,
    )
    return Ended(done.returncode, done.stdout)
