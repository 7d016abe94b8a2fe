"""The command `gateway config`: the settings in force."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from bridge.domain.errors import SetupError
from gateway.cli.failure import ExitCode, fail
from gateway.cli.output import note, print_json, print_table
from gateway.settings_origin import settings_in_force


def config(
    changed: Annotated[bool, typer.Option("--changed", help="Only settings that are not the default.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the settings in force, secrets masked, and where each is from; ends with 2 where they can't be used."""
    found = settings_in_force()
    settings = [one for one in found.settings if not changed or one.origin != "default"]
    if as_json:
        names = [asdict(one) for one in found.unknown]
        print_json({"settings": [asdict(one) for one in settings], "unknown": names, "fault": found.fault})
    else:
        print_table(("SETTING", "VALUE", "FROM"), [(one.name, one.value, one.origin) for one in settings])
        for unknown in found.unknown:
            note(f"unknown setting {unknown.name} ({unknown.source}): {unknown.change}")
    if found.fault is not None:
        fail(SetupError(found.fault), ExitCode.USAGE)
