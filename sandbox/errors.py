"""What can go wrong with a sandbox, said so that the reader knows what to do next."""


class SandboxError(Exception):
    """Something about the sandbox that its user can put right."""


class Missing(SandboxError):
    """A tool isn't here and can't be installed by us."""


class BuildFailed(SandboxError):
    """A part couldn't be built; the message ends with the tail of the log."""


class ArtifactMissing(BuildFailed):
    """A part couldn't be built, as the registry that this machine reaches lacks an artifact of it."""


class PartFailed(SandboxError):
    """A part ended, or didn't answer in time; the message ends with the tail of its log."""


class PortTaken(SandboxError):
    """A port of the sandbox belongs to somebody else."""
