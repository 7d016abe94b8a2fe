"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bridge.domain.errors import GatewayError
from gateway.checks.causes import cause_of


class Severity(StrEnum):
    """OK: nothing to do. WARNING: the gateway works, and not as it should. ERROR: it does not work."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. `code` names the fault, for programs; `change` says what to change, and where.

    Neither text has a secret in it: addresses come without user and password.
    """

    part: str
    severity: Severity
    says: str
    code: str = ""
    change: str = ""

    @property
    def ok(self) -> bool:
        """Whether the gateway works all the same."""
        return self.severity is not Severity.ERROR


def good(part: str, says: str) -> Finding:
    """Return that nothing is wrong."""
    return Finding(part, Severity.OK, says)


def warning(part: str, code: str, says: str, change: str) -> Finding:
    """Return something that the gateway works with, though it should be changed."""
    return Finding(part, Severity.WARNING, says, code, change)


def fault(part: str, code: str, says: str, change: str) -> Finding:
    """Return something that the gateway does not work with."""
    return Finding(part, Severity.ERROR, says, code, change)


def failed(part: str, error: GatewayError, where: str = "") -> Finding:
    """Return the finding for a call that failed; `where` is the address, without its user and password."""
    cause = cause_of(part, error)
    says = f"{where}: {error}" if where else str(error)
    return Finding(part, Severity.ERROR, says, cause.code, cause.change)
