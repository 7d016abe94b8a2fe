"""Checks before a request is read: only known query parameters, and only JSON bodies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, cast

from litestar import Request
from litestar.enums import RequestEncodingType
from litestar.exceptions import ClientException, HTTPException, SerializationException, ValidationException
from litestar.params import QueryParameter
from litestar.serialization import decode_json
from litestar.typing import FieldDefinition
from pydantic import BaseModel, ValidationError

from bridge.domain.json_values import MOST_VALUES, has_more_values
from bridge.domain.messages import Message, fault_of, message
from bridge.domain.submission import LARGE
from web.offload import Offload

MAX_NAME_SHOWN = 64
MOST_PROBLEMS = 100
OFFLOAD = "offload"
"""The key of the `Offload` in the application's state."""
_FROM_REQUEST = ("data", "request")
_FORMS: Final = {RequestEncodingType.URL_ENCODED, RequestEncodingType.MULTI_PART}


class JsonRequest(Request[Any, Any, Any]):
    """A request whose body, if it is not usable JSON, is the client's fault in every case.

    The body is gone once it is decoded: a large one would else stay until the answer is sent, or until the last
    traceback that has seen it is collected. `size` is how many bytes it had.
    """

    size: int = 0
    _unread: bytearray | None = None

    async def body(self) -> bytes:
        """Return what has not been decoded of the body; raises as Litestar's does where it is larger than it may be."""
        if self.content_type[0] in _FORMS:
            return await super().body()
        if self._unread is None:
            self._unread = bytearray()
            async for part in self.stream():
                self._unread += part
            self.size = len(self._unread)
        return cast(bytes, self._unread)  # what decodes JSON takes both, and a copy of megabytes would be made for one

    async def json(self) -> Any:
        """Return the decoded body in the model of the route; a large one is decoded and checked in a thread.

        Raises `ClientException` (400) where it is not one JSON object of a sane depth and number of values,
        `ValidationException` (400) where it doesn't fit the model, and `Overloaded` (503) where too many large ones are
        being read.
        """
        await self.body()
        body, self._unread = self._unread or bytearray(), bytearray()
        field = self.route_handler.parsed_fn_signature.parameters.get("data")
        model = None if field is None else field.annotation
        if len(body) <= LARGE:
            return _fitted(_decoded(body), model)
        offload: Offload = self.app.state[OFFLOAD]
        return await offload.run(len(body), _checked, body, model)


def _decoded(body: bytearray) -> dict[str, Any]:
    try:
        decoded = decode_json(cast(bytes, body or b"null"))
    except RecursionError:
        raise ClientException(detail=message("request.json_depth")) from None
    except (SerializationException, UnicodeDecodeError) as error:
        raise ClientException(detail=message("request.not_json", error=error)) from None
    if not isinstance(decoded, dict):
        raise ClientException(detail=message("request.json_object"))
    return decoded


def _checked(body: bytearray, model: Any) -> Any:
    """Decode a body, empty it, and check what it held."""
    try:
        if has_more_values(body):
            raise ClientException(detail=message("request.too_many_values", most=MOST_VALUES))
        decoded = _decoded(body)
    finally:
        body.clear()
    return _fitted(decoded, model)


def _fitted(decoded: dict[str, Any], model: Any) -> Any:
    """Return an instance of the route's model, which Litestar takes as it is; its own errors have no codes."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return decoded
    try:
        return model.model_validate(decoded)
    except ValidationError as error:
        problems = [
            {"key": ".".join(map(str, item["loc"]))[:MAX_NAME_SHOWN], "source": "body", "message": fault_of(item)}
            for item in error.errors(include_input=False, include_url=False)
        ]
        raise ValidationException(detail=message("request.fields"), extra=problems[:MOST_PROBLEMS]) from None


async def check_request(request: Request[Any, Any, Any]) -> None:
    """Run before every route of the API: refuse unknown query parameters (400) and bodies that are not JSON (415)."""
    own = request.route_handler.parsed_fn_signature.parameters
    if "data" in own:
        _require_json(request)
    dependencies = request.route_handler.resolve_dependencies()
    known = dict(own)
    for name, provider in dependencies.items():
        if name in own:
            known |= provider.parsed_fn_signature.parameters
    hidden = {*dependencies, *request.path_params, *_FROM_REQUEST}
    _refuse_unknown_query(
        request, {_parameter_name(name, field): field for name, field in known.items() if name not in hidden}
    )


def _parameter_name(name: str, field: FieldDefinition) -> str:
    """Return a parameter's name in the query: its own where Python doesn't allow it as an argument's."""
    definition = field.kwarg_definition
    return definition.name or name if isinstance(definition, QueryParameter) else name


def _refuse_unknown_query(request: Request[Any, Any, Any], known: Mapping[str, FieldDefinition]) -> None:
    given = Counter(name for name, _ in request.query_params.multi_items())
    problems = [
        {"key": name[:MAX_NAME_SHOWN], "source": "query", "message": why}
        for name, times in given.items()
        if (why := _query_problem(name, times, known)) is not None
    ]
    if problems:
        raise ValidationException(detail=message("request.fields"), extra=problems)


def _query_problem(name: str, times: int, known: Mapping[str, FieldDefinition]) -> Message | None:
    if name not in known:
        return message("parameter.unknown", names=", ".join(sorted(known)) or "-")
    if times > 1 and not _takes_many(known[name]):
        return message("parameter.repeated")
    return None


def _takes_many(field: FieldDefinition) -> bool:
    return field.is_non_string_sequence or any(inner.is_non_string_sequence for inner in field.inner_types)


def _require_json(request: Request[Any, Any, Any]) -> None:
    name, parameters = request.content_type
    if name and name != "application/json" and not (name.startswith("application/") and name.endswith("+json")):
        raise HTTPException(detail=message("request.json_type"), status_code=415)
    if parameters.get("charset", "utf-8").strip('"').lower() not in {"utf-8", "utf8"}:
        raise HTTPException(detail=message("request.charset"), status_code=415)
