"""Variables in nested scopes, as an engine keeps them: a process instance, within it elements and activities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from uuid import uuid4

from bridge.domain.task import TypedValue, Variables
from bridge.domain.variables import encode


@dataclass(slots=True)
class _Scope:
    outer: str
    variables: Variables


class Scopes:
    """`instances` has the variables of each process instance, by its id; they outlive it, as a history does."""

    def __init__(self) -> None:
        self.instances: dict[str, Variables] = {}
        self._inner: dict[str, _Scope] = {}

    def open(self, outer: str, variables: Variables) -> str:
        """Open a scope within another; return the id of its execution."""
        execution_id = str(uuid4())
        self._inner[execution_id] = _Scope(outer, dict(variables))
        return execution_id

    def close(self, execution_id: str) -> None:
        """End a scope and what only it holds."""
        self._inner.pop(execution_id, None)

    def __contains__(self, execution_id: str) -> bool:
        return execution_id in self._inner

    def seen(self, execution_id: str, *, local: bool = False) -> Variables:
        """Return what an execution sees, inner scopes over outer ones; `local`: only its own."""
        if local:
            return self._of(execution_id)
        seen: dict[str, TypedValue] = {}
        for scope in reversed(list(self._outwards(execution_id))):
            seen |= self._of(scope)
        return seen

    def set(self, execution_id: str, variables: Variables, *, local: bool = False) -> None:
        """Set each variable where the execution sees it, and a new one on the process instance; `local`: here."""
        for name, variable in variables.items():
            scopes = [execution_id] if local else list(self._outwards(execution_id))
            holder = next((scope for scope in scopes if name in self._of(scope)), scopes[-1])
            kept = {**self._of(holder), name: variable}
            if holder in self._inner:
                self._inner[holder].variables = kept
            else:
                self.instances[holder] = kept

    def _outwards(self, execution_id: str) -> Iterator[str]:
        while (scope := self._inner.get(execution_id)) is not None:
            yield execution_id
            execution_id = scope.outer
        yield execution_id

    def _of(self, execution_id: str) -> Variables:
        scope = self._inner.get(execution_id)
        return self.instances[execution_id] if scope is None else scope.variables


def has_any(variables: Variables, wanted: Mapping[str, object]) -> bool:
    """Return whether one of the variables is equal to its wanted value, in type and value; one is enough."""
    return any(variables.get(name) == value for name, value in encode(wanted).items())


def without_files(variables: Variables) -> Variables:
    """Return the variables as the engine hands them out: a File without its content, a Bytes with it."""
    return {
        name: replace(variable, value=None) if variable.type == "File" else variable
        for name, variable in variables.items()
    }
