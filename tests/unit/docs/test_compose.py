"""`compose.yaml`: what each profile starts, what it opens to the network, and what it may do."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from dotenv import dotenv_values

from gateway.settings import Settings
from sandbox.compose import env
from sandbox.ports import DEFAULT_BASE, Ports

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OURS = ("gateway", "worker", "gateway-sandbox")
MONITORING = ("grafana", "prometheus")
THEIRS = ("camunda", "jaeger", "mongo", "rabbitmq")


def published() -> dict[str, list[str]]:
    """Return the ports of each service as they are written, with the defaults of their variables."""
    return {
        name: [VARIABLE.sub(lambda match: match[2] or "", port) for port in service.get("ports", [])]
        for name, service in SERVICES.items()
    }


def test_each_profile_starts_what_it_says() -> None:
    by_profile: dict[str, list[str]] = {}
    for name, service in SERVICES.items():
        for profile in service["profiles"]:
            by_profile.setdefault(profile, []).append(name)
    assert {profile: sorted(names) for profile, names in by_profile.items()} == {
        "gateway": ["gateway"],
        "gateway-workers": ["worker"],
        "gateway-sandbox": sorted((*THEIRS, "gateway-sandbox")),
        "monitoring": list(MONITORING),
        "sandbox": list(THEIRS),
    }


def test_only_the_gateway_is_published_beyond_this_machine() -> None:
    beyond = [
        (name, port) for name, ports in published().items() for port in ports if not port.startswith("127.0.0.1:")
    ]
    assert beyond == [("gateway", "8000:8000")]


def test_the_sandbox_is_published_where_the_native_one_listens() -> None:
    ports = Ports(DEFAULT_BASE)
    assert [port for name in THEIRS for port in published()[name]] == [
        f"127.0.0.1:{ports.engine}:8080",
        f"127.0.0.1:{ports.otlp_grpc}:4317",
        f"127.0.0.1:{ports.otlp_http}:4318",
        f"127.0.0.1:{ports.query}:16686",
        f"127.0.0.1:{ports.store}:{ports.store}",
        f"127.0.0.1:{ports.broker}:5672",
        "127.0.0.1::15672",
    ]


def test_every_port_that_the_sandbox_sets_is_read_and_by_default_its_own() -> None:
    read = {match[1]: match[2] for match in VARIABLE.finditer(TEXT)}
    given = env(Ports(DEFAULT_BASE))
    assert {name: read.get(name) for name in given} == given


def test_a_variable_has_the_same_default_wherever_it_is_read() -> None:
    text = TEXT + (ROOT / "compose.sandbox.env").read_text(encoding="utf-8")
    defaults: dict[str, set[str]] = {}
    for match in VARIABLE.finditer(text):
        defaults.setdefault(match[1], set()).add(match[2])
    assert {name: values for name, values in defaults.items() if len(values) > 1} == {}


@pytest.mark.parametrize("name", OURS)
def test_the_gateways_containers_may_do_as_little_as_they_need(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [mount.partition(":")[0] for mount in service["tmpfs"]] == ["/tmp"]
    assert not {"privileged", "user", "volumes", "network_mode", "pid"} & service.keys()


@pytest.mark.parametrize("name", OURS)
def test_a_container_is_killed_only_after_the_shutdown_has_had_its_time(name: str) -> None:
    given = re.fullmatch(r"(\d+)s", VARIABLE.sub(lambda match: match[2], SERVICES[name]["stop_grace_period"]))
    assert given is not None
    grace = Settings.model_fields["shutdown_grace"].default
    wait = Settings.model_fields["poll_wait"].default
    assert timedelta(seconds=int(given[1])) > timedelta(seconds=grace + wait)


def test_the_servers_are_waited_for_where_they_are_started_and_needed_nowhere() -> None:
    waits = {name: SERVICES[name].get("depends_on") for name in OURS}
    servers = {server: {"condition": "service_healthy"} for server in ("camunda", "mongo", "rabbitmq")}
    assert waits == {"gateway": None, "worker": None, "gateway-sandbox": servers}
    assert all(SERVICES[server]["healthcheck"]["test"] for server in THEIRS)


@pytest.mark.parametrize("name", OURS)
def test_only_the_sandboxs_gateway_reads_its_addresses_and_what_the_operator_sets_wins(name: str) -> None:
    sandbox = [{"path": "compose.sandbox.env"}, {"path": ".env.gateway", "required": False}]
    assert SERVICES[name]["env_file"] == (sandbox if name == "gateway-sandbox" else [".env.gateway"])
    # These are about the inside of a container, and so no one else's to set.
    assert SERVICES[name]["environment"] == {"HOST": "0.0.0.0", "PORT": "8000", "METRICS_PORT": "8000"}


def test_the_sandbox_is_reached_by_settings_that_exist() -> None:
    given = dotenv_values(ROOT / "compose.sandbox.env")
    # What OpenTelemetry reads itself, and what a browser opens, is of another kind.
    assert given.keys() - {"OTEL_EXPORTER_OTLP_ENDPOINT"} <= {field.upper() for field in Settings.model_fields}
    assert given["JAEGER_UI_URL"] == "http://localhost:18086"
    for name, value in given.items():
        if name == "JAEGER_UI_URL":
            continue
        host = re.search(r"(?://|@)([a-z]+):\d", value or "")
        assert host is not None, name
        assert host[1] in SERVICES, name


def test_every_image_is_pinned_to_a_minor_version() -> None:
    images = {name: SERVICES[name]["image"] for name in (*THEIRS, *MONITORING)}
    assert all(re.search(r":[^:]*\d+\.\d+", image) for image in images.values()), images


def test_every_volume_is_declared() -> None:
    declared = yaml.safe_load(TEXT)["volumes"].keys()
    used = {mount.partition(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])}
    assert {name for name in used if not name.startswith("./")} == declared
