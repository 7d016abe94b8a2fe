"""What a sandbox remembers between two commands: its choices, and what it started."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Final

from sandbox.errors import SandboxError
from sandbox.parts import Choices, Part
from sandbox.process import Started

_CHOICES: Final = frozenset(each.name for each in fields(Choices))
"""A sandbox of another version may have remembered others."""


@dataclass(frozen=True)
class State:
    """The content of the state file."""

    choices: Choices
    started: dict[Part, Started] = field(default_factory=dict)
    compose: bool = False

    def with_part(self, part: Part, started: Started | None) -> "State":
        """The same, with the part started, or (None) stopped on purpose."""
        others = {name: record for name, record in self.started.items() if name is not part}
        return replace(self, started=others if started is None else {**others, part: started})

    def to_json(self) -> str:
        """As text."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "State":
        """From text; raises SandboxError when it isn't a state."""
        try:
            raw = json.loads(text)
            return cls(
                choices=Choices(**{name: value for name, value in raw["choices"].items() if name in _CHOICES}),
                started={Part(name): Started(**record) for name, record in raw["started"].items()},
                compose=raw["compose"],
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SandboxError(f"the state file isn't one of a sandbox: {error!r}") from error


@dataclass(frozen=True)
class StateFile:
    """The state of the sandbox in a folder; several commands may change it at once."""

    directory: Path

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.directory / "state.json"

    def read(self) -> State | None:
        """The state, or None when there was never a sandbox here."""
        try:
            return State.from_json(self.path.read_text())
        except FileNotFoundError:
            return None

    def write(self, state: State) -> None:
        """Replace the state in one step, so that a reader never sees half of it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(f".{os.getpid()}.tmp")
        fresh.write_text(state.to_json())
        fresh.replace(self.path)

    def record(self, part: Part, started: Started | None) -> None:
        """Note that a part was started, or (None) stopped on purpose."""
        with locked(self.directory / "state.lock"):
            state = self.read()
            if state is None:
                raise SandboxError(f"there is no sandbox in {self.directory}")
            self.write(state.with_part(part, started))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock against other threads and processes; the system gives it back when its holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
