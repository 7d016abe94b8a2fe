"""The process definitions of the engine in memory: their version tags, and where they throw BPMN errors."""

from __future__ import annotations

from collections.abc import Callable

from bridge.domain.task import Variables

ACTIVITY = "task"
"""The id of the external task in each of them."""

ErrorWhen = Callable[[Variables, str | None], bool]
"""The condition of an errorEventDefinition: on the variables, those of a completion too, and a failure's details."""


class Models:
    """What is deployed, by the ids of process definitions."""

    def __init__(self) -> None:
        self._tags: dict[str, str | None] = {}
        self._error_when: dict[str, ErrorWhen] = {}

    def deploy(self, key: str, version_tag: str | None, error_when: ErrorWhen | None) -> str:
        """Return the id of a process definition; each condition makes a version of its own."""
        version = 1 if error_when is None else 2 + len(self._error_when)
        definition = f"{key}:{version_tag or ''}:{version}"
        self._tags[definition] = version_tag
        if error_when is not None:
            self._error_when[definition] = error_when
        return definition

    def tag(self, definition: str) -> str | None:
        return self._tags[definition]

    def throws(self, definition: str, variables: Variables, details: str | None) -> bool:
        """Return whether the condition holds, where the definition has one."""
        condition = self._error_when.get(definition)
        return condition is not None and condition(variables, details)

    def throwing_activities(self, definition: str) -> frozenset[str] | None:
        """Return the activities with an errorEventDefinition; None where there is no such process definition."""
        if definition not in self._tags:
            return None
        return frozenset({ACTIVITY} if definition in self._error_when else ())
