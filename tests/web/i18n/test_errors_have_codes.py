"""No error of ours is raised with a text that has no code: pages could not translate it, nor a program tell it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Final

import litestar.exceptions
import pytest

from bridge.domain import errors
from bridge.domain.errors import GatewayError

ROOT: Final = Path(__file__).parents[3]
OURS: Final = frozenset(
    name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, GatewayError)
)
OF_HTTP: Final = frozenset(
    name
    for name, each in vars(litestar.exceptions).items()
    if isinstance(each, type) and issubclass(each, litestar.exceptions.HTTPException)
)
MAKERS: Final = frozenset({"message", "joined", "message_of", "Message"})
"""What makes a message with a code; `Message` takes the words of others, and says so where it stands."""

LOG_ALONE: Final = MappingProxyType(
    {
        "SetupError": "the gateway does not start: the command line and the log show it, in English",
        "TopicError": "the gateway does not start: its reader is the author of the topic",
        "TopicsPackageMissing": "the gateway does not start: the command line names the package",
        "ServerEnded": "the process ends: there is no page any more",
        "ProcessEnding": "the process ends: the task is left to another one",
        "ModelUnreadable": "the boundary events of a model are not known: the log says why, and tasks are worked",
    }
)
NOT_FOR_PAGES: Final = MappingProxyType(
    {
        "bridge/adapters/memory/engine.py": "it says what the engine says, in the engine's own words",
        "bridge/adapters/memory/refusals.py": "it says what the engine says, in the engine's own words",
        "bridge/adapters/memory/broker.py": "no production wiring imports it",
        "bridge/testing/__init__.py": "the test kit of the authors of topics",
    }
)


class Module:
    """One file's errors, and what the names in it stand for."""

    def __init__(self, source: str) -> None:
        self._tree = ast.parse(source)
        self._values: dict[str, list[ast.expr]] = {}
        self._messages: set[str] = set()
        self._attributes: set[str] = {"message"}
        self._functions: set[str] = set()
        for node in ast.walk(self._tree):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self._values.setdefault(name, []).append(value)
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    self._values.setdefault(name, []).append(value)
                case ast.arg(arg=name, annotation=ast.Name(id="Message")):
                    self._messages.add(name)
                case ast.MatchAs(pattern=ast.MatchClass(cls=ast.Name(id="Message")), name=str(name)):
                    self._messages.add(name)
                case ast.AnnAssign(target=ast.Attribute(attr=name), annotation=kind) if "Message" in ast.unparse(kind):
                    self._attributes.add(name)
                case ast.FunctionDef(name=name, returns=ast.Name(id="Message")):
                    self._functions.add(name)

    def uncoded(self) -> Iterator[tuple[str, int]]:
        """Go through the errors that are made with a text that may have no code: their class, and the line."""
        for node in ast.walk(self._tree):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            if name in OURS - ARGUMENTS and not all(map(self._has_code, node.args[:1])):
                yield name, node.lineno
            if name in OF_HTTP:
                details = [each.value for each in node.keywords if each.arg == "detail"]
                # Litestar makes a plain text of what is given by its place.
                if node.args or not all(map(self._has_code, details)):
                    yield name, node.lineno

    def _has_code(self, value: ast.expr) -> bool:
        match value:
            case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
                return name in MAKERS | self._functions
            case ast.Attribute(attr=name):
                return name in self._attributes
            case ast.IfExp(body=one, orelse=other):
                return self._has_code(one) and self._has_code(other)
            case ast.Name(id=name):
                values = self._values.get(name, [])
                return name in self._messages or (bool(values) and all(map(self._has_code, values)))
        return False


ARGUMENTS: Final = frozenset(
    name for name in OURS if "message" not in inspect.signature(vars(errors)[name].__init__).parameters
    and vars(errors)[name].__init__ is not Exception.__init__
)  # fmt: skip
"""Errors that are made of other things than a text, and write their message themselves."""


def files() -> list[Path]:
    return sorted(path for package in ("bridge", "web", "gateway") for path in (ROOT / package).rglob("*.py"))


def test_every_error_that_reaches_a_page_or_the_api_has_a_code() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in files()
        if str(path.relative_to(ROOT)) not in NOT_FOR_PAGES
        for name, line in Module(path.read_text(encoding="utf-8")).uncoded()
        if name not in LOG_ALONE
    ]
    assert found == []


def test_the_exceptions_are_still_needed() -> None:
    left = {name for path in files() for name, _ in Module(path.read_text(encoding="utf-8")).uncoded()}
    assert left >= LOG_ALONE.keys()
    for file in NOT_FOR_PAGES:
        assert list(Module((ROOT / file).read_text(encoding="utf-8")).uncoded())


@pytest.mark.parametrize(
    ("source", "uncoded"),
    [
        ("raise Refusal('no')", True),
        ("raise Refusal(f'no {name}')", True),
        ("WHY = 'no'\nraise Refusal(WHY)", True),
        ("raise Refusal(str(error))", True),
        ("raise HTTPException('no', status_code=429)", True),
        ("raise HTTPException(message('request.listeners'), status_code=429)", True),
        ("raise HTTPException(detail=message('request.listeners'), status_code=429)", False),
        ("raise ValidationException(detail='no')", True),
        ("raise Refusal(message('user.unknown', name=name))", False),
        ("WHY: Final = message('key.label')\nraise Refusal(WHY)", False),
        ("def refused(why: Message) -> Refusal:\n    return Refusal(why)", False),
        ("def refused(why: str) -> Refusal:\n    return Refusal(why)", True),
        ("match found:\n    case Message() as why:\n        raise Refusal(why)", False),
        ("match found:\n    case str() as why:\n        raise Refusal(why)", True),
        ("raise CallCut(error.message)", False),
        ("raise ValueError('no')", False),
    ],
)
def test_what_is_found(source: str, uncoded: bool) -> None:
    assert bool(list(Module(source).uncoded())) is uncoded
