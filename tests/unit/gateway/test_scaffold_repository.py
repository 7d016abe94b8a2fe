"""The repository that `gateway init` writes: what is in it fits the gateway, and nobody's file is lost."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml  # type: ignore[import-untyped]
from dotenv import dotenv_values

from bridge.domain.errors import TopicError
from gateway.scaffold.repository import write_repository
from gateway.settings import Settings
from sandbox.ports import DEFAULT_BASE, Ports

ROOT = Path(__file__).parents[3]
IMAGE = "worker-api-gateway:1.2.3"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("init") / "my-topics"
    write_repository(root, "1.2.3")
    return root


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def tool(root: Path, *arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_returns_what_it_wrote(tmp_path: Path) -> None:
    written = write_repository(tmp_path / "my-topics", "1.2.3")
    found = {path for path in (tmp_path / "my-topics").rglob("*") if path.is_file()}
    assert found - set(written) == {tmp_path / "my-topics" / "my_topics" / "__init__.py"}
    assert len(written) == len(set(written)) > 10


def test_nothing_is_left_to_fill_in(repository: Path) -> None:
    for path in repository.rglob("*"):
        if path.is_file():
            # Of shells, of Docker and of the CI, as `${NAME}` and `${{ name }}`.
            assert re.findall(r"\$(?!\{)\w*|\$\{(?![A-Z{ ])", path.read_text("utf-8")) == [], path


def test_the_settings_are_the_gateways_and_lead_to_the_sandbox(repository: Path) -> None:
    given = dotenv_values(repository / ".env.gateway")
    assert given.keys() <= {field.upper() for field in Settings.model_fields}
    assert given["TOPICS_PACKAGE"] == "my_topics"
    sandbox = Ports(DEFAULT_BASE).env()
    for name in ("CAMUNDA_URL", "MONGODB_URI", "RABBITMQ_URL"):
        assert given[name] == sandbox[name]


def test_the_password_is_nobodys_and_in_the_file_that_is_not_committed(repository: Path, tmp_path: Path) -> None:
    write_repository(tmp_path / "other", "1.2.3")
    passwords = [
        dotenv_values(root / ".env.gateway")["GATEWAY_ADMIN_PASSWORD"] for root in (repository, tmp_path / "other")
    ]
    assert len(set(passwords)) == 2
    assert all(len(password or "") >= 16 for password in passwords)
    assert not dotenv_values(repository / ".env.gateway.example")["GATEWAY_ADMIN_PASSWORD"]
    assert ".env.gateway" in (repository / ".gitignore").read_text().split()
    assert stat.S_IMODE((repository / ".env.gateway").stat().st_mode) == 0o600


def test_the_sandbox_is_the_gateways_own(repository: Path) -> None:
    own = read_yaml(ROOT / "compose.yaml")["services"]
    services = read_yaml(repository / "compose.sandbox.yaml")["services"]
    servers = {name: service for name, service in services.items() if name != "gateway"}
    assert {name: service["image"] for name, service in servers.items()} == {
        name: own[name]["image"] for name in servers
    }
    assert services["gateway"]["depends_on"].keys() == servers.keys()
    assert services["gateway"]["environment"].keys() <= {field.upper() for field in Settings.model_fields}


def test_the_container_may_do_no_more_than_the_gateways_own(repository: Path) -> None:
    compose = read_yaml(ROOT / "compose.yaml")
    own, service = compose["x-gateway"], read_yaml(repository / "compose.yaml")["services"]["gateway"]
    for name in ("env_file", "read_only", "tmpfs", "cap_drop", "security_opt", "restart", "logging"):
        assert service[name] == own[name]
    assert service["deploy"]["resources"] == compose["x-limits"]
    assert service["environment"] == {"TOPICS_PACKAGE": "my_topics", **own["environment"]}
    assert service["build"]["args"]["GATEWAY_IMAGE"] == f"${{GATEWAY_IMAGE:-{IMAGE}}}"


def test_the_image_is_the_gateways_with_the_topics(repository: Path) -> None:
    text = (repository / "Dockerfile").read_text()
    own = (ROOT / "Dockerfile").read_text()
    assert f"ARG GATEWAY_IMAGE={IMAGE}\nFROM ${{GATEWAY_IMAGE}} AS topics\n" in text
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE)[-1] == re.findall(r"^USER (\S+)$", own, re.MULTILINE)[-1]
    assert "ENV TOPICS_PACKAGE=my_topics\n" in text
    for constraints in re.findall(r"--constraint (\S+)", text):
        assert constraints in own
    copied = {source for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE) for source in line.split()}
    allowed = set(re.findall(r"^!(.+)$", (repository / ".dockerignore").read_text(), re.MULTILINE))
    assert copied == allowed
    assert all((repository / path).exists() for path in copied)


def test_the_workflow_builds_the_stages_that_there_are(repository: Path) -> None:
    steps = read_yaml(repository / ".github" / "workflows" / "test.yaml")["jobs"]["test"]["steps"]
    commands = [step["run"] for step in steps if "run" in step]
    assert len(commands) == 2
    stages = re.findall(r"^FROM .* AS (\w+)$", (repository / "Dockerfile").read_text(), re.MULTILINE)
    for target in re.findall(r"--target (\w+)", "\n".join(commands)):
        assert target in stages


def test_it_is_clean_and_builds_a_wheel_of_its_package(repository: Path, tmp_path: Path) -> None:
    tool(repository, "ruff", "check", "--no-cache", ".")
    tool(repository, "ruff", "format", "--no-cache", "--check", ".")
    tool(repository, "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA"))
    assert files == {"my_topics/__init__.py", "my_topics/count_words.py"}
    assert "Requires-Dist: worker-api-gateway<2,>=1.2.3\n" in metadata


@pytest.mark.parametrize(
    ("name", "package", "distribution"),
    [
        ("Workers BR", "workers_br", "workers-br"),
        ("acme.topics", "acme_topics", "acme-topics"),
        ("2fa", "topic_2fa", "topic-2fa"),
    ],
)
def test_the_names_come_from_the_folder(tmp_path: Path, name: str, package: str, distribution: str) -> None:
    write_repository(tmp_path / name, "1.2.3")
    assert (tmp_path / name / package / "count_words.py").exists()
    assert f'\nname = "{distribution}"\n' in (tmp_path / name / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("json", "Python has a module 'json' already"),
        ("requests", "a package 'requests' is installed already"),
        ("web", "a package 'web' is installed already"),
        ("py", "a package 'py' is installed already"),
    ],
)
def test_a_name_that_hides_another_writes_nothing(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(TopicError, match=f"^{name}: {why}, choose another name$"):
        write_repository(tmp_path / name, "1.2.3")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("existing", ["README.md", ".env.gateway", "my_topics/count_words.py"])
def test_a_file_that_exists_stays_and_nothing_is_written(tmp_path: Path, existing: str) -> None:
    path = tmp_path / "my-topics" / existing
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    with pytest.raises(TopicError, match=f"^my-topics has {re.escape(existing)}: "):
        write_repository(tmp_path / "my-topics", "1.2.3")
    assert path.read_text() == "precious"
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]
