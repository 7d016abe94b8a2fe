"""Topics in a folder of one's own: where they are written, that their tests pass, and what is said without any."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.unit.packaging.installation import Installation

UNREACHABLE = {
    "MONGODB_URI": "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=100",
    "CAMUNDA_URL": "http://127.0.0.1:9/engine-rest",
    "RABBITMQ_URL": "amqp://guest:guest@127.0.0.1:9/",
    "PORT": "0",
    "LOG_FORMAT": "json",
}


@pytest.mark.parametrize(
    ("package", "before", "code"),
    [
        ("topics", "", "topics/charge_card.py"),
        ("my_topics", "", "my_topics/charge_card.py"),
        ("company.topics", "src/company", "src/company/topics/charge_card.py"),
    ],
)
def test_what_is_written_is_found_and_its_test_passes(
    installed: Installation, tmp_path: Path, package: str, before: str, code: str
) -> None:
    (tmp_path / before).mkdir(parents=True, exist_ok=True)
    (tmp_path / ".env.gateway").write_text(f"TOPICS_PACKAGE={package}\n")
    written = installed.gateway(tmp_path, "topics", "new", "charge-card")
    test = f"tests/{package.replace('.', '/')}/test_charge_card.py"
    assert (written.code, written.text) == (0, f"wrote {code}\nwrote {test}\n")

    listed = installed.gateway(tmp_path, "topics", "list")
    assert (listed.code, listed.text.split()[0]) == (0, "charge-card"), listed.text
    # As a repository with the layout src has it, and no setting of pytest's besides.
    roots = {"PYTHONPATH": str(tmp_path / "src")} if before else None
    tested = installed.module(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", env=roots)
    assert (tested.code, "2 passed" in tested.text) == (0, True), tested.text


@pytest.mark.parametrize("command", [["serve"], ["topics", "list"]])
def test_without_a_package_it_stops_and_tells_what_to_do(
    installed: Installation, tmp_path: Path, command: list[str]
) -> None:
    ended = installed.gateway(tmp_path, *command)
    assert ended.code == 2
    assert ended.text == (
        "gateway: topics package 'topics' can't be imported: ModuleNotFoundError: No module named 'topics': start in "
        "the folder that holds it, or name another by TOPICS_PACKAGE; `gateway init NAME` writes a repository with one"
        "\n"
    )


def test_a_package_with_a_name_of_the_gateways_own_is_told(installed: Installation, tmp_path: Path) -> None:
    (tmp_path / "web" / "topics").mkdir(parents=True)
    (tmp_path / "web" / "__init__.py").touch()
    ended = installed.gateway(tmp_path, "serve", env={"TOPICS_PACKAGE": "web.topics"})
    assert ended.code == 2
    assert "'web' is a package of the gateway itself, give yours another name" in ended.text


def test_without_a_topic_it_stops_where_a_role_needs_one(installed: Installation, tmp_path: Path) -> None:
    (tmp_path / "topics").mkdir()
    (tmp_path / "topics" / "__init__.py").touch()
    ended = installed.gateway(tmp_path, "serve", "--roles", "web,intake")
    assert ended.code == 2
    assert ended.text == (
        "gateway: topics package 'topics' has no topic, so there is nothing to do for intake: "
        "`gateway topics new NAME` writes one\n"
    )


@pytest.mark.parametrize("empty", [True, False])
def test_without_a_topic_pages_are_served_and_the_log_says_so(
    installed: Installation, tmp_path: Path, empty: bool
) -> None:
    if empty:
        (tmp_path / "topics").mkdir()
        (tmp_path / "topics" / "__init__.py").touch()
    command = [str(installed.venv / "bin" / "gateway"), "serve", "--roles", "web"]
    with subprocess.Popen(command, cwd=tmp_path, env=UNREACHABLE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = json.loads(process.stderr.readline())
        starting = json.loads(process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert (line["event"], line["level"], line["package"], line["roles"]) == ("no_topics", "warning", "topics", ["web"])
    assert (starting["event"], starting["topics"]) == ("starting", [])
