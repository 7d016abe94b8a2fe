"""What the demo starts: each instance with its variables, and the end that it must come to."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import Enum, auto
from itertools import cycle
from typing import assert_never

from sandbox.demo.definitions import PUBLICACOES, SAUDACAO, Definition
from sandbox.demo.publications import Publication, person, publication

# More attempts than anybody grants: the retries run out.
NEVER = 1_000


class End(Enum):
    """Where an instance must end."""

    COMPLETED = auto()
    RETRIED = auto()  # fails at first, then completed
    BPMN_ERROR = auto()  # caught by the process
    REJECTED = auto()  # an incident at once, as no retry would help
    EXHAUSTED = auto()  # an incident after the last retry


class _Publication(Enum):
    """What happens to a publication: each leads to an `End`."""

    FIRST = auto()
    AGAIN = auto()
    SEALED = auto()
    MISREAD = auto()


# Each kind comes within the first six, so that the smallest demo shows them all. Twenty, then anew.
_GREETINGS = (
    *(End.COMPLETED, End.RETRIED, End.BPMN_ERROR, End.EXHAUSTED, End.COMPLETED),
    *(End.COMPLETED, End.COMPLETED, End.RETRIED, End.COMPLETED, End.COMPLETED),
    *(End.COMPLETED, End.BPMN_ERROR, End.COMPLETED, End.RETRIED, End.COMPLETED),
    *(End.COMPLETED, End.COMPLETED, End.COMPLETED, End.COMPLETED, End.COMPLETED),
)
_PUBLICATIONS = (
    *(_Publication.FIRST, _Publication.FIRST, _Publication.AGAIN, _Publication.SEALED, _Publication.MISREAD),
    *(_Publication.FIRST, _Publication.FIRST, _Publication.FIRST, _Publication.FIRST, _Publication.AGAIN),
    *(_Publication.FIRST, _Publication.FIRST, _Publication.SEALED, _Publication.FIRST, _Publication.FIRST),
    *(_Publication.FIRST, _Publication.FIRST, _Publication.AGAIN, _Publication.FIRST, _Publication.FIRST),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """An instance to start. `publication` is the publication's number and text, the same for one that comes twice."""

    definition: Definition
    business_key: str
    end: End
    variables: dict[str, object]
    publication: tuple[str, str] | None = None

    def wired(self) -> dict[str, dict[str, object]]:
        """Return the variables as the engine's REST API takes them."""
        return {name: _wire(value) for name, value in self.variables.items()}


def samples(count: int, seed: int, run: str) -> tuple[Sample, ...]:
    """Return `count` instances over both topics in turn; the same for the same seed, but for the run in their keys."""
    chance = random.Random(seed)  # noqa: S311 - made-up data, no secret
    greetings, publications = _greetings(chance, run), _publications(chance, run)
    return tuple(next(greetings) if place % 2 == 0 else next(publications) for place in range(count))


def business_keys(run: str) -> str:
    """Return the LIKE pattern of the business keys of one run."""
    return f"{run}-%"


def _greetings(chance: random.Random, run: str) -> Iterator[Sample]:
    for number, end in enumerate(cycle(_GREETINGS), start=1):
        variables: dict[str, object] = {"name": person(chance), "language": chance.choice(("pt", "pt", "pt", "en"))}
        match end:
            case End.RETRIED:
                variables["fail_times"] = chance.choice((1, 1, 2))
            case End.EXHAUSTED:
                variables["fail_times"] = NEVER
            case End.BPMN_ERROR:
                variables["name"] = "  "
            case End.COMPLETED | End.REJECTED:
                pass
            case _:
                assert_never(end)
        yield Sample(SAUDACAO, f"{run}-{SAUDACAO.key}-{number:05}", end, variables)


def _publications(chance: random.Random, run: str) -> Iterator[Sample]:
    once: list[Publication] = []
    for number, kind in enumerate(cycle(_PUBLICATIONS), start=1):
        made, end = _publication(chance, kind, once)
        variables: dict[str, object] = dict(made.variables())
        key = f"{run}-{PUBLICACOES.key}-{number:05}"
        yield Sample(PUBLICACOES, key, end, variables, (made.number, made.text))


def _publication(chance: random.Random, kind: _Publication, once: list[Publication]) -> tuple[Publication, End]:
    match kind:
        case _Publication.FIRST:
            once.append(publication(chance))
            return once[-1], End.COMPLETED
        case _Publication.AGAIN:
            return once.pop(chance.randrange(len(once))).repeated(), End.COMPLETED
        case _Publication.SEALED:
            return publication(chance, sealed=True), End.BPMN_ERROR
        case _Publication.MISREAD:
            return publication(chance).misread(), End.REJECTED
        case _:
            assert_never(kind)


def _wire(value: object) -> dict[str, object]:
    match value:
        case bool():
            return {"type": "Boolean", "value": value}
        case int():
            return {"type": "Integer", "value": value}
        case date():
            return {"type": "Date", "value": f"{value.isoformat()}T00:00:00.000-0300"}
        case _:
            return {"type": "String", "value": str(value)}
