"""Real servers (Camunda 7, MongoDB's protocol, RabbitMQ, Jaeger) on a machine without a Docker engine."""

from sandbox.box import PartStatus, Sandbox
from sandbox.errors import ArtifactMissing, BuildFailed, Missing, PartFailed, PortTaken, SandboxError
from sandbox.parts import Part
from sandbox.ports import DEFAULT_BASE, Ports

__all__ = [
    "DEFAULT_BASE",
    "ArtifactMissing",
    "BuildFailed",
    "Missing",
    "Part",
    "PartFailed",
    "PartStatus",
    "PortTaken",
    "Ports",
    "Sandbox",
    "SandboxError",
]
