"""The stylesheet and scripts: in memory, at addresses that name their content, so that browsers may keep them."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from web.auth.guard import OPEN
from web.folders import find_folder

FOLDER: Final = find_folder("static")
MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
_FOREVER: Final = "public, max-age=31536000, immutable"
_ONCE: Final = "no-cache"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it's served; `mark` follows from its content."""

    name: str
    mark: str
    content: bytes = field(repr=False)
    zipped: bytes = field(repr=False)


class Assets:
    """Reads the files once, or at each request with `fresh`, for work on the files."""

    def __init__(self, folder: Path = FOLDER, *, fresh: bool = False) -> None:
        self._folder = folder
        self._fresh = fresh
        self._kept = self._read()

    def url(self, root: str, name: str) -> str:
        """Return the address of a file, under the path that the gateway is mounted at."""
        return f"{root}/dashboard/static/{self._all()[name].mark}/{name}"

    def get(self, name: str) -> Asset | None:
        """Return a file by its name; an unknown name is 404."""
        return self._all().get(name)

    def _all(self) -> Mapping[str, Asset]:
        return self._read() if self._fresh else self._kept

    def _read(self) -> Mapping[str, Asset]:
        files = (path for path in sorted(self._folder.iterdir()) if path.suffix in MEDIA_TYPES)
        return {path.name: _asset(path.name, path.read_bytes()) for path in files}


def _asset(name: str, content: bytes) -> Asset:
    mark = hashlib.sha256(content).hexdigest()[:12]
    return Asset(name, mark, content, gzip.compress(content, mtime=0))


def asset_routes(assets: Assets) -> tuple[HTTPRouteHandler, ...]:
    """Return the route of the files. They are open: the login page needs them, and they have no secrets."""

    @get("/static/{mark:str}/{name:str}", opt=OPEN)
    async def asset(
        request: Request[Any, Any, Any],
        mark: Annotated[str, PathParameter(max_length=64)],
        name: Annotated[str, PathParameter(max_length=64)],
    ) -> Response[bytes]:
        found = assets.get(name)
        if found is None:
            raise NotFoundException
        # A page of another version asks for another content: it gets this one, and keeps it for no other page.
        headers = {"Cache-Control": _FOREVER if mark == found.mark else _ONCE, "Vary": "Accept-Encoding"}
        zipped = "gzip" in request.headers.get("accept-encoding", "")
        if zipped:
            headers["Content-Encoding"] = "gzip"
        content = found.zipped if zipped else found.content
        return Response(content, media_type=MEDIA_TYPES[Path(name).suffix], headers=headers)

    return (asset,)
