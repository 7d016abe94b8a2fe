"""How a command ends that can't do what it is asked for."""

from __future__ import annotations

from typing import NoReturn

import typer

from bridge.domain.errors import GatewayError


def fail(error: GatewayError, code: int = 2) -> NoReturn:
    """Say what is wrong, and end the command with the code."""
    typer.secho(f"gateway: {error}", fg="red", err=True)
    raise typer.Exit(code)
