"""The process definitions of the demo, as the checks need to know them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent / "processes"


@dataclass(frozen=True, slots=True)
class Definition:
    """A process of one external task: `task` is its activity, `ends` and `error_end` are its end events."""

    key: str
    topic: str
    task: str
    ends: frozenset[str]
    error_end: str

    @property
    def file(self) -> Path:
        """Its BPMN file."""
        return _FOLDER / f"{self.key}.bpmn"


SAUDACAO = Definition(
    key="saudacao", topic="say_hello", task="saudar", ends=frozenset({"saudado"}), error_end="sem_nome"
)

# The one end event that says that a publication was stored now, and not before.
STORED = "registrada"

PUBLICACOES = Definition(
    key="publicacoes",
    topic="nova_publicacao",
    task="registrar",
    ends=frozenset({STORED, "ja_conhecida"}),
    error_end="sigilosa",
)

DEFINITIONS = (SAUDACAO, PUBLICACOES)
