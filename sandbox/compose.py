"""Where Docker takes the sandbox's place: the same parts as containers, on the same ports."""

import os
import shutil
import subprocess

from sandbox.errors import SandboxError
from sandbox.ports import Ports

COMMAND = ("docker", "compose", "--profile", "sandbox")


def available() -> bool:
    """True when a Docker engine answers."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def env(ports: Ports) -> dict[str, str]:
    """What the compose file reads to publish its ports where the sandbox has them."""
    return {
        "ENGINE_PORT": str(ports.engine),
        "STORE_PORT": str(ports.store),
        "BROKER_PORT": str(ports.broker),
        "OTLP_GRPC_PORT": str(ports.otlp_grpc),
        "OTLP_HTTP_PORT": str(ports.otlp_http),
        "JAEGER_PORT": str(ports.query),
    }


def up(ports: Ports) -> None:
    """Start the containers and wait until they are healthy."""
    _run(ports, "up", "-d", "--wait")


def down(ports: Ports, *, wipe: bool) -> None:
    """End the containers."""
    _run(ports, "down", *(["--volumes"] if wipe else []))


def _run(ports: Ports, *arguments: str) -> None:
    done = subprocess.run([*COMMAND, *arguments], env={**os.environ, **env(ports)}, check=False)
    if done.returncode != 0:
        raise SandboxError(f"{' '.join([*COMMAND, *arguments])} ended with {done.returncode}")
