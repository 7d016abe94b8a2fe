"""All that a file in `topics/` imports from the gateway.

from bridge.topic import topic, Context, Retry, Fail, BpmnError

@topic("charge_card", timeout=30, concurrency=8, retries=3)
async def charge_card(order: Order, context: Context) -> Receipt: ...
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar, get_type_hints

from pydantic import BaseModel

from bridge.errors import TopicError

In = TypeVar("In", bound=BaseModel)
Out = TypeVar("Out")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")


class Retry(Exception):
    """Raise it when the work can't be done now: the task is tried again `after` seconds (or our growing delay)."""

    def __init__(
        self, message: str = "retry asked for by the handler", *, after: float | timedelta | None = None
    ) -> None:
        super().__init__(message)
        self.after = timedelta(seconds=after) if isinstance(after, int | float) else after


class Fail(Exception):
    """Raise it when trying again is of no use: an incident is raised at once."""


class BpmnError(Exception):
    """Raise it to throw a BPMN error with `code` at the task's activity, with optional variables."""

    def __init__(self, code: str, message: str = "", variables: Mapping[str, Any] | None = None) -> None:
        super().__init__(message or code)
        self.code = code
        self.message = message
        self.variables = dict(variables or {})


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
    variables: Sequence[str] | None = None,
    process_definition_keys: Sequence[str] | None = None,
    tenant_ids: Sequence[str] | None = None,
    secrets: Sequence[str] = (),
) -> Callable[[Callable[..., Any]], Topic[Any, Any]]:
    """Make a function the handler of a topic. Durations are in seconds.

    The function takes one pydantic model and, if it wants it, a `Context`; it may be async or plain (a plain one runs
    in a thread). Raises `TopicError` where the name, a bound or the signature is not usable.
    """
    if not _NAME.fullmatch(name):
        raise TopicError(f"topic name {name!r}: use letters, digits and _ . : - only, 128 at most")
    for label, bound in (("timeout", timeout), ("concurrency", concurrency), ("lock", lock), ("weight", weight)):
        if bound is not None and bound <= 0:
            raise TopicError(f"topic {name!r}: {label} must be above 0, not {bound}")
    if retries is not None and retries < 0:
        raise TopicError(f"topic {name!r}: retries must be 0 or more, not {retries}")
    for label, chosen in (("process_definition_keys", process_definition_keys), ("tenant_ids", tenant_ids)):
        if chosen is not None and not chosen:
            # The engine takes an empty list for no filter at all.
            raise TopicError(f"topic {name!r}: {label} is empty; name some, or leave it out to take all")

    def declare(handler: Callable[..., Any]) -> Topic[Any, Any]:
        model, takes_context = _read_signature(name, handler)
        return Topic(
            name=name,
            handler=handler,
            input=model,
            takes_context=takes_context,
            is_async=inspect.iscoroutinefunction(handler),
            timeout=None if timeout is None else timedelta(seconds=timeout),
            concurrency=concurrency,
            retries=retries,
            lock=None if lock is None else timedelta(seconds=lock),
            weight=weight,
            variables=None if variables is None else tuple(variables),
            process_definition_keys=None if process_definition_keys is None else tuple(process_definition_keys),
            tenant_ids=None if tenant_ids is None else tuple(tenant_ids),
            secrets=frozenset(secrets),
        )

    return declare


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
