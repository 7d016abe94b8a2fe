"""The start of commands: read the settings and the topics, or end the command with what is wrong with them."""

from __future__ import annotations

import sys
from pathlib import Path

from bridge.domain.errors import SetupError, TopicError, TopicsPackageMissing
from bridge.registry import Registry, load_topics
from gateway.cli.failure import fail
from gateway.scaffold.topics import source_roots
from gateway.settings import Role, Settings, read_settings

_OURS = frozenset({"bridge", "gateway", "web"})


def settings_of(**overrides: object) -> Settings:
    """Return the settings, with those options of the command that were given in their place; or end the command."""
    try:
        return read_settings(**{name: value for name, value in overrides.items() if value is not None})
    except SetupError as error:
        fail(error)


def topics_of(settings: Settings) -> Registry:
    """Return the topics of TOPICS_PACKAGE, looked for in this folder and its `src` first; or end the command."""
    try:
        return _load(settings)
    except TopicsPackageMissing as error:
        fail(TopicError(f"{error}: {_where(settings.topics_package)}"))
    except SetupError as error:
        fail(error)


def topics_for(settings: Settings, roles: frozenset[Role]) -> Registry:
    """Return the topics of a process; end the command where there is none, and a role needs one."""
    idle = ", ".join(sorted(roles - {Role.WEB}))
    if not idle:
        try:
            return _load(settings)
        except TopicsPackageMissing:
            return Registry({})
        except SetupError as error:
            fail(error)
    found = topics_of(settings)
    if not found:
        nothing = f"topics package {settings.topics_package!r} has no topic, so there is nothing to do for {idle}"
        fail(TopicError(f"{nothing}: `gateway topics new NAME` writes one"))
    return found


def _load(settings: Settings) -> Registry:
    # The topics of a checkout, or of the folder that holds them, come before any that are installed.
    for folder in reversed(source_roots(Path.cwd())):
        sys.path.insert(0, str(folder))
    return load_topics(settings.topics_package, settings.supported_topics)


def _where(package: str) -> str:
    first = package.partition(".")[0]
    if first in _OURS:
        return f"{first!r} is a package of the gateway itself, give yours another name"
    return (
        "start in the folder that holds it, or name another by TOPICS_PACKAGE; `gateway init NAME` writes a "
        "repository with one"
    )
