"""Writes a repository of topics, for `gateway init`: all that is needed to test, run and ship topics without a fork."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Final

from bridge.domain.errors import TopicError
from gateway.scaffold.names import module_name
from gateway.scaffold.topics import write_file, write_topic

FILES: Final = Path(__file__).parent / "files"
"""What a repository has, each file with its place and `.template` behind its name."""
TOPIC: Final = "count_words"
"""The first topic: the one of the model in `files/processes`."""

_SETTINGS, _EXAMPLE = Path(".env.gateway"), Path(".env.gateway.example")


def write_repository(root: Path, version: str) -> list[Path]:
    """Write the repository's files into `root`, which may be a new folder; return their paths.

    Its name, and its package's, come from the folder's. `version` is the gateway's own: releases from it on are taken,
    up to the next major one. Raises `TopicError` where the package would hide another, where a file exists, or can't be
    written; a file that exists is never changed, and then none is written.
    """
    package = _package_name(root)
    values = {
        "name": package.replace("_", "-"),
        "package": package,
        "version": version,
        "next": f"{int(version.partition('.')[0]) + 1}",
        "password": "",
    }
    texts = dict(_texts(values))
    texts[_SETTINGS] = dict(_texts({**values, "password": secrets.token_urlsafe(12)}))[_EXAMPLE]
    topic = (Path(package, f"{TOPIC}.py"), Path("tests", package, f"test_{TOPIC}.py"))
    if existing := sorted(str(path) for path in (*texts, *topic) if (root / path).exists()):
        raise TopicError(f"{root.name} has {', '.join(existing)}: name a folder that is new, or remove what is there")
    for path, text in texts.items():
        write_file(root / path, text, root)
    (root / _SETTINGS).chmod(0o600)  # it has a password
    return [*(root / path for path in texts), *write_topic(TOPIC, root, package)]


def _texts(values: dict[str, str]) -> Iterator[tuple[Path, str]]:
    for file in sorted(FILES.rglob("*.template")):
        yield file.relative_to(FILES).with_suffix(""), Template(file.read_text("utf-8")).substitute(values)


def _package_name(root: Path) -> str:
    package = module_name(root.name)
    if package in sys.stdlib_module_names:
        raise TopicError(f"{root.name}: Python has a module {package!r} already, choose another name")
    spec = find_spec(package)
    places = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    if spec is not None and not (places and all(place.is_relative_to(root) for place in places)):
        raise TopicError(f"{root.name}: a package {package!r} is installed already, choose another name")
    return package
