"""How a command ends that can't do what it is asked for."""

from __future__ import annotations

import os
from enum import IntEnum
from typing import NoReturn

import typer

from bridge.domain.errors import GatewayError


class ExitCode(IntEnum):
    """What the exit code of a command says; the manual lists them."""

    ERROR = 1
    USAGE = 2
    NOT_FOUND = 3
    DENIED = 4
    CONFLICT = 5


def fail(error: GatewayError, code: int = ExitCode.USAGE) -> NoReturn:
    """Say what is wrong, and end the command with the code."""
    typer.secho(f"gateway: {error}", fg="red", err=True, color=False if os.environ.get("NO_COLOR") else None)
    raise typer.Exit(code)
