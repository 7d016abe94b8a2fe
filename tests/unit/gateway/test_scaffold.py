"""The scaffold: what it writes works, is tested, and never costs anybody a file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.domain.errors import TopicError
from gateway.scaffold.names import module_name
from gateway.scaffold.topics import package_folder, write_topic

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # A plain environment: nothing of the session that runs this test is to reach the one that it starts.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=root,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_tests(root: Path) -> subprocess.CompletedProcess[str]:
    return run(root, "pytest", "-q", "-c", str(PYPROJECT), "--rootdir", str(root), "-p", "no:cacheprovider", "tests")


def test_the_written_test_passes_and_notices_a_broken_handler(tmp_path: Path) -> None:
    code, test = write_topic("count-words", tmp_path)
    assert code == tmp_path / "topics" / "count_words.py"
    assert test == tmp_path / "tests" / "topics" / "test_count_words.py"
    passed = run_tests(tmp_path)
    assert (passed.returncode, "2 passed" in passed.stdout) == (0, True), passed.stdout + passed.stderr

    code.write_text(code.read_text().replace("len(wanted.text.split())", "0"))
    failed = run_tests(tmp_path)
    assert (failed.returncode, "1 failed, 1 passed" in failed.stdout) == (1, True), failed.stdout + failed.stderr


def test_what_is_written_is_loaded_as_a_topic(tmp_path: Path) -> None:
    names = ("charge-card", "class", "2fa", "topic", "order.ship:v2", "Ação/de cobrança 1", "../a", "$name")
    odd = ('a"b', '"""', "b\\", "c\nd", "日本", "日木", "é" * 255)
    for name in (*names, *odd):
        write_topic(name, tmp_path)
    loaded = run(
        tmp_path, "timeit", "-n1", "-r1", "-s", "import bridge.registry as r", "print(r.load_topics('topics'))"
    )
    assert loaded.returncode == 0, loaded.stderr
    for name in (*names, *odd):
        assert f"name={name!r}" in loaded.stdout
    tested = run_tests(tmp_path)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_what_is_written_is_clean(tmp_path: Path) -> None:
    write_topic("charge-card", tmp_path)
    own = "lint.isort.known-first-party=['topics']"
    checked = run(tmp_path, "ruff", "check", "--no-cache", "--config", str(PYPROJECT), "--config", own, ".")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    formatted = run(tmp_path, "ruff", "format", "--no-cache", "--check", "--config", str(PYPROJECT), ".")
    assert formatted.returncode == 0, formatted.stdout + formatted.stderr


def test_what_is_written_into_the_gateways_own_checkout_is_clean(tmp_path: Path) -> None:
    (tmp_path / "bridge").mkdir()
    (tmp_path / "bridge" / "topic.py").touch()
    write_topic("charge-card", tmp_path)
    own = "lint.isort.known-first-party=['bridge', 'topics']"
    checked = run(tmp_path, "ruff", "check", "--no-cache", "--config", str(PYPROJECT), "--config", own, ".")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("folders", "package", "expected"),
    [
        ((), "topics", "topics"),
        ((), "company.topics", "company/topics"),
        (("src",), "topics", "src/topics"),
        (("src/company",), "company.topics", "src/company/topics"),
        (("src", "topics"), "topics", "topics"),
        (("src/topics", "topics"), "topics", "topics"),
        (("src/topics",), "topics", "src/topics"),
    ],
)
def test_where_a_package_is_and_where_it_belongs(
    tmp_path: Path, folders: tuple[str, ...], package: str, expected: str
) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    assert package_folder(package, tmp_path) == tmp_path / expected


def test_a_folder_src_that_is_a_package_holds_no_others(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "__init__.py").touch()
    assert package_folder("topics", tmp_path) == tmp_path / "topics"
    assert package_folder("src.topics", tmp_path) == tmp_path / "src" / "topics"


def test_a_package_that_an_editable_installation_has_elsewhere_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("python/company_a", ".venv/site-packages/company_b"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "__init__.py").touch()
        monkeypatch.syspath_prepend((tmp_path / place).parent)
    assert package_folder("company_a.topics", tmp_path) == tmp_path / "python" / "company_a" / "topics"
    assert package_folder("company_b.topics", tmp_path) == tmp_path / "company_b" / "topics"


@pytest.mark.parametrize("package", ["", "my-topics", "../topics", "a..b", "class.topics", "/topics"])
def test_what_is_no_package_writes_nothing(tmp_path: Path, package: str) -> None:
    with pytest.raises(TopicError, match=r"^TOPICS_PACKAGE="):
        write_topic("charge-card", tmp_path, package)
    assert list(tmp_path.iterdir()) == []


def test_it_goes_into_the_package_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "src" / "company").mkdir(parents=True)
    code, test = write_topic("charge-card", tmp_path, "company.topics")
    assert code == tmp_path / "src" / "company" / "topics" / "charge_card.py"
    assert test == tmp_path / "tests" / "company" / "topics" / "test_charge_card.py"
    assert "from company.topics.charge_card import Input" in test.read_text()
    assert not (tmp_path / "topics").exists()


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("charge-card", "charge_card"),
        ("chargeCard", "charge_card"),
        ("ChargeCard", "charge_card"),
        ("order.ship:v2", "order_ship_v2"),
        ("a--", "a"),
        ("2fa", "topic_2fa"),
        ("class", "topic_class"),
        ("Print", "topic_print"),
        ("topic", "topic_topic"),
        ("match", "match"),
        ("Ação/de cobrança 1", "acao_de_cobranca_1"),
        ("../a", "a"),
        ("日本", "topic_cf2abf0c"),
        ("x" * 255, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx_d22609da"),
    ],
)
def test_the_name_of_the_file(name: str, module: str) -> None:
    assert module_name(name) == module


@pytest.mark.parametrize("name", ["", "a\0", "x" * 256, "\ud800"])
def test_an_unusable_name_writes_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(TopicError, match="topic name"):
        write_topic(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("existing", ["topics/charge_card.py", "tests/topics/test_charge_card.py"])
def test_a_file_that_exists_stays_and_nothing_is_written(tmp_path: Path, existing: str) -> None:
    path = tmp_path / existing
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    with pytest.raises(TopicError, match=f"^{existing} exists"):
        write_topic("charge-card", tmp_path)
    assert path.read_text() == "precious"
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


def test_a_package_that_exists_stays(tmp_path: Path) -> None:
    package = tmp_path / "topics" / "__init__.py"
    package.parent.mkdir()
    package.write_text('"""Ours."""\n')
    write_topic("charge-card", tmp_path)
    assert package.read_text() == '"""Ours."""\n'


def test_what_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "topics").write_text("a file where the folder should be")
    with pytest.raises(TopicError, match=r"^topics/__init__\.py can't be written: "):
        write_topic("charge-card", tmp_path)
