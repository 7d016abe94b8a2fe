"""Real servers for the tests that want them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import aiohttp
import pytest
from pydantic import SecretStr

from bridge.adapters.camunda.login import authorization
from sandbox import Part, Sandbox
from sandbox.kinds import DEFAULT_KIND
from tests.guarded import QUERY_LIMIT, GuardedEngine


def pytest_configure() -> None:
    """Have Java compile quickly rather than well: a server lives for minutes, and half of its CPU was compilation."""
    os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")


def base_port(offset: int = 0) -> int:
    """Return the first of the ports for servers of our own: TEST_PORTS, for two runs at a time, or the usual one."""
    return int(os.environ.get("TEST_PORTS", "28080")) + offset


def engine_kind() -> str:
    """Return the kind of engine that our own servers run (`sandbox.kinds`): ENGINE, or the usual one."""
    return os.environ.get("ENGINE") or DEFAULT_KIND


def engine_login() -> str | None:
    """Return the Authorization header for the engine at ENGINE_URL or CAMUNDA_URL; None where it asks for none."""
    told = {name: os.environ.get(f"CAMUNDA_{name.upper()}") for name in ("password", "token")}
    secrets = {name: SecretStr(value) for name, value in told.items() if value}
    return authorization(os.environ.get("CAMUNDA_USERNAME") or None, **secrets)


def engine_session() -> aiohttp.ClientSession:
    """Return a session that logs in to the engine, where it asks for that."""
    login = engine_login()
    return aiohttp.ClientSession(headers={} if login is None else {"Authorization": login})


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Return the servers' addresses, by the names that the gateway reads.

    Where CAMUNDA_URL is set they are the environment's; else servers are started for this session, without an engine
    where ENGINE_URL is the address of one.
    """
    if "CAMUNDA_URL" in os.environ:
        yield dict(os.environ)
        return
    url = os.environ.get("ENGINE_URL")
    sandbox = Sandbox(tmp_path_factory.mktemp("sandbox"), base_port=base_port(), engine=engine_kind())
    try:
        sandbox.up((Part.STORE, Part.BROKER) if url else (Part.ENGINE, Part.STORE, Part.BROKER))
        yield {**sandbox.env(), "CAMUNDA_URL": url} if url else sandbox.env()
    finally:
        sandbox.down()


@pytest.fixture(scope="session")
def guarded_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedEngine]:
    """Start an engine with authorization on; only its own tests wait for it."""
    sandbox = Sandbox(
        tmp_path_factory.mktemp("guarded"),
        base_port=base_port(200),
        authorization=True,
        query_limit=QUERY_LIMIT,
        engine=engine_kind(),
    )
    try:
        sandbox.up((Part.ENGINE,))
        yield GuardedEngine(sandbox.env()["CAMUNDA_URL"])
    finally:
        sandbox.down()


@pytest.fixture(scope="session")
def jaeger_env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Return where traces go and where they are read, as `servers` does; only tests of traces wait for its build."""
    if "JAEGER_QUERY_URL" in os.environ:
        yield {name: os.environ[name] for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "JAEGER_QUERY_URL")}
        return
    sandbox = Sandbox(tmp_path_factory.mktemp("jaeger"), base_port=base_port())
    try:
        sandbox.up((Part.JAEGER,))
        yield {name: sandbox.env()[name] for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "JAEGER_QUERY_URL")}
    finally:
        sandbox.down()
