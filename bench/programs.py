"""The clients that are built: once for each state of their sources, outside of the work tree."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError
from sandbox.build import cache, fingerprint, tail
from sandbox.state import locked
from sandbox.tools import GO, JAVA, MAVEN

HERE = Path(__file__).parent
_GENERATED = ("target", "node_modules")


@dataclass(frozen=True)
class Program:
    """Sources in a folder, the commands that build them, what must be installed for it, and what comes out."""

    name: str
    sources: Path
    product: str
    missing: Callable[[], str | None]
    build: Callable[[], tuple[str, ...]]

    def place(self) -> Path:
        """Return the product; built now unless it is in the cache."""
        home = cache() / "bench" / f"{self.name}-{fingerprint(self.sources)}"
        if (home / "ready").exists():
            return home / self.product
        with locked(cache() / "bench" / f"{self.name}.lock"):
            if not (home / "ready").exists():
                self._build(home)
        return home / self.product

    def _build(self, home: Path) -> None:
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(self.sources, home, ignore=shutil.ignore_patterns(*_GENERATED))
        log = cache() / "bench" / f"{self.name}.log"
        with log.open("w") as output:
            done = subprocess.run(self.build(), cwd=home, stdout=output, stderr=output, check=False)
        if done.returncode != 0:
            raise BenchError(f"building {self.name} failed; the end of {log}:\n{tail(log)}")
        (home / "ready").touch()


def _no_go() -> str | None:
    return None if GO.find() else "Go is not installed"


def _no_java() -> str | None:
    return None if JAVA.find() and MAVEN.find() else "a JDK and Maven are not installed"


def _no_node() -> str | None:
    return None if shutil.which("node") and shutil.which("npm") else "Node.js with npm is not installed"


def _go() -> tuple[str, ...]:
    return (str(GO.require()), "build", "-trimpath", "-o", "ceiling", ".")


def _maven() -> tuple[str, ...]:
    return (str(MAVEN.require()), "--batch-mode", "--quiet", "package")


def _npm() -> tuple[str, ...]:
    return ("npm", "install", "--no-package-lock", "--no-audit", "--no-fund")


CEILING = Program("ceiling", HERE / "ceiling", "ceiling", _no_go, _go)
JAVASCRIPT = Program("javascript", HERE / "clients" / "javascript", "client.js", _no_node, _npm)
JAVA_CLIENT = Program("java", HERE / "clients" / "java", "target/client.jar", _no_java, _maven)
