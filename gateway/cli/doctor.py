"""The command `gateway doctor`: tests everything, and says what to change."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import typer
import uvloop

from bridge.adapters.logging.journal import configure_logging
from gateway.checks.finding import Finding, Severity
from gateway.cli.start import settings_of, topics_of
from gateway.doctor import diagnose

_MARKS: Final = {Severity.OK: ("ok  ", "green"), Severity.WARNING: ("warn", "yellow"), Severity.ERROR: ("BAD ", "red")}
_WIDTH: Final = 18


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")] = False,
) -> None:
    """Test the settings and every server, and say what to change; ends with 1 when something does not work."""
    settings = settings_of()
    topics = topics_of(settings)
    configure_logging(level="CRITICAL", json=False)
    findings = uvloop.run(diagnose(settings, topics))
    if as_json:
        typer.echo(json.dumps(_document(findings), indent=2, ensure_ascii=False))
    else:
        for finding in findings:
            _show(finding)
        typer.echo(_summary(findings))
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _show(finding: Finding) -> None:
    mark, colour = _MARKS[finding.severity]
    typer.secho(mark, fg=colour, nl=False)
    typer.echo(f"  {finding.part:{_WIDTH}}{finding.says}")
    for line in _advice(finding):
        typer.echo(f"{'':{_WIDTH + 6}}{line}")


def _advice(finding: Finding) -> Iterator[str]:
    if finding.change:
        yield f"-> {finding.change}"
    if finding.code:
        yield f"   [{finding.code}]"


def _summary(findings: Sequence[Finding]) -> str:
    counts = {severity: sum(one.severity is severity for one in findings) for severity in Severity}
    return f"{counts[Severity.OK]} ok, {counts[Severity.WARNING]} to look at, {counts[Severity.ERROR]} to mend"


def _document(findings: Sequence[Finding]) -> dict[str, object]:
    return {
        "ok": all(finding.ok for finding in findings),
        "findings": [
            {
                "part": finding.part,
                "severity": finding.severity.value,
                "code": finding.code,
                "says": finding.says,
                "change": finding.change,
            }
            for finding in findings
        ],
    }
