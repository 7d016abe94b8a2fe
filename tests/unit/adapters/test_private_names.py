"""Private names of libraries that the gateway uses: all of them are listed here, and each is as the gateway needs it.

A library may change a private name in any version. The bounds in pyproject.toml are narrow where such a name is used;
decisions 36 to 38 say why it is used.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from aiormq.connection import Connection
from camunda.client.async_external_task_client import AsyncExternalTaskClient
from pamqp import decode, frame
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

ROOT: Final = Path(__file__).parents[3]
PACKAGES: Final = ("gateway", "bridge", "web", "sandbox")


def parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def unmarshals_headers_by_name() -> None:
    """pamqp: the function that decodes a content header is looked up in its module, and replaced by ours."""
    assert parameters(frame._unmarshal_header_frame) == ["frame_data"]
    assert "_unmarshal_header_frame" in frame.unmarshal.__code__.co_names
    assert callable(decode.METHODS["shortstr"])


def bounds_its_queue_by_an_attribute() -> None:
    """aiormq: the write queue is an asyncio.Queue; the gateway takes its bound away on an open connection."""
    assert "write_queue" in inspect.getsource(Connection)
    assert vars(asyncio.Queue(maxsize=3))["_maxsize"] == 3


def describes_topics() -> None:
    """camunda-external-task-client-python3: the description of topics in a fetchAndLock is the library's."""
    assert parameters(AsyncExternalTaskClient._get_topics) == ["self", "topic_names", "process_variables", "variables"]


def takes_its_headers_from_a_method() -> None:
    """camunda-external-task-client-python3: the headers of each call; ours have the credentials."""
    assert parameters(AsyncExternalTaskClient._get_headers) == ["self"]


def warns_of_an_upgrade() -> None:
    """uvicorn: the warning that any client can cause with a header is written by a method, which ours leaves empty."""
    assert parameters(HttpToolsProtocol._unsupported_upgrade_warning) == ["self"]
    assert "_unsupported_upgrade_warning" in inspect.getsource(HttpToolsProtocol)


def generates_schemas() -> None:
    """litestar: the type of a parameter of a public hook is defined in a private module; imported for types only."""
    importlib.import_module("litestar._openapi.schema_generation").SchemaCreator  # noqa: B018 - it must be there


CHECKS: Final[dict[str, Callable[[], None]]] = {
    "_unmarshal_header_frame": unmarshals_headers_by_name,
    "_maxsize": bounds_its_queue_by_an_attribute,
    "_get_topics": describes_topics,
    "_get_headers": takes_its_headers_from_a_method,
    "_unsupported_upgrade_warning": warns_of_an_upgrade,
    "_openapi": generates_schemas,
}
DOCUMENTED: Final = {"_exit", "_current_frames"}
"""Names of `os` and `sys` that Python's documentation describes for general use."""
OF_PYTHON: Final = {"_abc_impl", "_is_protocol"}
"""What Python itself gives to each abstract class and Protocol."""


@pytest.mark.parametrize("name", CHECKS)
def test_the_library_still_has_the_name_as_it_is_used(name: str) -> None:
    CHECKS[name]()


def test_every_private_name_of_a_library_is_listed() -> None:
    assert set(_foreign_names()) | set(_overridden_names()) == CHECKS.keys() | DOCUMENTED


def _foreign_names() -> Iterator[str]:
    """Yield the private names that the code uses and nowhere defines."""
    used: set[str] = set()
    defined: set[str] = set()
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                used |= _used(node)
                defined |= _defined(node)
    yield from used - defined


def _used(node: ast.AST) -> set[str]:
    match node:
        case ast.Attribute(attr=name):
            names = {name}
        case ast.ImportFrom(module=module, names=imported):
            names = {*(module or "").split("."), *(alias.name for alias in imported)}
        case ast.Import(names=imported):
            names = {part for alias in imported for part in alias.name.split(".")}
        case ast.Call(func=ast.Name(id="getattr" | "setattr" | "hasattr"), args=[_, ast.Constant(value=str(name)), *_]):
            names = {name}
        case ast.Subscript(value=ast.Call(func=ast.Name(id="vars")), slice=ast.Constant(value=str(name))):
            names = {name}
        case _:
            names = set()
    return {name for name in names if _is_private(name)}


def _defined(node: ast.AST) -> set[str]:
    """Return the private names that a statement gives to something of ours."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Name(id=name, ctx=ast.Store()):
            return {name}
        case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
            return {name}
        case ast.Assign(targets=[ast.Name(id="__slots__")], value=ast.Tuple(elts=slots)):
            return {slot.value for slot in slots if isinstance(slot, ast.Constant) and isinstance(slot.value, str)}
        case _:
            return set()


def _overridden_names() -> Iterator[str]:
    """Yield the private names of a library's class that the text of a class of ours defines anew.

    Libraries set names of their own on a class at run time (Beanie does so when a store is opened), so the text
    decides.
    """
    for ours in _classes():
        written = _written_names(ours)
        for base in ours.__mro__[1:]:
            if base.__module__.split(".")[0] not in {*PACKAGES, "builtins", "typing", "enum", "abc", "pydantic"}:
                yield from (name for name in written & vars(base).keys() if _is_private(name) and name not in OF_PYTHON)


def _written_names(ours: type) -> set[str]:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(ours))).body
    assert isinstance(definition, ast.ClassDef)
    names: set[str] = set()
    for statement in definition.body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case _:
                pass
    return names


def _classes() -> Iterator[type]:
    for package in ("gateway", "bridge", "web"):
        root = importlib.import_module(package)
        for module in pkgutil.walk_packages(root.__path__, f"{package}."):
            if module.name.endswith("__main__"):
                continue
            found = importlib.import_module(module.name)
            yield from (one for one in vars(found).values() if inspect.isclass(one) and one.__module__ == module.name)


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"
