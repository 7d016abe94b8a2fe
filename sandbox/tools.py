"""The programs that the sandbox stands on, and their installation where that is possible."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import Missing

Say = Callable[[str], None]

GO_NEEDED = (1, 22)
JAVA_NEEDED = 17

# Debian keeps these off the PATH: its own /usr/sbin/rabbitmq-server insists on the user rabbitmq.
BROKER_HOMES = (Path("/usr/lib/rabbitmq/bin"), Path("/opt/rabbitmq/sbin"))
GO_HOMES = (Path("/usr/local/go/bin"), Path("/usr/lib/go/bin"))
POLICY = Path("/usr/sbin/policy-rc.d")


@dataclass(frozen=True)
class Tool:
    """A program, the Debian package that brings it, and how to find it."""

    name: str
    package: str
    find: Callable[[], Path | None]

    def require(self) -> Path:
        """Where it is; raises Missing with what to install."""
        found = self.find()
        if found is None:
            raise Missing(f"{self.name} is missing: install the package {self.package}")
        return found


def _on_path(name: str, homes: Iterable[Path] = ()) -> Path | None:
    for home in homes:
        if os.access(home / name, os.X_OK):
            return home / name
    found = shutil.which(name)
    return Path(found) if found else None


def _version(command: list[str], pattern: str) -> tuple[int, ...]:
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    match = re.search(pattern, answer.stdout + answer.stderr)
    return tuple(int(number) for number in match.groups()) if match else ()


def _java() -> Path | None:
    # The compiler stands for the whole kit: a runtime alone can't build the engine.
    compiler, runtime = _on_path("javac"), _on_path("java")
    if compiler is None or runtime is None:
        return None
    return runtime if _version([str(compiler), "-version"], r"javac (\d+)") >= (JAVA_NEEDED,) else None


def _broker() -> Path | None:
    return _on_path("rabbitmq-server", BROKER_HOMES) if _on_path("epmd") else None


def _go() -> Path | None:
    found = _on_path("go", GO_HOMES)
    if found is None:
        return None
    return found if _version([str(found), "version"], r"go(\d+)\.(\d+)") >= GO_NEEDED else None


JAVA = Tool(f"a JDK ({JAVA_NEEDED} or newer)", "default-jdk-headless", _java)
MAVEN = Tool("Maven", "maven", lambda: _on_path("mvn"))
BROKER = Tool("RabbitMQ", "rabbitmq-server", _broker)
GO = Tool(f"Go ({'.'.join(map(str, GO_NEEDED))} or newer)", "golang-go", _go)


def install(tools: Iterable[Tool], say: Say) -> None:
    """Install by apt what isn't here; raises Missing, with the command to give, when that can't be done."""
    missing = [tool for tool in tools if tool.find() is None]
    if not missing:
        return
    packages = [tool.package for tool in missing]
    names = ", ".join(tool.name for tool in missing)
    prefix = _root_prefix()
    if prefix is None or shutil.which("apt-get") is None:
        raise Missing(f"{names} missing, and not to be installed from here. Run: apt-get install {' '.join(packages)}")
    say(f"installing {' '.join(packages)}")
    with tempfile.TemporaryFile("w+") as log:
        environment = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive"]
        _no_services(prefix, lambda: _apt(environment, packages, log.fileno()))
        still = [tool.name for tool in missing if tool.find() is None]
        if still:
            log.seek(0)
            raise Missing(f"apt-get didn't bring {', '.join(still)}:\n{log.read()[-2000:]}")


def _apt(environment: list[str], packages: list[str], log: int) -> None:
    for arguments in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", *packages]):
        subprocess.run([*environment, "apt-get", *arguments], stdout=log, stderr=log, check=False)


def _root_prefix() -> list[str] | None:
    if os.geteuid() == 0:
        return []
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    ):
        return ["sudo", "-n"]
    return None


def _no_services(prefix: list[str], action: Callable[[], None]) -> None:
    """Keep the package from starting a broker of the system, now and at the next boot."""
    ours = not POLICY.exists()
    had_broker = _broker() is not None
    if ours:
        with tempfile.NamedTemporaryFile("w", suffix=".sh") as policy:
            policy.write("#!/bin/sh\nexit 101\n")
            policy.flush()
            subprocess.run([*prefix, "install", "-m", "755", policy.name, str(POLICY)], check=False)
    try:
        action()
    finally:
        if ours:
            subprocess.run([*prefix, "rm", "-f", str(POLICY)], check=False)
    if not had_broker and Path("/run/systemd/system").exists():
        service = [*prefix, "systemctl", "disable", "--now", "rabbitmq-server"]
        subprocess.run(service, capture_output=True, check=False)
