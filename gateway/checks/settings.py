"""Checks of the settings alone: names that no setting has, and values that are allowed and hardly meant."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pymongo.errors import ConfigurationError, InvalidURI
from pymongo.uri_parser import parse_uri

from bridge.access.accounts import check_password
from bridge.domain.addresses import ends_late
from bridge.domain.errors import Refusal
from gateway.checks.finding import Finding, fault, warning
from gateway.checks.names import unknown_settings
from gateway.secret_files import SUFFIX
from gateway.settings import Settings

PART: Final = "settings"
_ADDRESSES: Final = ("CAMUNDA_URL", "MONGODB_URI", "RABBITMQ_URL")
_LONG_RUN: Final = 7200
"""Seconds; a time-out of whole thousands above it is rather one in milliseconds."""


def check_settings(settings: Settings, environment: Mapping[str, str], file: Path) -> Iterator[Finding]:
    """Find what is wrong with settings that can be read."""
    for unknown in unknown_settings(environment, file):
        says = f"{unknown.name} ({unknown.source}) is no setting of the gateway, and is passed over"
        yield warning(PART, "settings.unknown", says, unknown.change)
    names = {name.upper() for name in environment}
    if not file.exists() and not any({name, f"{name}{SUFFIX}"} & names for name in _ADDRESSES):
        says = f"there is no {file} in {Path.cwd()}, and the environment names no server: the defaults count"
        change = "start in the folder that has it, name it by GATEWAY_ENV_FILE, or set CAMUNDA_URL, MONGODB_URI and "
        yield warning(PART, "settings.no_file", says, f"{change}RABBITMQ_URL")
    yield from _unlikely(settings)
    yield from _of_mongodb(settings)
    yield from _of_engine(settings)
    if settings.gateway_admin_password is not None:
        try:
            check_password(settings.gateway_admin_password.get_secret_value())
        except Refusal as error:
            yield fault(PART, "settings.admin_password", f"GATEWAY_ADMIN_PASSWORD: {error}", "choose another")


def _unlikely(settings: Settings) -> Iterator[Finding]:
    run = settings.task_timeout
    if run > _LONG_RUN and run % 1000 == 0:
        says = f"TASK_TIMEOUT is {run:g} seconds, which are {run / 3600:.1f} hours"
        change = f"times are in seconds: if milliseconds are meant, write {run / 1000:g}"
        yield warning(PART, "settings.milliseconds", says, change)
    if settings.lock_duration < settings.camunda_timeout:
        says = (
            f"LOCK_DURATION ({settings.lock_duration:g} s) is shorter than CAMUNDA_TIMEOUT "
            f"({settings.camunda_timeout:g} s): one slow renewal loses the lock, and the task runs twice"
        )
        yield warning(PART, "settings.short_lock", says, "raise LOCK_DURATION, or lower CAMUNDA_TIMEOUT")
    if settings.body_limit > settings.document_limit:
        says = "BODY_LIMIT is above DOCUMENT_LIMIT: bodies are read whole that no task may have"
        yield warning(PART, "settings.body_limit", says, "lower BODY_LIMIT to DOCUMENT_LIMIT, or less")


def _of_mongodb(settings: Settings) -> Iterator[Finding]:
    """Find options that the driver passes over with a warning that nobody reads."""
    uri = settings.mongodb_uri.get_secret_value()
    if uri.startswith("mongodb+srv://") or ends_late(uri, "/?"):  # the one is looked up, the other has a raw password
        return
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            parse_uri(uri, validate=True, warn=True)
        except (ConfigurationError, InvalidURI, ValueError):
            return  # the store says why, without the password
    for said in dict.fromkeys(str(each.message).partition(" or maybe")[0] for each in told):
        says = f"MONGODB_URI: {said}"
        change = "correct the option's name or value, or take it out: the driver passes it over"
        yield warning(PART, "settings.mongodb_option", says, change)


def _of_engine(settings: Settings) -> Iterator[Finding]:
    parts = urlsplit(settings.camunda_url)
    rest = parts.path.partition("/engine-rest/")[2]
    if rest and not rest.startswith("engine/"):
        says = f"CAMUNDA_URL has {rest} behind the REST interface's path"
        change = "end it with /engine-rest, or for an engine that is not the default one with /engine-rest/engine/NAME"
        yield fault(PART, "settings.engine_path", says, change)
    login = settings.camunda_username or settings.camunda_token or settings.camunda_oauth_client_id
    local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if login and parts.scheme == "http" and not local:
        says = "CAMUNDA_URL is http://, and the engine's login goes over it readable by everybody on the way"
        yield warning(PART, "settings.login_in_clear", says, "use https://, unless the way is a network of your own")
