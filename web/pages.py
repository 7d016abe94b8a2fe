"""Writes pages: templates that escape everything, under a policy with a nonce of its own for each answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Request, Response

from web.doors import AccessDoor
from web.guard import form_token_of, principal_of
from web.security import new_nonce, page_policy
from web.texts import language_of, translation

FOLDER: Final = Path(__file__).parents[1] / "templates"

Translate = Callable[[str], str]


class Pages:
    """Renders the templates. Each has `_` for its texts, `nonce`, `alpine`, `root`, `principal` and `csrf_token`."""

    def __init__(self, access: AccessDoor, folder: Path = FOLDER) -> None:
        self._access = access
        self._environment = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def page(
        self,
        request: Request[Any, Any, Any],
        template: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: Any,
    ) -> Response[str]:
        """Return a page; `values` are the template's own."""
        nonce, language = new_nonce(), language_of(request.headers.get("accept-language", ""))
        text = self._environment.get_template(template).render(
            _=translation(language),
            language=language,
            nonce=nonce,
            alpine=self._access.alpine,
            root=root_of(request),
            principal=principal_of(request),
            csrf_token=form_token_of(request),
            **values,
        )
        policy = page_policy(nonce, self._access.alpine)
        return Response(
            text,
            status_code=status,
            media_type="text/html",
            headers={"Content-Security-Policy": policy, "Vary": "Accept-Language, Cookie", **(headers or {})},
        )


def root_of(request: Request[Any, Any, Any]) -> str:
    """Return the path that the gateway is mounted under, without a slash at its end; empty at the top."""
    return str(request.scope.get("root_path") or "").rstrip("/")
