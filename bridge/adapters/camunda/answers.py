"""Recognizes the engine's answers: each call declares what it expects, and anything else is a foreign answer."""

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
from bridge.domain.messages import Message, message, message_of

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
    401: "login",
    403: "refused",
    404: "wrong_path",
    407: "proxy_login",
    408: "proxy_gave_up",
    429: "rate_limit",
    502: "no_engine",
    503: "maintenance",
    504: "proxy_timeout",
}
_FOREIGN: Final = {"": "engine.foreign_empty", "text/html": "engine.foreign_page"}
"""What is said of an answer without content, and of a page."""


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
    def is_login_refused(self) -> bool:
        """Whether the login was refused: by the engine's own, or by what stands before the engine."""
        error = _engine_error(self) if self.status == 401 else None
        return self.status == 401 and (error is None or error[:2] != _NOBODY_LOGGED_IN)

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
        raise _Unexpected(message("engine.due.nothing"))


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
        raise _Unexpected(message("engine.due.file"))
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
        is_known = isinstance(error, _Unexpected)
        due = message_of(error) if is_known else message("engine.due.json", fault=repr(error))
        code = _FOREIGN.get(answer.media_type, "engine.foreign_type")
        said = message(code, operation=operation, status=answer.status, type=answer.media_type[:80], due=due)
        raise ForeignAnswer(said, status=answer.status) from error


def _json(answer: Answer, shape: type[dict[str, Any]] | type[list[Any]]) -> Any:
    kind = "list" if shape is list else "object"
    due = message(f"engine.due.{kind}")
    if answer.status != 200 or answer.media_type != _JSON:
        raise _Unexpected(due)
    try:
        found = orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        raise _Unexpected(message(f"engine.due.whole_{kind}", count=len(answer.body))) from error
    if not isinstance(found, shape):
        raise _Unexpected(due)
    return found


def _error(operation: str, answer: Answer) -> EngineError:
    status = answer.status
    if status == 413:
        return PayloadRefused(message("engine.payload_refused", operation=operation, count=answer.asked), status=status)
    error = _engine_error(answer)
    if error is None or (status in _NEVER_THE_ENGINES and error[:2] != _NOBODY_LOGGED_IN):
        said = message("engine.foreign_status", operation=operation, status=status, why=_hint(status))
        return ForeignAnswer(said, status=status)
    kind, text, code = error
    return _class(status, kind, text)(
        f"{operation}: HTTP {status}: {text or 'no message'}", status=status, code=code, kind=kind
    )


def _engine_error(answer: Answer) -> tuple[str, str, int | None] | None:
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


def _hint(status: int) -> Message:
    return message(f"engine.hint.{'redirect' if status < 400 else _HINTS.get(status, 'other')}")
