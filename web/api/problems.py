"""The one map from what can go wrong to HTTP. Every error leaves as `application/problem+json` (RFC 9457)."""

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
from bridge.domain.redaction import mask_start
from web.api.schemas import LONGEST_ERROR, FieldProblem, Problem

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:problem-type:worker-api-gateway:"
RETRY_AFTER = 5
CHALLENGE = 'Bearer realm="worker-api-gateway"'

_LATER = f"Nothing is known about the effect: send the same request again after {RETRY_AFTER} s (see Retry-After)."
_INSIDE = "The gateway met an error of its own; it is in its log. Tell the operator when this happened."


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem.

    `detail` is what every client is told; None shows the message of the error, which is written for clients.
    `retry_after` is in seconds. `challenge` names the way to say who one is, as HTTP asks of a 401.
    """

    slug: str
    status: int
    title: str
    detail: str | None = None
    retry_after: int | None = None
    challenge: str | None = None


INTERNAL = Kind("internal-error", 500, "Internal error", _INSIDE)

PROBLEMS: Mapping[type[errors.GatewayError], Kind] = {
    errors.UnknownTask: Kind("unknown-task", 404, "Unknown task"),
    errors.TaskConflict: Kind("task-conflict", 409, "The task's state forbids this"),
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
        "store-unavailable", 503, "The store is unavailable", f"The store can't be reached. {_LATER}", RETRY_AFTER
    ),
    errors.BrokerUnavailable: Kind(
        "broker-unavailable", 503, "The broker is unavailable", f"The broker can't be reached. {_LATER}", RETRY_AFTER
    ),
    errors.EngineUnavailable: Kind(
        "engine-unavailable", 503, "The engine is unavailable", f"The engine can't be reached. {_LATER}", RETRY_AFTER
    ),
    errors.ProviderUnavailable: Kind(
        "provider-unavailable",
        503,
        "The identity provider is unavailable",
        "The identity provider can't be reached. Try again later.",
        RETRY_AFTER,
    ),
    errors.EngineError: Kind(
        "engine-error",
        502,
        "The engine refused",
        "The engine answered with an error; it is in the gateway's log. Ask for the task's status before trying again.",
    ),
    errors.GatewayError: INTERNAL,
}

STATUSES: Mapping[int, Kind] = {
    400: Kind("invalid-request", 400, "The request is not valid"),
    404: Kind("no-such-path", 404, "No such path", "Nothing is served at this path; /docs lists what is."),
    405: Kind("wrong-method", 405, "Wrong method", "This path has other methods: the Allow header names them."),
    413: Kind(
        "body-too-large",
        413,
        "The body is too large",
        "Send a smaller body; keep large values elsewhere and pass a reference to them.",
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


def kind_of(error: Exception) -> Kind:
    """Return the kind of problem that `error` is; anything unknown is an internal error."""
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
    """Turn any error into the response that tells the client what to do; log what the client is not told."""
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
    """Return what `answer` is for pages: whoever isn't logged in is sent to the login, and the rest told in a page."""

    def answer_page(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        if isinstance(error, errors.Unauthenticated):
            return to_login(request)
        problem = _problem(request, error)
        values = {"title": problem.title, "detail": problem.detail, "errors": problem.errors or []}
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
        detail=kind.detail or mask_start(_message(error), LONGEST_ERROR),
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
    return {"type": TYPE_PREFIX + kind.slug, "title": kind.title, "status": kind.status, "detail": detail}


def _message(error: Exception) -> str:
    if isinstance(error, HTTPException):
        fields = _fields(error)
        if fields:
            return "Fix what `errors` lists and send the request again."
        return error.detail
    return str(error) or type(error).__name__


def _fields(error: Exception) -> list[FieldProblem] | None:
    """Return which fields of the request were at fault, as Litestar or `web.api.query` named them."""
    extra = error.extra if isinstance(error, HTTPException) else None
    if not isinstance(extra, list):
        return None
    return [
        FieldProblem(
            field=str(item.get("key", "")),
            where=str(getattr(item.get("source"), "value", item.get("source")) or "body"),
            message=str(item.get("message", "")),
        )
        for item in extra
        if isinstance(item, dict)
    ]
