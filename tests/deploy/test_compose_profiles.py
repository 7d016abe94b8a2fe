"""What each profile of `compose.yaml` would run, by the parser of Docker Compose itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped]

from sandbox.build import cache, fingerprint
from sandbox.state import locked
from sandbox.tools import GO, install

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = Path(__file__).with_name("compose")
SERVERS: Final = {"camunda", "jaeger", "mongo", "rabbitmq"}
PROFILES: Final = {
    "gateway": {"gateway"},
    "gateway-workers": {"worker"},
    "gateway-sandbox": {"gateway-sandbox", *SERVERS},
    "monitoring": {"grafana", "prometheus"},
    "sandbox": SERVERS,
}


@pytest.fixture(scope="session")
def compose() -> Path:
    """Return the program that loads a compose file: built once for each state of its sources."""
    program = cache() / "compose" / fingerprint(SOURCES) / "compose"
    with locked(cache() / "compose.lock"):
        if not program.exists():
            install((GO,), print)
            command = [str(GO.require()), "build", "-trimpath", "-o", str(program), "."]
            subprocess.run(command, cwd=SOURCES, check=True, capture_output=True, timeout=600)
    return program


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with the compose file and what it reads; there is no .env.gateway yet."""
    for name in ("compose.yaml", "compose.sandbox.env"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def load(compose: Path, project: Path, *profiles: str, **variables: str) -> dict[str, dict[str, Any]]:
    """Return the services that these profiles run. Raises `ValueError` where Docker Compose would refuse."""
    done = subprocess.run(
        [str(compose), str(project / "compose.yaml"), *profiles],
        env={"PATH": os.environ["PATH"], **variables}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if done.returncode != 0:
        raise ValueError(done.stderr)
    services: dict[str, dict[str, Any]] = json.loads(done.stdout)["services"]
    return services


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_runs_what_it_says(compose: Path, project: Path, profile: str) -> None:
    (project / ".env.gateway").touch()
    assert load(compose, project, profile).keys() == PROFILES[profile]


@pytest.mark.parametrize("profile", ["gateway", "gateway-workers"])
def test_production_takes_nothing_from_the_sandbox(compose: Path, project: Path, profile: str) -> None:
    with pytest.raises(ValueError, match=r"\.env\.gateway not found"):
        load(compose, project, profile)
    (project / ".env.gateway").write_text("CAMUNDA_URL=https://camunda.example.com/engine-rest\n", encoding="utf-8")
    (service,) = load(compose, project, profile).values()
    assert service["environment"] == {
        "CAMUNDA_URL": "https://camunda.example.com/engine-rest",
        "HOST": "0.0.0.0",
        "PORT": "8000",
        "METRICS_PORT": "8000",
    }
    assert "depends_on" not in service


def test_the_sandbox_needs_no_settings_and_those_that_there_are_win(compose: Path, project: Path) -> None:
    assert load(compose, project, "sandbox").keys() == SERVERS
    found = load(compose, project, "gateway-sandbox")["gateway-sandbox"]["environment"]
    assert (found["CAMUNDA_URL"], found["OTEL_EXPORTER_OTLP_ENDPOINT"]) == (
        "http://camunda:8080/engine-rest", "http://jaeger:4317"
    )  # fmt: skip
    (project / ".env.gateway").write_text("OTEL_EXPORTER_OTLP_ENDPOINT=http://other:4317\n", encoding="utf-8")
    found = load(compose, project, "gateway-sandbox")["gateway-sandbox"]["environment"]
    assert found["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://other:4317"


def test_every_container_has_a_limit_of_memory_and_a_log_that_ends(compose: Path, project: Path) -> None:
    (project / ".env.gateway").touch()
    services = load(compose, project, *PROFILES, GATEWAY_MEMORY="768M", GATEWAY_WORKERS="5")
    for name, service in services.items():
        limits = service["deploy"]["resources"]["limits"]
        assert int(limits["memory"]) >= 512 * 2**20, name
        assert 0 < limits["pids"] <= 1024, name
        assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}, name
    ours = ("gateway", "gateway-sandbox", "worker")
    assert {services[name]["deploy"]["resources"]["limits"]["memory"] for name in ours} == {str(768 * 2**20)}
    assert services["worker"]["deploy"]["replicas"] == 5


def test_monitoring_is_given_what_deploy_has(compose: Path, project: Path) -> None:
    services = load(compose, project, "monitoring")
    for name in ("prometheus", "grafana"):
        for mount in services[name]["volumes"]:
            if mount["type"] == "bind":
                source = Path(mount["source"]).relative_to(project)
                assert (ROOT / source).exists(), source
                assert mount["read_only"] is True, source
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = scraped["scrape_configs"]
    assert job["dns_sd_configs"][0]["names"] == ["gateway", "worker", "gateway-sandbox"]
    dashboards = ROOT / "deploy" / "grafana" / "provisioning" / "dashboards" / "gateway.yml"
    (provider,) = yaml.safe_load(dashboards.read_text(encoding="utf-8"))["providers"]
    targets = [mount["target"] for mount in services["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/gateway.json" in targets
