"""The one map from errors to HTTP. Every error is answered as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, InternalServerException
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example

from bridge.domain import errors
from bridge.domain.messages import Message, message
from bridge.domain.redaction import mask_start
from web.api.schemas import LONGEST_ERROR, FieldProblem, Problem
from web.i18n.messages import translate

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:problem-type:worker-api-gateway:"
RETRY_AFTER = 5
CHALLENGE = 'Bearer realm="worker-api-gateway"'


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem.

    `detail` is the text for every client; None shows the message of the error, which is written for clients.
    `retry_after` is in seconds. `challenge` names the authentication scheme, which HTTP requires with a 401.
    """

    slug: str
    status: int
    title: str
    detail: Message | None = None
    retry_after: int | None = None
    challenge: str | None = None

    @property
    def code(self) -> str:
        """The code of an error of this kind that has none of its own."""
        return f"request.{self.slug.replace('-', '_')}"


INTERNAL = Kind("internal-error", 500, "Internal error", message("request.internal"))

PROBLEMS: Mapping[type[errors.GatewayError], Kind] = {
    errors.UnknownTask: Kind("unknown-task", 404, "Unknown task"),
    errors.TaskConflict: Kind("task-conflict", 409, "The task's state forbids this"),
    errors.UnknownOperation: Kind("unknown-operation", 404, "Unknown operation"),
    errors.OperationConflict: Kind("operation-conflict", 409, "The operation's state forbids this"),
    errors.SearchTooSlow: Kind("search-too-slow", 422, "The search takes too long"),
    errors.UnacceptableTask: Kind("unacceptable-task", 422, "The task can't be accepted"),
    errors.Unauthenticated: Kind("not-signed-in", 401, "Authentication required", challenge=CHALLENGE),
    errors.Forbidden: Kind("forbidden", 403, "Not allowed"),
    errors.WrongHost: Kind("wrong-host", 421, "Wrong host"),
    errors.TooManyRequests: Kind("too-many-requests", 429, "Too many requests"),
    errors.TooManyLoginAttempts: Kind("too-many-tries", 429, "Too many sign-in attempts"),
    errors.Overloaded: Kind("overloaded", 503, "Too many large requests", retry_after=RETRY_AFTER),
    errors.Refusal: Kind("refused", 409, "The request was refused"),
    errors.VariableError: Kind("unusable-variable", 422, "A variable can't be used"),
    errors.TaskTooLarge: Kind("task-too-large", 413, "The task is too large"),
    errors.TaskUnreadable: Kind("task-unreadable", 409, "The task can't be read by this version of the gateway"),
    errors.StoreUnavailable: Kind(
        "store-unavailable",
        503,
        "The store is unavailable",
        message("store.unavailable", seconds=RETRY_AFTER),
        RETRY_AFTER,
    ),
    errors.BrokerUnavailable: Kind(
        "broker-unavailable",
        503,
        "The broker is unavailable",
        message("broker.unavailable", seconds=RETRY_AFTER),
        RETRY_AFTER,
    ),
    errors.EngineUnavailable: Kind(
        "engine-unavailable",
        503,
        "The engine is unavailable",
        message("engine.unavailable", seconds=RETRY_AFTER),
        RETRY_AFTER,
    ),
    errors.ProviderUnavailable: Kind(
        "provider-unavailable",
        503,
        "The identity provider is unavailable",
        message("provider.unavailable"),
        RETRY_AFTER,
    ),
    errors.EngineError: Kind(
        "engine-error",
        502,
        "The engine refused",
        message("engine.error"),
    ),
    errors.GatewayError: INTERNAL,
}

STATUSES: Mapping[int, Kind] = {
    400: Kind("invalid-request", 400, "The request is not valid"),
    404: Kind("no-such-path", 404, "No such path", message("request.no_such_path")),
    405: Kind("wrong-method", 405, "Wrong method", message("request.wrong_method")),
    413: Kind(
        "body-too-large",
        413,
        "The body is too large",
        message("request.too_large"),
    ),
    415: Kind("not-json", 415, "The body is not JSON"),
    500: INTERNAL,
}


class PageWriter(Protocol):
    """Writes a page by the name of its template."""

    def page(
        self,
        request: Request[Any, Any, Any],
        template: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: Any,
    ) -> Response[str]: ...

    def language_for(self, request: Request[Any, Any, Any]) -> str: ...


def kind_of(error: Exception) -> Kind:
    """Return the kind of problem of `error`; an unknown error is an internal error."""
    if _is_disconnect(error):
        return STATUSES[400]
    if isinstance(error, HTTPException):
        status = error.status_code
        return STATUSES.get(status) or Kind(f"http-{status}", status, HTTPStatus(status).phrase)
    known = (PROBLEMS[cls] for cls in type(error).__mro__ if cls in PROBLEMS)
    return next(known, INTERNAL)


def _is_disconnect(error: Exception) -> bool:
    """Return whether the client went away before its body was whole; Litestar calls that an error of the server."""
    return isinstance(error, InternalServerException) and error.detail == "client disconnected prematurely"


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """Turn any error into a response that says what the client can do; log the details that it leaves out."""
    problem = _problem(request, error)
    return Response(
        problem.model_dump(mode="json", exclude_none=True),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=_headers(error),
    )


def page_answer(
    pages: PageWriter, to_login: Callable[[Request[Any, Any, Any]], Response[Any]]
) -> Callable[[Request[Any, Any, Any], Exception], Response[Any]]:
    """Return the error as a page; without a login the browser is sent to the login."""

    def answer_page(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        if isinstance(error, errors.Unauthenticated):
            return to_login(request)
        problem = _problem(request, error)
        said = translate(pages.language_for(request), message_for(error))
        values = {"title": problem.title, "detail": mask_start(said, LONGEST_ERROR), "errors": _faults(error) or []}
        return pages.page(request, "problem.html", status=problem.status, headers=_headers(error), **values)

    return answer_page


def _problem(request: Request[Any, Any, Any], error: Exception) -> Problem:
    kind = kind_of(error)
    if kind.status >= 500:
        unexpected = error if kind is INTERNAL else None
        structlog.get_logger("web.api.problems").error(
            "request_failed", method=request.method, path=request.url.path, error=str(error), exc_info=unexpected
        )
    return Problem(
        type=TYPE_PREFIX + kind.slug,
        title=kind.title,
        status=kind.status,
        detail=mask_start(message_for(error), LONGEST_ERROR),
        code=message_for(error).code,
        errors=_fields(error),
    )


def _headers(error: Exception) -> dict[str, str]:
    kind = kind_of(error)
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    wait = error.wait if isinstance(error, errors.TooManyLoginAttempts | errors.TooManyRequests) else kind.retry_after
    if wait is not None:
        headers["Retry-After"] = str(wait)
    if kind.challenge is not None:
        headers["WWW-Authenticate"] = kind.challenge
    return headers


def problem_responses(*raised: type[errors.GatewayError] | int) -> dict[int, ResponseSpec]:
    """Describe for the documentation the errors, or plain HTTP statuses, that a route answers with."""
    kinds: dict[int, list[Kind]] = {}
    for what in raised:
        kind = STATUSES[what] if isinstance(what, int) else PROBLEMS[what]
        kinds.setdefault(kind.status, []).append(kind)
    return {
        status: ResponseSpec(
            Problem,
            description=" / ".join(kind.title for kind in same),
            media_type=MEDIA_TYPE,
            generate_examples=False,
            examples=[Example(summary=kind.title, value=_example(kind)) for kind in same],
        )
        for status, same in kinds.items()
    }


def _example(kind: Kind) -> dict[str, Any]:
    detail = kind.detail or "What is wrong, and what to do about it."
    code = kind.detail.code if kind.detail else kind.code
    return {
        "type": TYPE_PREFIX + kind.slug, "title": kind.title, "status": kind.status, "detail": detail, "code": code,
    }  # fmt: skip


def message_for(error: Exception) -> Message:
    """Return the detail of `error` for clients, with its code."""
    kind = kind_of(error)
    if kind.detail is not None:
        return kind.detail
    if isinstance(error, errors.GatewayError):
        said = error.message
    elif isinstance(error, HTTPException):
        said = message("request.fields") if _faults(error) else _coded(error.detail)
    else:
        said = Message("")
    return Message(said or type(error).__name__, said.code or kind.code, said.parameters)


def _coded(text: str) -> Message:
    return text if isinstance(text, Message) else Message(text)


def _of_parameter(text: str) -> Message:
    """Return a fault's message; Litestar tells those of a parameter's type in a text of its own."""
    return text if isinstance(text, Message) else message("parameter.invalid", error=text)


@dataclass(frozen=True, slots=True)
class _Fault:
    """What is wrong with one field of a request."""

    field: str
    where: str
    message: Message
    position: int | None = None


def _fields(error: Exception) -> list[FieldProblem] | None:
    faults = _faults(error)
    if faults is None:
        return None
    return [
        FieldProblem(
            field=fault.field,
            where=fault.where,
            message=str(fault.message),
            code=fault.message.code or None,
            position=fault.position,
        )
        for fault in faults
    ]


def _faults(error: Exception) -> list[_Fault] | None:
    """Return which fields of the request were at fault, as Litestar or `web.api.query` named them."""
    extra = error.extra if isinstance(error, HTTPException) else None
    if not isinstance(extra, list):
        return None
    return [
        _Fault(
            field=str(item.get("key", "")),
            where=str(getattr(item.get("source"), "value", item.get("source")) or "body"),
            message=_of_parameter(item.get("message", "")),
            position=item.get("position"),
        )
        for item in extra
        if isinstance(item, dict)
    ]
