"""Commands whose modules are imported when they run: help, and a small command, import no server's client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is: a function, or a group of commands. `help` stands in lists, and is that of the command."""

    module: str
    attribute: str
    help: str

    def load(self, name: str) -> Any:
        """Import the command, and return it as Typer runs it."""
        found = getattr(import_module(self.module), self.attribute)
        if isinstance(found, typer.Typer):
            return get_group(found)
        app = typer.Typer(add_completion=False)
        app.command(name)(found)
        return get_command(app)


def lazy_group(commands: Mapping[str, LazyCommand]) -> type[TyperGroup]:
    """Return the class of a group that has these commands besides its own."""

    class LazyGroup(TyperGroup):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            for name, command in commands.items():
                self.add_command(TyperCommand(name, help=command.help), name)

        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            name, command, rest = super().resolve_command(ctx, args)
            lazy = None if name is None else commands.get(name)
            return name, command if lazy is None or name is None else lazy.load(name), rest

    return LazyGroup
