"""Models as the field has them, one of each beside the run: what each must come to, by the engine's history."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from sandbox.demo.checks import Mismatch
from sandbox.demo.engine import DEPLOYMENT, EngineApi, LogKind
from sandbox.demo.together import together

_FOLDER: Final = Path(__file__).parent / "processes"
_GUESTS: Final = ("Ana", "Bruno", "Célia", "Davi", "Elis", "Fábio", "Gil", "Helena", "Ivo", "Júlia")
_AT_ONCE: Final = 4
_EVERY: Final = 0.5
_COMPLETED: Final = "COMPLETED"


@dataclass(frozen=True, slots=True)
class Model:
    """A process of one kind: started with `variables`, it must end at `end`.

    `log` is how many entries of each kind the log of its external tasks has. `results` are the variables that it must
    leave, each with all the values that it has in the instance's scopes, in no order.
    """

    key: str
    kind: str
    end: str
    variables: Mapping[str, Mapping[str, object]]
    log: Mapping[LogKind, int]
    results: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """Its BPMN file."""
        return _FOLDER / f"{self.key}.bpmn"


def _text(value: str) -> Mapping[str, object]:
    return {"type": "String", "value": value}


def _json(value: object) -> Mapping[str, object]:
    return {"type": "Json", "value": json.dumps(value)}


MODELS: Final = (
    Model(
        key="boas_vindas",
        kind="input mapping",
        end="recebido",
        variables={"tratamento": _text("Dra."), "cliente": _text("Ana")},
        log={LogKind.CREATION: 1, LogKind.SUCCESS: 1},
        results={"mensagem": ["Olá, Dra. Ana!"]},
    ),
    Model(
        key="convites",
        kind="parallel multi-instance",
        end="todos_convidados",
        variables={"convidados": _json(_GUESTS), "convites": _json([])},
        log={LogKind.CREATION: len(_GUESTS), LogKind.SUCCESS: len(_GUESTS)},
        results={"invitation": [f"Convite: {guest}" for guest in _GUESTS]},
    ),
    Model(
        key="cobranca",
        kind="errorEventDefinition of a failure",
        end="recusado",
        variables={"name": _text("Ana"), "fail_times": {"type": "Integer", "value": 1}},
        log={LogKind.CREATION: 1, LogKind.DELETION: 1},
    ),
    Model(
        key="mural",
        kind="errorEventDefinition of a completion",
        end="recusado",
        variables={"name": _text("Ana"), "proibido": _text("Hello, Ana!")},
        log={LogKind.CREATION: 1, LogKind.DELETION: 1},
        results={"greeting": ["Hello, Ana!"]},
    ),
)


@dataclass(frozen=True, slots=True)
class Ended:
    """What the engine says of a model's instance that has ended or was waited for long enough."""

    state: str
    ends: Sequence[str]
    log: Mapping[LogKind, int]
    results: Mapping[str, Sequence[str]]


async def start_models(engine: EngineApi, run: str) -> Sequence[str]:
    """Deploy and start one instance of each; their business keys are not those of the run's other instances."""
    await engine.deploy([model.file for model in MODELS], f"{DEPLOYMENT}-models")
    calls = [partial(engine.start, model.key, f"{run}.{model.key}", model.variables) for model in MODELS]
    return await together(calls, _AT_ONCE)


async def check_models(engine: EngineApi, ids: Sequence[str], within: float) -> Sequence[Mismatch]:
    """Wait until all have ended, for `within` seconds at the most; return what is not as it must be."""
    deadline = time.monotonic() + within
    while True:
        ended = [await engine.state(instance) == _COMPLETED for instance in ids]
        if all(ended) or time.monotonic() > deadline:
            break
        await asyncio.sleep(_EVERY)
    return [
        Mismatch(model.kind, instance, "; ".join(problems))
        for model, instance in zip(MODELS, ids, strict=True)
        if (problems := problems_of(model, await look(engine, model, instance)))
    ]


async def look(engine: EngineApi, model: Model, instance: str) -> Ended:
    """Read what the history has of an instance."""
    entries = await engine.task_log(instance)
    return Ended(
        state=await engine.state(instance),
        ends=await engine.ends(instance),
        log={kind: sum(entry.kind is kind for entry in entries) for kind in LogKind},
        results={name: await engine.values(instance, name) for name in model.results},
    )


def problems_of(model: Model, ended: Ended) -> Sequence[str]:
    """Tell how an instance differs from what its model must come to."""
    problems = []
    if ended.state != _COMPLETED:
        problems.append(f"is {ended.state}, not {_COMPLETED}")
    if list(ended.ends) != [model.end]:
        problems.append(f"ended at {', '.join(ended.ends) or 'none'}, not at {model.end}")
    for kind in (LogKind.CREATION, LogKind.SUCCESS, LogKind.DELETION):
        seen, due = ended.log.get(kind, 0), model.log.get(kind, 0)
        if seen != due:
            problems.append(f"has {seen} entries of {kind.name.lower()} in its tasks' log, not {due}")
    for name, due_values in model.results.items():
        values = ended.results.get(name, ())
        if sorted(values) != sorted(due_values):
            problems.append(f"left {name} as {', '.join(sorted(values)) or 'nothing'}")
    return problems
