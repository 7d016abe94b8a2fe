"""Real servers for the tests that want them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sandbox import Part, Sandbox
from tests.guarded import QUERY_LIMIT, GuardedEngine


def base_port(offset: int = 0) -> int:
    """Return the first of the ports for servers of our own: TEST_PORTS, for two runs at a time, or the usual one."""
    return int(os.environ.get("TEST_PORTS", "28080")) + offset


def engine_version() -> str:
    """Return the version of Camunda that our own servers run: TEST_ENGINE, or the usual one."""
    return os.environ.get("TEST_ENGINE", "")


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Return the servers' addresses, by the names that the gateway reads.

    Where CAMUNDA_URL is set they are the environment's; else servers are started for this session.
    """
    if "CAMUNDA_URL" in os.environ:
        yield dict(os.environ)
        return
    sandbox = Sandbox(tmp_path_factory.mktemp("sandbox"), base_port=base_port(), engine_version=engine_version())
    try:
        sandbox.up((Part.ENGINE, Part.STORE, Part.BROKER))
        yield sandbox.env()
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
        engine_version=engine_version(),
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
