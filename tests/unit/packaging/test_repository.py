"""A repository of one's own, from an empty folder by the wheel alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.packaging import tutorial
from tests.unit.packaging.installation import Installation, run

pytestmark = pytest.mark.timeout(900)
"""Each test starts up to eight commands, of which each imports the whole gateway: a busy machine takes minutes."""


def test_a_new_repository_has_a_topic_whose_test_and_types_pass(installed: Installation, tmp_path: Path) -> None:
    written = installed.gateway(tmp_path, "init", "my-topics")
    assert (written.code, "    cd my-topics\n" in written.text) == (0, True), written.text
    root = tmp_path / "my-topics"
    listed = installed.gateway(root, "topics", "list")
    assert (listed.code, listed.text.split()[0]) == (0, "count_words"), listed.text

    another = installed.gateway(root, "topics", "new", "charge-card")
    assert another.text == "wrote my_topics/charge_card.py\nwrote tests/my_topics/test_charge_card.py\n"
    tested = installed.module(root, "pytest", "-q", "-p", "no:cacheprovider")
    assert (tested.code, "4 passed" in tested.text) == (0, True), tested.text
    typed = installed.module(root, "mypy", "--cache-dir", str(tmp_path / "mypy"))
    assert typed.code == 0, typed.text

    again = installed.gateway(root, "init", ".")
    assert (again.code, "remove what is there" in again.text) == (2, True), again.text


def test_a_handler_is_run_by_hand(installed: Installation, tmp_path: Path) -> None:
    installed.gateway(tmp_path, "init", "my-topics")
    root = tmp_path / "my-topics"
    (root / "task.json").write_text('{"text": "three short words"}')
    ran = installed.gateway(root, "topics", "run", "count_words", "--variables", "task.json")
    assert (ran.code, "words counted" in ran.text) == (0, True), ran.text
    assert "completed\n    words: Integer = 3\n" in ran.text

    (root / "task.json").write_text('{"text": ""}')
    refused = installed.gateway(root, "topics", "run", "count_words", "--variables", "task.json")
    assert (refused.code, "failed: InvalidInput: text: " in refused.text) == (1, True), refused.text

    unknown = installed.gateway(root, "topics", "run", "count")
    assert (unknown.code, unknown.text) == (2, "gateway: no topic 'count' in 'my_topics'; known: count_words\n")


def test_the_tutorial_runs_as_it_is_written(installed: Installation, tmp_path: Path) -> None:
    """Its steps without a server; `tests/e2e/test_tutorial.py` runs those with servers."""
    path = f"{installed.venv / 'bin'}:{os.environ['PATH']}"
    ended = run(["sh", "-e", "-c", tutorial.without_servers()], tmp_path, {"PATH": path})
    assert ended.code == 0, ended.text
    assert "2 passed" in ended.text
    assert "4 passed" in ended.text
    (shown,) = tutorial.blocks(3, "text")
    assert shown in ended.text
