"""What counts as the engine's answer: each call says what it expects, and anything else is no answer at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import orjson

from bridge.domain.errors import (
    EngineError,
    EngineForbidden,
    EngineRejected,
    ForeignAnswer,
    LeaseLost,
    PayloadRefused,
    TaskGone,
)

T = TypeVar("T")

_MESSAGE_READ: Final = 10_000
"""How many characters are kept of an error's message: the engine tells the cause at its beginning."""
_JSON: Final = "application/json"
_BYTES: Final = "application/octet-stream"
# Statuses that the engine's REST interface never gives: a login, a proxy or a gateway answered in its place.
_NEVER_THE_ENGINES: Final = frozenset({401, 407, 408, 413, 429, 502, 503, 504})
# But for this 401, of an engine without a login that is asked for rights. Source: AuthorizationRestServiceImpl.
_NOBODY_LOGGED_IN: Final = ("InvalidRequestException", "You must be authenticated in order to use this resource.")
_HINTS: Final = {
    401: "a login, or CAMUNDA_USERNAME, CAMUNDA_PASSWORD or CAMUNDA_TOKEN are refused",
    403: "a proxy or a firewall refuses the call",
    404: "another service, or CAMUNDA_URL has a wrong path",
    407: "a proxy asks for a login",
    408: "a proxy gave up on the request",
    429: "a proxy limits the rate of calls",
    502: "a proxy finds no engine behind it",
    503: "a proxy finds no engine behind it, or maintenance",
    504: "a proxy did not wait for the engine",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a call. `asked` is the size of the request's body in bytes.

    `content_type`, `disposition` and `date` are the headers of these names as they came, where they did.
    """

    status: int
    body: bytes
    content_type: str = ""
    disposition: str = ""
    date: str | None = None
    asked: int = 0

    @property
    def media_type(self) -> str:
        """The content's type without its parameters (RFC 9110, 8.3.1)."""
        return self.content_type.partition(";")[0].strip().lower()

    @property
    def told_at(self) -> datetime | None:
        """The engine's own time, in whole seconds (RFC 9110, 6.6.1); None where it tells none that can be read."""
        try:
            found = None if self.date is None else parsedate_to_datetime(self.date)
        except ValueError:
            return None
        return None if found is None or found.tzinfo is None else found


class _Unexpected(ValueError):
    """Something else came than the call expects; the text says what was expected."""


Read = Callable[[Answer], T]
"""Takes what a call expects out of its answer; a ValueError, KeyError, TypeError or AttributeError says that it isn't
there."""


def nothing(answer: Answer) -> None:
    """Expect 204: how the engine confirms each command."""
    if answer.status != 204:
        raise _Unexpected("204 is due")


def document(read: Callable[[Any], T]) -> Read[T]:
    """Expect a JSON object, and read it."""

    def of(answer: Answer) -> T:
        return read(_json(answer, dict))

    return of


def rows(read: Callable[[Any], T]) -> Read[list[T]]:
    """Expect a JSON list, and read each of its rows."""

    def of(answer: Answer) -> list[T]:
        return [read(row) for row in _json(answer, list)]

    return of


def content(answer: Answer) -> bytes:
    """Expect a variable's bytes: the engine sends them as an attachment, or as a plain octet stream (Camunda 7.24)."""
    if answer.status != 200 or not (answer.media_type == _BYTES or answer.disposition.startswith("attachment")):
        raise _Unexpected("a file's content is due")
    return answer.body


def interpret(operation: str, answer: Answer, read: Read[T]) -> T:
    """Return what the engine answered. Raises as `ports.engine.Engine` says; `ForeignAnswer` for another's answer.

    Only an answer that the engine wrote may end a task or a lock: a 404 of a proxy is no `TaskGone`.
    """
    if answer.status >= 300:
        raise _error(operation, answer)
    try:
        return read(answer)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = str(error) if isinstance(error, _Unexpected) else f"the engine's JSON is due: {error!r}"
        got = f"with {answer.media_type[:80]}" if answer.media_type else "without content"
        hint = " (a login or maintenance page?)" if answer.media_type == "text/html" else ""
        message = f"{operation}: the engine's address answers {answer.status} {got}{hint}, where {why}"
        raise ForeignAnswer(message, status=answer.status) from error


def _json(answer: Answer, shape: type[dict[str, Any]] | type[list[Any]]) -> Any:
    due = "a JSON list is due" if shape is list else "a JSON object is due"
    if answer.status != 200 or answer.media_type != _JSON:
        raise _Unexpected(due)
    try:
        found = orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        raise _Unexpected(f"{due}: it ends early, or is none ({len(answer.body)} bytes)") from error
    if not isinstance(found, shape):
        raise _Unexpected(due)
    return found


def _error(operation: str, answer: Answer) -> EngineError:
    status = answer.status
    if status == 413:
        return PayloadRefused(
            f"{operation}: the engine's address answers 413: what stands before the engine lets no request of "
            f"{answer.asked} bytes through; raise its limit (nginx: client_max_body_size), or make the result smaller",
            status=status,
        )
    told = _told(answer)
    if told is None or (status in _NEVER_THE_ENGINES and told[:2] != _NOBODY_LOGGED_IN):
        return ForeignAnswer(f"{operation}: the engine's address answers {status} ({_hint(status)})", status=status)
    kind, message, code = told
    return _class(status, kind, message)(
        f"{operation}: HTTP {status}: {message or 'no message'}", status=status, code=code, kind=kind
    )


def _told(answer: Answer) -> tuple[str, str, int | None] | None:
    """Return type, message and code of the engine's own error; None where the answer is not the engine's.

    The engine's `type` is the simple name of a Java class: another service's may be a URI (RFC 9457, 3.1.1).
    Source: Camunda 7.24, ExceptionDto.
    """
    if answer.media_type != _JSON:
        return None
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(body, dict) or "message" not in body:
        return None
    kind, message, code = body.get("type"), body["message"], body.get("code")
    if not isinstance(kind, str) or not kind.isidentifier():
        return None
    return kind, "" if message is None else str(message)[:_MESSAGE_READ], code if isinstance(code, int) else None


def _class(status: int, kind: str, message: str) -> type[EngineRejected]:
    if status == 404 and (kind == "RestException" or "does not exist" in message):
        return TaskGone
    if status == 400 and kind == "RestException" and not message.startswith("Unsupported value type"):
        return LeaseLost
    if status == 403:
        return EngineForbidden
    return EngineRejected


def _hint(status: int) -> str:
    if status < 400:
        return "a redirect: a login, or CAMUNDA_URL has http for https"
    return _HINTS.get(status) or "not the engine's own error"
