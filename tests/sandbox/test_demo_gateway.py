"""The demo's servers and its gateway as a process: what it is given, and what a failure says."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from sandbox import Part, PartStatus, Sandbox
from sandbox.demo.errors import GatewayFailed
from sandbox.demo.gateway import environment, gateway, login_of
from sandbox.demo.servers import servers
from tests.ports import free_port

GIVEN = {
    "CAMUNDA_URL": "http://engine.example/engine-rest",
    "MONGODB_URI": "mongodb://store.example/",
    "RABBITMQ_URL": "amqp://broker.example/",
}
SERVES = """
import http.server, os, signal, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health/ready" else 404)
        self.end_headers()
def end(*_):
    print("ended in good order", flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""


def test_what_the_user_sets_stands() -> None:
    env = environment({"PORT": "9999", "RETRY_DELAY": "2", "RETRY_DELAY_MAX": "", **GIVEN})
    assert (env["PORT"], env["RETRY_DELAY"], env["RETRY_DELAY_MAX"]) == ("9999", "2", "3")
    assert {name: env[name] for name in GIVEN} == GIVEN
    assert environment({})["PORT"] == "18090"
    assert environment({})["LOG_FORMAT"] == "json"


def test_what_the_samples_count_on_is_not_the_users_choice() -> None:
    env = environment({"TASK_RETRY_LIMIT": "0", "SUPPORTED_TOPICS": "say_hello"})
    assert (env["TASK_RETRY_LIMIT"], env["SUPPORTED_TOPICS"]) == ("3", "")


def test_the_dashboard_has_a_login_of_its_own_for_each_demo() -> None:
    env, other = environment({}), environment({"GATEWAY_ADMIN_USER": ""})
    assert login_of(env) == f"{env['GATEWAY_ADMIN_USER']} / {env['GATEWAY_ADMIN_PASSWORD']}"
    assert env["GATEWAY_ADMIN_USER"] != other["GATEWAY_ADMIN_USER"]
    assert len(env["GATEWAY_ADMIN_PASSWORD"]) >= 12
    assert env["INSECURE_COOKIES"] == "true"
    own = environment({"GATEWAY_ADMIN_USER": "ada", "GATEWAY_ADMIN_PASSWORD": "correct horse battery"})
    assert login_of(own) == "ada / GATEWAY_ADMIN_PASSWORD"


async def test_a_gateway_that_is_ready_is_used_and_then_asked_to_end(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "gateway.log"
    env = environment({"PORT": str(free_port())})
    said: list[str] = []
    async with aiohttp.ClientSession() as session:
        with gateway(env, log, said.append, (sys.executable, "-c", SERVES)) as started:
            await started.ready(session)
            started.require()
    assert said == ["ending the gateway"]
    assert "ended in good order" in log.read_text()
    assert started.started.leader() is None


async def test_a_gateway_that_ends_shows_the_end_of_its_log_and_not_of_an_earlier_one(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    log.write_text("what was before\n")
    env = environment({"PORT": str(free_port())})
    async with aiohttp.ClientSession() as session:
        with (
            gateway(env, log, lambda _: None, ("sh", "-c", "echo no such topic; exit 3")) as started,
            pytest.raises(GatewayFailed, match=r"(?s)the gateway ended.*no such topic.*start the demo again") as caught,
        ):
            await started.ready(session)
    assert "what was before" not in str(caught.value)
    assert (tmp_path / "gateway.previous.log").read_text() == "what was before\n"


async def test_a_gateway_that_is_never_ready_is_given_up(tmp_path: Path) -> None:
    env = environment({"PORT": str(free_port())})
    async with aiohttp.ClientSession() as session:
        with (
            gateway(env, tmp_path / "gateway.log", lambda _: None, ("sleep", "60")) as started,
            pytest.raises(GatewayFailed, match="isn't 200 after 0 s"),
        ):
            await started.ready(session, within=0)
    assert started.started.leader() is None


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with (
            pytest.raises(GatewayFailed, match=f"port {port} is taken"),
            gateway(environment({"PORT": str(port)}), tmp_path / "gateway.log", lambda _: None),
        ):
            pass


def test_servers_that_the_environment_names_are_used_and_left_alone(tmp_path: Path) -> None:
    said: list[str] = []
    with servers(tmp_path, None, {**GIVEN, "RABBITMQ_URL": "amqp://user:hidden@broker.example/"}, said.append) as found:
        assert not found.ours
        assert found.env["CAMUNDA_URL"] == GIVEN["CAMUNDA_URL"]
    assert "hidden" not in "".join(said)
    assert list(tmp_path.iterdir()) == []


def test_only_what_was_started_is_taken_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running, stopped = {Part.STORE}, list[Part]()

    def up(box: Sandbox, parts: object = None) -> dict[Part, float]:
        running.update({Part.ENGINE, Part.BROKER})
        return {Part.ENGINE: 5.0, Part.STORE: 0.0, Part.BROKER: 7.0}

    def status(box: Sandbox) -> list[PartStatus]:
        return [PartStatus(part, "running" if part in running else "stopped", None, 1, True) for part in Part]

    monkeypatch.setattr(Sandbox, "up", up)
    monkeypatch.setattr(Sandbox, "status", status)
    monkeypatch.setattr(Sandbox, "stop", lambda box, part: stopped.append(part))
    said: list[str] = []
    with servers(tmp_path, 20000, {"CAMUNDA_URL": "http://elsewhere.example", "LANG": "C"}, said.append) as found:
        assert found.ours
        assert (found.env["CAMUNDA_URL"], found.env["LANG"]) == ("http://127.0.0.1:20000/engine-rest", "C")
        # Jaeger couldn't be had: nobody is to send it traces
        assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in found.env
    assert stopped == [Part.BROKER, Part.ENGINE]
    assert any("using a sandbox instead" in line for line in said)
