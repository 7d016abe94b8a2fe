"""Renders the overlays of deploy/kubernetes by kustomize itself, which is built once and kept."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]

from sandbox.build import cache
from sandbox.state import locked
from sandbox.tools import GO, install

VERSION: Final = "v5.7.1"
KUBERNETES: Final = Path(__file__).parents[2] / "deploy" / "kubernetes"


def kustomize() -> Path:
    """Return the program; Go compares what it loads with its checksum database."""
    folder = cache() / "kustomize" / VERSION
    program = folder / "kustomize"
    with locked(cache() / "kustomize.lock"):
        if not program.exists():
            install((GO,), print)
            command = [str(GO.require()), "install", f"sigs.k8s.io/kustomize/kustomize/v5@{VERSION}"]
            environment = {**os.environ, "GOBIN": str(folder), "GOFLAGS": "-mod=mod"}
            subprocess.run(command, env=environment, cwd=cache(), check=True, capture_output=True, timeout=600)
    return program


def render(program: Path, overlay: str) -> list[dict[str, Any]]:
    """Return the objects of an overlay, in the order in which they are to be made."""
    command = [str(program), "build", str(KUBERNETES / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))
