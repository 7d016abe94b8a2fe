"""The topics that this process knows: what the files of a package declare, checked as a whole at the start."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType, ModuleType, TracebackType
from typing import Any

from bridge.domain.errors import TopicError, TopicsPackageMissing
from bridge.domain.topic import Topic


@dataclass(frozen=True, slots=True, eq=False)
class Registry(Mapping[str, Topic[Any, Any]]):
    """The topics by name, in the order of their names. A read-only mapping."""

    topics: Mapping[str, Topic[Any, Any]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "topics", MappingProxyType(dict(sorted(self.topics.items()))))

    def __getitem__(self, name: str) -> Topic[Any, Any]:
        return self.topics[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.topics)

    def __len__(self) -> int:
        return len(self.topics)

    @property
    def names(self) -> tuple[str, ...]:
        """The topics' names, sorted."""
        return tuple(self.topics)

    @property
    def definitions(self) -> frozenset[str]:
        """The keys of the process definitions that the topics take tasks of; none where one takes those of any."""
        keys = [topic.process_definition_keys for topic in self.topics.values()]
        return frozenset() if None in keys else frozenset(key for some in keys for key in some or ())


def load_topics(package: str, supported: tuple[str, ...] | None = None) -> Registry:
    """Import every file of the package, by its dotted name, and return the topics; `supported` None takes them all.

    Files and folders whose names start with `_` are left out. Raises `TopicError`, which names the file, for one that
    can't be imported or declares no topic and for a topic that is declared twice; also where `supported` names a
    topic that no file declares. It is `TopicsPackageMissing` where there is no such package at all.
    """
    importlib.invalidate_caches()
    root = _import_package(package)
    if not hasattr(root, "__path__"):
        raise TopicError(f"topics package {package!r} is a single file: name the package that holds the topics' files")
    found = _by_name(list(_import_files(root)))
    if supported is None:
        return Registry(found)
    if unknown := sorted(set(supported) - set(found)):
        known = ", ".join(sorted(found)) or "none"
        raise TopicError(f"SUPPORTED_TOPICS names {', '.join(unknown)}: no such topic in {package!r}; known: {known}")
    return Registry({name: found[name] for name in supported})


def _import_package(package: str) -> ModuleType:
    try:
        with _Naming(f"topics package {package!r}"):
            return importlib.import_module(package)
    except TopicError as error:
        missing = error.__cause__.name if isinstance(error.__cause__, ModuleNotFoundError) else None
        if missing is not None and f"{package}.".startswith(f"{missing}."):
            raise TopicsPackageMissing(str(error)) from error.__cause__
        raise


class _Naming:
    """Turns whatever an import raises into a `TopicError` that says whose it is; the error itself is its cause.

    A context manager because a file may raise anything at all. An `exit()` left in a file is its error too.
    """

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception | SystemExit):
            raise TopicError(f"{self._what} can't be imported: {type(error).__name__}: {error}") from error


def _import_files(package: ModuleType) -> Iterator[ModuleType]:
    """Import the package's files, and those of its folders, by name."""
    for item in sorted(pkgutil.iter_modules(package.__path__), key=lambda item: item.name):
        if item.name.startswith("_"):
            continue
        name = f"{package.__name__}.{item.name}"
        with _Naming(_file(name, is_folder=item.ispkg)):
            module = importlib.import_module(name)
        if item.ispkg:
            yield from _import_files(module)
        else:
            yield module


def _by_name(modules: list[ModuleType]) -> dict[str, Topic[Any, Any]]:
    topics: dict[str, Topic[Any, Any]] = {}
    files: dict[str, str] = {}
    for module, declared in _declared(modules):
        file = _file(module.__name__)
        if not declared:
            raise TopicError(f"{file} declares no topic: decorate a function with @topic, or start its name with _")
        for topic in declared:
            if topic.name in files:
                where = f"twice in {file}" if files[topic.name] == file else f"in {files[topic.name]} and in {file}"
                raise TopicError(f"topic {topic.name!r} is declared {where}: a name belongs to one function")
            topics[topic.name] = topic
            files[topic.name] = file
    return topics


def _declared(modules: list[ModuleType]) -> Iterator[tuple[ModuleType, list[Topic[Any, Any]]]]:
    """Tell for each file which topics are its own, and not imported from another of the files."""
    held = {module.__name__: _held(module) for module in modules}
    owners: dict[int, str] = {}
    for name, topics in held.items():
        for topic in topics:
            home = topic.handler.__module__
            owners.setdefault(id(topic), home if _holds(held.get(home, ()), topic) else name)
    for module in modules:
        yield module, [topic for topic in held[module.__name__] if owners[id(topic)] == module.__name__]


def _held(module: ModuleType) -> list[Topic[Any, Any]]:
    """Return the topics among a module's names, each once however many names it has."""
    return list({id(value): value for value in vars(module).values() if isinstance(value, Topic)}.values())


def _holds(topics: Iterable[Topic[Any, Any]], wanted: Topic[Any, Any]) -> bool:
    return any(topic is wanted for topic in topics)


def _file(module: str, *, is_folder: bool = False) -> str:
    return module.replace(".", "/") + ("/__init__.py" if is_folder else ".py")
