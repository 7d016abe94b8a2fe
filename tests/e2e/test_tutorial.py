"""The tutorial word by word: by the wheel alone, from an empty folder to a task that a real engine has completed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.e2e.gateways import TIME_LIMIT
from tests.pause import pause
from tests.ports import free_port
from tests.unit.packaging import tutorial
from tests.unit.packaging.installation import Installation, build, install, run

pytestmark = pytest.mark.timeout(900)
"""It builds and installs the wheel, and starts eight commands, of which each imports the whole gateway."""

SANDBOX = "http://127.0.0.1:18080/engine-rest"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return install(build(tmp_path_factory.mktemp("wheel")), tmp_path_factory.mktemp("installed") / "venv")


@pytest.fixture
def env(servers: dict[str, str], installed: Installation) -> dict[str, str]:
    """Return what the tutorial's shells have: the session's servers in the sandbox's place, and names of their own."""
    name = uuid4().hex[:12]
    reached = {key: servers[key] for key in ("CAMUNDA_URL", "MONGODB_URI", "RABBITMQ_URL")}
    return {
        **reached,
        "MONGODB_DATABASE": f"test_{name}",
        "RABBITMQ_EXCHANGE": f"test.{name}",
        "PORT": str(free_port()),
        "PATH": f"{installed.venv / 'bin'}:{os.environ['PATH']}",
    }


@pytest.fixture
def engine(env: dict[str, str]) -> Iterator[httpx.Client]:
    """Return a client of the engine; what the tutorial deploys, now or in an earlier run, is deleted."""
    with httpx.Client(base_url=env["CAMUNDA_URL"]) as client:
        _delete(client)
        yield client
        _delete(client)


def _delete(client: httpx.Client) -> None:
    for deployment in client.get("/deployment", params={"name": "greet"}).json():
        client.delete(f"/deployment/{deployment['id']}", params={"cascade": "true"})


async def test_an_engine_has_the_topics_result(env: dict[str, str], engine: httpx.Client, tmp_path: Path) -> None:
    written = run(["sh", "-e", "-c", tutorial.without_servers()], tmp_path, env)
    assert written.code == 0, written.text
    repository = tmp_path / "my-topics"
    serving, asking = tutorial.blocks(4)

    up, doctor, serve = serving.splitlines()
    assert (up, doctor, serve) == ("gateway sandbox up", "gateway doctor", "gateway serve")
    looked = run(doctor.split(), repository, env)
    assert looked.code == 0, looked.text
    with (tmp_path / "log").open("w") as log:
        gateway = await asyncio.create_subprocess_exec(*serve.split(), cwd=repository, env=env, stdout=log, stderr=log)
        try:
            assert SANDBOX in asking
            asked = asking.replace(SANDBOX, env["CAMUNDA_URL"])
            started = run(["sh", "-e", "-c", asked], repository, env)
            assert started.code == 0, started.text
            async with asyncio.timeout(TIME_LIMIT):
                while '"value":"Hello, Ada!"' not in run(["sh", "-c", asked.splitlines()[-1]], repository, env).text:
                    assert gateway.returncode is None, (tmp_path / "log").read_text()
                    await pause()
        finally:
            if gateway.returncode is None:
                gateway.terminate()
            code = await gateway.wait()
    assert code == 0, (tmp_path / "log").read_text()
