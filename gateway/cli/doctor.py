"""The command `gateway doctor`: every connection, tested."""

from __future__ import annotations

import typer
import uvloop

from bridge.adapters.logging.journal import configure_logging
from gateway.cli.start import settings_of, topics_of
from gateway.doctor import diagnose


def doctor() -> None:
    """Test every connection and say what to mend; ends with 1 when something is wrong."""
    settings = settings_of()
    topics = topics_of(settings)
    configure_logging(level="ERROR", json=False)
    findings = uvloop.run(diagnose(settings, topics))
    for finding in findings:
        typer.secho(f"{'ok  ' if finding.ok else 'BAD '}", fg="green" if finding.ok else "red", nl=False)
        typer.echo(f"{finding.part:10}{finding.says}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
