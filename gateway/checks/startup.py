"""The checks at a start: each finding is a line of the log, by the same code and words as `gateway doctor`'s."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable

from bridge.ports.journal import Level
from gateway.checks.endpoints import PROVIDER, TRACES
from gateway.checks.engine import check_engine
from gateway.checks.finding import Finding, Severity
from gateway.checks.settings import check_settings
from gateway.checks.store import EXCHANGE
from gateway.settings_file import settings_file
from gateway.wiring import Gateway


class StartupChecks:
    """Finds once what is wrong, and delays nothing. What stops a start, or is repeated by a loop, is not asked again.

    Store and broker are asked as they are connected; the engine's rights and identity, and the clock, by their loops.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def check_settings(self) -> None:
        """Tell what is wrong with the settings alone."""
        self._tell(check_settings(self._gateway.settings, os.environ, settings_file(os.environ)))

    async def run_once(self) -> None:
        """Tell what is wrong with the engine, the other processes, the identity provider and the traces' collector."""
        gateway = self._gateway
        found = await asyncio.gather(
            check_engine(gateway, at_start=True), *(check.findings(gateway) for check in (EXCHANGE, PROVIDER, TRACES))
        )
        self._tell(one for some in found for one in some)

    def _tell(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            if finding.severity is not Severity.OK:
                self._gateway.journal.write(
                    "misconfigured",
                    level=Level.WARNING,
                    part=finding.part,
                    code=finding.code,
                    error=finding.says,
                    hint=finding.change,
                )
