"""The OpenAPI document at /schema, and a page of it at /docs that needs nothing from the internet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from litestar import Request, Response, Router, get
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, Schema, SecurityRequirement, SecurityScheme, Tag
from litestar.params import PathParameter
from litestar.plugins.pydantic import PydanticSchemaPlugin
from litestar.response import File
from litestar.typing import FieldDefinition
from pydantic import BaseModel

from bridge.domain.errors import SetupError
from web.auth.guard import OPEN

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator

TITLE = "Worker API Gateway"
SCHEMA_PATH = "/schema"
BEARER, KEY = "bearer", "key"
SECURITY: Sequence[SecurityRequirement] = [{BEARER: []}, {KEY: []}]
"""For the document: either of the two ways to send an API key."""
ASSETS = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
DESCRIPTION = (
    "A durable bridge between Camunda 7 external tasks and the code that does the work. Hand in a task that you have "
    "locked in the engine, follow it, try it again. Every error is `application/problem+json`: its `type` is stable, "
    "its `detail` says what to do. Moments are ISO 8601 in UTC."
)

# Swagger UI sets styles by script, hence 'unsafe-inline' for styles; scripts come from here alone.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/png" href="{root}/docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="{root}/docs/assets/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<noscript>This page needs JavaScript; read <a href="{root}/schema/openapi.json">openapi.json</a> instead.</noscript>
<script src="{root}/docs/assets/swagger-ui-bundle.js"></script>
<script src="{root}/docs/start.js"></script>
</body>
</html>
"""

# Without validatorUrl: null the page would send the document's address to validator.swagger.io.
_START = """SwaggerUIBundle({
  url: new URL("../schema/openapi.json", document.currentScript.src).href,
  dom_id: "#docs",
  deepLinking: true,
  validatorUrl: null,
});
"""


class ClosedModels(PydanticSchemaPlugin):
    """Adds to the schema of a closed model that it takes no other fields, and which texts and keys it takes.

    Litestar leaves that out.
    """

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        """Return whether it is such a model."""
        return isinstance(value, type) and issubclass(value, BaseModel) and value.model_config.get("extra") == "forbid"

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: SchemaCreator) -> Schema:
        """Describe the model."""
        schema = super().to_openapi_schema(field_definition, schema_creator)
        schema.additional_properties = False
        told: Mapping[str, Mapping[str, Any]] = field_definition.annotation.model_json_schema()["properties"]
        for name, described in (schema.properties or {}).items():
            if isinstance(described, Schema):
                own = told.get(name, {})
                described.pattern = described.pattern or own.get("pattern")
                described.max_properties = own.get("maxProperties")
                if names := own.get("propertyNames"):
                    described.property_names = Schema(min_length=names["minLength"], max_length=names["maxLength"])
        return schema


def openapi_config(version: str) -> OpenAPIConfig:
    """Describe the API for the generated document."""
    return OpenAPIConfig(
        title=TITLE,
        version=version,
        description=DESCRIPTION,
        path=SCHEMA_PATH,
        openapi_router=Router(SCHEMA_PATH, route_handlers=[], include_in_schema=False, opt=dict(OPEN)),
        components=Components(
            security_schemes={
                BEARER: SecurityScheme("http", scheme="bearer", description="An API key: `Bearer wag_…`."),
                KEY: SecurityScheme("apiKey", name="X-Api-Key", security_scheme_in="header", description="The same."),
            }
        ),
        render_plugins=[JsonRenderPlugin()],
        tags=[
            Tag("Tasks", description="Hand in external tasks, follow them and list them."),
            Tag("Operations", description="Have many failed tasks tried again, and follow that."),
            Tag("Operation", description="For probes and for Prometheus."),
        ],
    )


def docs_routes() -> Sequence[HTTPRouteHandler]:
    """Return the page and its files; raises `SetupError` when the package that ships them is not installed."""
    directory = _assets_directory()

    @get("/docs", opt=OPEN, media_type="text/html", include_in_schema=False)
    async def docs(request: Request[object, object, State]) -> Response[str]:
        root = str(request.scope.get("root_path") or "").rstrip("/")
        page = _PAGE.format(title=escape(TITLE), root=escape(root))
        return Response(page, headers={"Content-Security-Policy": POLICY})

    @get("/docs/start.js", opt=OPEN, media_type="text/javascript", include_in_schema=False)
    async def start() -> str:
        return _START

    @get("/docs/assets/{name:str}", opt=OPEN, include_in_schema=False)
    async def asset(name: Annotated[str, PathParameter(max_length=64)]) -> File:
        if name not in ASSETS:
            raise NotFoundException
        return File(
            directory / name,
            content_disposition_type="inline",
            media_type=ASSETS[name],
            headers={"Cache-Control": "max-age=86400"},
        )

    return docs, start, asset


def _assets_directory() -> Path:
    """Find Swagger UI's files without importing the package, whose import looks for web frameworks."""
    spec = find_spec("swagger_ui")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        directory = Path(place) / "static"
        if all((directory / name).is_file() for name in ASSETS):
            return directory
    raise SetupError("/docs has no files to show: install the package swagger-ui-py (it ships Swagger UI 5)")
