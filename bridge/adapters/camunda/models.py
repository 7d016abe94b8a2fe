"""Reads the activities with an errorEventDefinition from a process definition's BPMN."""

from __future__ import annotations

from typing import Final
from xml.parsers import expat

from bridge.domain.errors import ModelUnreadable

MOST_BYTES: Final = 16_000_000
"""How large a model is read at the most; the engine's own tools make none of a tenth of that."""
_EXTENSION: Final = ("extensionElements", "errorEventDefinition")


def find_throwing_activities(model: str) -> frozenset[str]:
    """Return the ids of the activities that have a `camunda:errorEventDefinition` among their extension elements.

    Of any namespace, as the engine takes it (Camunda 7.24, `BpmnParse.parseCamundaErrorEventDefinitions`): that of a
    boundary event is no extension element. Raises `ModelUnreadable` for what is no XML, is too large, or has a document
    type declaration, as BPMN never has: so no entity is expanded, and nothing is read from elsewhere.
    """
    content = model.encode("utf-8", "replace")
    if len(content) > MOST_BYTES:
        raise ModelUnreadable(f"the model has {len(content)} bytes, and {MOST_BYTES} are read at the most")
    reader = _Reader()
    parser = expat.ParserCreate(encoding="utf-8", namespace_separator=" ")
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise ModelUnreadable(f"the model is no XML that can be read: {error}") from error
    return frozenset(reader.found)


class _Reader:
    """Keeps the names and ids of the elements that are open."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self._open: list[tuple[str, str | None]] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._open.append((name.rpartition(" ")[2], attributes.get("id")))
        if tuple(local for local, _ in self._open[-2:]) == _EXTENSION:
            self._find(self._open[:-2])

    def end(self, _name: str) -> None:
        self._open.pop()

    def _find(self, around: list[tuple[str, str | None]]) -> None:
        """Keep the id of the activity; that of a message event has the extension elements in its definition."""
        for name, element_id in reversed(around):
            if name != "messageEventDefinition":
                if element_id is not None:
                    self.found.add(element_id)
                return


def _refuse_doctype(*_declared: object) -> None:
    raise ModelUnreadable("the model has a document type declaration, which no BPMN has")
