"""A topic: what its file declares, what its handler is given, and which tasks are fetched for it.

Authors of topics import from `bridge.topic`, which shows what is defined here and beside it.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import isfinite
from typing import Any, Final, Generic, Literal, Protocol, TypeVar, get_type_hints

from pydantic import BaseModel

from bridge.domain.errors import TopicError
from bridge.domain.inputs import input_names

In = TypeVar("In", bound=BaseModel)
Out = TypeVar("Out")

NAME_LIMIT: Final = 255
"""How many characters, as Java counts them, the engine's column for a topic's name holds."""
ALL: Final = "*"
"""As a topic's `variables`: all that a task sees."""

_FILTERS: Final = (
    "business_key", "process_variables", "process_definition_keys", "process_definition_ids",
    "process_definition_version_tag", "tenant_ids", "without_tenant_id",
)  # fmt: skip

Scalar = str | bool | int | float
"""What a process variable can be compared with in a fetch."""


class Log(Protocol):
    """A structured logger, already bound to the task: `context.log.info("charged", amount_cents=100)`."""

    def debug(self, event: str, **values: Any) -> Any: ...
    def info(self, event: str, **values: Any) -> Any: ...
    def warning(self, event: str, **values: Any) -> Any: ...
    def error(self, event: str, **values: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler may know about its task.

    `idempotency_key` is the same over all attempts of a task: hand it to systems that can refuse a repetition.
    `attempt` counts runs from 1. `put_once(kind, key, record)` keeps a record under its key the first time only, and
    returns the record's id and whether it was new. `read_file(variable)` returns the content of a File variable.

    `execution_id` names the scope in which the task sees its variables; `activity_id` is the activity's id in the
    model. `priority` is the engine's. `retries_left` is how often the task is tried again if this run fails.
    `created_at` is when the engine made the task, in UTC; None where the engine doesn't tell (before
    7.21, and of a task that was submitted before 7.24).
    `properties` are the extension properties of the activity, where the topic asks for them; a task that was
    submitted has none.
    """

    task_id: str
    topic: str
    attempt: int
    idempotency_key: str
    business_key: str | None
    process_instance_id: str | None
    tenant_id: str | None
    log: Log
    put_once: Callable[[str, str, Mapping[str, Any]], Awaitable[tuple[str, bool]]]
    read_file: Callable[[str], Awaitable[bytes]]
    activity_id: str | None = None
    process_definition_key: str | None = None
    process_definition_id: str | None = None
    execution_id: str | None = None
    priority: int = 0
    retries_left: int = 0
    created_at: datetime | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class File:
    """A File variable, as input (`content` None: read it by `Context.read_file`) or as a result."""

    name: str
    content: bytes | None = None
    mime_type: str = "application/octet-stream"
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class Topic(Generic[In, Out]):
    """A topic and the function that does its work. Call it like the function in a unit test.

    Durations: `timeout` bounds one run, `lock` is what a fetch locks for; None takes the gateway's setting.
    `concurrency` bounds runs at once in one process. `retries` None takes TASK_RETRY_LIMIT.
    `weight` is the topic's share of fetches when there is more to do than room.

    What is fetched: `variables` None for all that a task sees; with `local_variables` only those of its own scope.
    `include_extension_properties` fetches the properties of the task's activity.
    Which tasks are fetched: those to which all of the other fields apply, of which None (and False) ask for nothing;
    of `process_variables`, which are of the process instance, one is enough.
    The names are those of the engine's fetch (Camunda 7.24 REST reference, "Fetch and Lock", `topics`).
    """

    name: str
    handler: Callable[..., Any]
    input: type[In]
    takes_context: bool
    is_async: bool
    timeout: timedelta | None = None
    concurrency: int = 16
    retries: int | None = None
    lock: timedelta | None = None
    weight: int = 1
    variables: tuple[str, ...] | None = None
    process_definition_keys: tuple[str, ...] | None = None
    tenant_ids: tuple[str, ...] | None = None
    secrets: frozenset[str] = field(default_factory=frozenset)
    local_variables: bool = False
    include_extension_properties: bool = False
    business_key: str | None = None
    process_variables: Mapping[str, Scalar] | None = None
    process_definition_ids: tuple[str, ...] | None = None
    process_definition_version_tag: str | None = None
    without_tenant_id: bool = False

    @property
    def filters(self) -> Mapping[str, Any]:
        """By which tasks are fetched, each by the name that `topic` has for it; only those that are set."""
        return {name: value for name in _FILTERS if (value := getattr(self, name))}

    def retry_limit(self, usual: int) -> int:
        """Return how often a task may be retried; `usual` is TASK_RETRY_LIMIT."""
        return usual if self.retries is None else self.retries

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.handler(*args, **kwargs)


def topic(
    name: str,
    *,
    timeout: float | None = None,
    concurrency: int = 16,
    retries: int | None = None,
    lock: float | None = None,
    weight: int = 1,
    variables: Sequence[str] | Literal["*"] | None = None,
    local_variables: bool = False,
    include_extension_properties: bool = False,
    business_key: str | None = None,
    process_variables: Mapping[str, Scalar] | None = None,
    process_definition_keys: Sequence[str] | None = None,
    process_definition_ids: Sequence[str] | None = None,
    process_definition_version_tag: str | None = None,
    tenant_ids: Sequence[str] | None = None,
    without_tenant_id: bool = False,
    secrets: Sequence[str] = (),
) -> Callable[[Callable[..., Any]], Topic[Any, Any]]:
    """Make a function the handler of a topic. Durations are in seconds.

    The function takes one pydantic model and, if it wants it, a `Context`; it may be async or plain (a plain one runs
    in a thread). `variables` are those to fetch; None takes those that the model names, `"*"` all.
    Raises `TopicError` where the name, a bound, a filter or the signature is not usable.
    """
    _check_name(name)
    for label, bound in (("timeout", timeout), ("concurrency", concurrency), ("lock", lock), ("weight", weight)):
        if bound is not None and bound <= 0:
            raise TopicError(f"topic {name!r}: {label} must be above 0, not {bound}")
    if retries is not None and retries < 0:
        raise TopicError(f"topic {name!r}: retries must be 0 or more, not {retries}")
    options: dict[str, Any] = {
        "timeout": None if timeout is None else timedelta(seconds=timeout),
        "concurrency": concurrency,
        "retries": retries,
        "lock": None if lock is None else timedelta(seconds=lock),
        "weight": weight,
        "secrets": frozenset(secrets),
        "local_variables": local_variables,
        "include_extension_properties": include_extension_properties,
        "business_key": business_key,
        "process_variables": None if process_variables is None else dict(process_variables),
        "process_definition_keys": _listed(name, "process_definition_keys", process_definition_keys),
        "process_definition_ids": _listed(name, "process_definition_ids", process_definition_ids),
        "process_definition_version_tag": process_definition_version_tag,
        "tenant_ids": _listed(name, "tenant_ids", tenant_ids),
        "without_tenant_id": without_tenant_id,
    }
    _check_filters(name, options)
    if isinstance(variables, str) and variables != ALL:
        raise TopicError(f"topic {name!r}: variables is a list of names, or {ALL!r} for all, not {variables!r}")

    def declare(handler: Callable[..., Any]) -> Topic[Any, Any]:
        model, takes_context = _read_signature(name, handler)
        wanted = input_names(model) if variables is None else None if variables == ALL else tuple(variables)
        is_async = inspect.iscoroutinefunction(handler)
        return Topic(name, handler, model, takes_context, is_async, variables=wanted, **options)

    return declare


def _listed(name: str, label: str, chosen: Sequence[str] | None) -> tuple[str, ...] | None:
    if chosen is None:
        return None
    if isinstance(chosen, str):
        raise TopicError(f"topic {name!r}: {label} is a list of names, not {chosen!r}")
    if not chosen:
        # The engine takes an empty list for no filter at all.
        raise TopicError(f"topic {name!r}: {label} is empty; name some, or leave it out to take all")
    return tuple(chosen)


def _check_filters(name: str, options: Mapping[str, Any]) -> None:
    """Raise `TopicError` for a filter that the engine would take for none, or that lets no task through."""
    for label in ("business_key", "process_definition_version_tag", "process_variables"):
        if options[label] is not None and not options[label]:
            raise TopicError(f"topic {name!r}: {label} is empty; leave it out to take all")
    for variable, value in (options["process_variables"] or {}).items():
        if not isinstance(value, str | bool | int | float) or (isinstance(value, float) and not isfinite(value)):
            what = f"process_variables compares with text, a number or a bool, not with {value!r}"
            raise TopicError(f"topic {name!r}: {what} ({variable})")
    if options["without_tenant_id"] and options["tenant_ids"] is not None:
        raise TopicError(f"topic {name!r}: no task is of tenant_ids and without_tenant_id; choose one of them")
    for label in ("process_definition_keys", "process_definition_version_tag"):
        if options["process_definition_ids"] is not None and options[label] is not None:
            raise TopicError(f"topic {name!r}: process_definition_ids tell all of {label}; choose one of them")


def _check_name(name: str) -> None:
    """Raise `TopicError` for a name that no model can have; otherwise it is for the engine to say what a name is."""
    if not isinstance(name, str) or not name:
        raise TopicError(f"topic name {name!r}: it is a text of 1 to {NAME_LIMIT} characters")
    try:
        length = len(name.encode("utf-16-le")) // 2
    except UnicodeEncodeError as error:
        raise TopicError(f"topic name {name!r}: it is not valid Unicode: {error.reason}") from error
    if length > NAME_LIMIT:
        raise TopicError(f"topic name {name[:40]!r}...: it has {length} characters, the engine keeps {NAME_LIMIT}")
    if "\0" in name:
        raise TopicError(f"topic name {name!r}: no model can name a topic with a NUL")


def _read_signature(name: str, handler: Callable[..., Any]) -> tuple[type[BaseModel], bool]:
    hint = (
        f"topic {name!r}: {getattr(handler, '__qualname__', handler)} must be `def f(input: Model, context: Context)`"
    )
    if not inspect.isfunction(handler):
        raise TopicError(f"{hint}; decorate a function")
    parameters = list(inspect.signature(handler).parameters.values())
    try:
        types = get_type_hints(handler)
    except NameError as error:
        raise TopicError(f"{hint}; its annotations can't be read: {error}") from error
    if not 1 <= len(parameters) <= 2:
        raise TopicError(f"{hint}; it takes {len(parameters)} parameters")
    model = types.get(parameters[0].name)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TopicError(f"{hint}; its first parameter needs a pydantic model as its type")
    takes_context = len(parameters) == 2
    if takes_context and types.get(parameters[1].name) is not Context:
        raise TopicError(f"{hint}; its second parameter must be a Context")
    return model, takes_context
