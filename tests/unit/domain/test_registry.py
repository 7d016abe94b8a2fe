"""The registry: what it finds in a package, and how it names the file that stops the start."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from bridge.domain.errors import TopicError, TopicsPackageMissing
from bridge.registry import Registry, load_topics

NUMBERS = count(1)
HEAD = "from pydantic import BaseModel\nfrom bridge.topic import topic\nclass Input(BaseModel): ...\n"
Drop = Callable[..., None]


def declare(name: str, function: str = "work") -> str:
    return f"{HEAD}@topic({name!r})\ndef {function}(wanted: Input) -> None: ...\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the name of an empty package that can be imported, and is forgotten afterwards."""
    name = f"topics_of_test_{next(NUMBERS)}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for module in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
        del sys.modules[module]


@pytest.fixture
def drop(tmp_path: Path, package: str) -> Drop:
    """Return what writes files into the package, given by their names without `.py`."""

    def write(**files: str) -> None:
        for name, text in files.items():
            inner = name if name == "__init__" else name.replace("__", "/", 1)
            path = tmp_path / package / f"{inner}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    return write


def test_it_finds_our_own_topics() -> None:
    registry = load_topics("topics", None)
    assert {"nova_publicacao", "say_hello"} <= set(registry.names)


def test_it_is_a_mapping_in_the_order_of_names(package: str, drop: Drop) -> None:
    drop(a=declare("zebra"), b=declare("ant"))
    registry = load_topics(package)
    assert registry.names == tuple(registry) == ("ant", "zebra")
    assert len(registry) == 2
    assert [topic.name for topic in registry.values()] == ["ant", "zebra"]
    assert registry["ant"] is registry.get("ant")
    assert registry.get("lion") is None
    assert "ant" in registry
    with pytest.raises(KeyError):
        registry["lion"]


def test_it_can_not_be_changed(package: str, drop: Drop) -> None:
    drop(a=declare("ant"))
    registry = load_topics(package)
    given = dict(registry)
    copy = Registry(given)
    given.clear()
    assert copy == registry
    with pytest.raises(TypeError):
        copy.topics["bee"] = copy["ant"]  # type: ignore[index]  # it is the point
    with pytest.raises(AttributeError):
        copy.topics = {}  # type: ignore[misc]  # it is the point


def test_an_empty_package_has_no_topics(package: str) -> None:
    assert load_topics(package).names == ()


def test_a_file_may_have_several_topics_and_a_topic_several_names(package: str, drop: Drop) -> None:
    drop(a=declare("ant") + "@topic('bee')\ndef other(wanted: Input) -> None: ...\nalias = other\n")
    assert load_topics(package).names == ("ant", "bee")


def test_folders_are_read_and_underscores_are_not(package: str, drop: Drop) -> None:
    drop(folder____init__="", folder__a=declare("ant"), _helper="raise RuntimeError", _drafts__b="raise RuntimeError")
    assert load_topics(package).names == ("ant",)


def test_a_file_dropped_later_is_found_at_the_next_start(package: str, drop: Drop) -> None:
    drop(a=declare("ant"))
    assert load_topics(package).names == ("ant",)
    drop(b=declare("bee"))
    assert load_topics(package).names == ("ant", "bee")


def test_a_dotted_name_is_a_package_too(package: str, drop: Drop) -> None:
    drop(folder____init__="", folder__a=declare("ant"), b=declare("bee"))
    assert load_topics(f"{package}.folder").names == ("ant",)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("def broken(:", r"SyntaxError: .*\(a\.py, line 1\)"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("exit('bye')", "SystemExit: bye"),
        (declare(""), "TopicError: topic name ''"),
        (
            HEAD + "@topic('ant')\ndef work() -> None: ...",
            "TopicError: topic 'ant': work must be .* takes 0 parameters",
        ),
    ],
)
def test_a_file_that_fails_is_named_with_its_error(package: str, drop: Drop, text: str, why: str) -> None:
    drop(a=text)
    with pytest.raises(TopicError, match=rf"^{package}/a\.py can't be imported: {why}") as caught:
        load_topics(package)
    assert type(caught.value.__cause__).__name__ == why.partition(":")[0]


def test_a_folder_that_fails_is_named(package: str, drop: Drop) -> None:
    drop(folder____init__="1 / 0", folder__a=declare("ant"))
    with pytest.raises(TopicError, match=rf"^{package}/folder/__init__\.py can't be imported: ZeroDivisionError"):
        load_topics(package)


def test_a_person_can_interrupt_an_import(package: str, drop: Drop) -> None:
    drop(a="raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_topics(package)


@pytest.mark.parametrize("name", ["no_such_package", "no.such.package", "", ".relative"])
def test_a_package_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(TopicError, match=rf"^topics package '{name}' can't be imported: "):
        load_topics(name)


@pytest.mark.parametrize("name", ["no_such_package", "no.such.package", "bridge.no_such_package"])
def test_a_package_that_is_not_there_is_told_apart(name: str) -> None:
    with pytest.raises(TopicsPackageMissing):
        load_topics(name)


def test_a_package_that_imports_what_is_not_there_is_a_broken_one(package: str, drop: Drop) -> None:
    drop(__init__="import nowhere_at_all")
    with pytest.raises(TopicError, match="No module named 'nowhere_at_all'") as caught:
        load_topics(package)
    assert not isinstance(caught.value, TopicsPackageMissing)


def test_a_file_is_not_a_package(package: str, drop: Drop) -> None:
    drop(a=declare("ant"))
    with pytest.raises(TopicError, match="is a single file"):
        load_topics(f"{package}.a")


def test_a_file_without_a_topic_is_named(package: str, drop: Drop) -> None:
    drop(a=declare("ant"), b="LIMIT = 3\n")
    with pytest.raises(TopicError, match=rf"^{package}/b\.py declares no topic"):
        load_topics(package)


def test_a_topic_in_two_files_names_both(package: str, drop: Drop) -> None:
    drop(a=declare("ant"), b=declare("ant"))
    with pytest.raises(TopicError, match=rf"topic 'ant' is declared in {package}/a\.py and in {package}/b\.py"):
        load_topics(package)


def test_a_topic_twice_in_a_file_names_it(package: str, drop: Drop) -> None:
    drop(a=declare("ant") + "@topic('ant')\ndef other(wanted: Input) -> None: ...\n")
    with pytest.raises(TopicError, match=rf"topic 'ant' is declared twice in {package}/a\.py"):
        load_topics(package)


def test_an_imported_topic_is_not_another(package: str, drop: Drop) -> None:
    drop(a=f"from {package}.b import work as bee\n{declare('ant')}", b=declare("bee"))
    assert load_topics(package).names == ("ant", "bee")


def test_an_imported_topic_does_not_make_a_file_a_topics_file(package: str, drop: Drop) -> None:
    drop(a=f"from {package}.b import work\n", b=declare("bee"))
    with pytest.raises(TopicError, match=rf"^{package}/a\.py declares no topic"):
        load_topics(package)


def test_a_function_from_elsewhere_may_become_a_topic(package: str, drop: Drop) -> None:
    function = f"{HEAD}def work(wanted: Input) -> None: ...\n"
    use = "from bridge.topic import topic\nfrom {package}.{file} import work as function\n"
    use += "work = topic('{name}')(function)\n"
    drop(
        _shared=function,
        a=use.format(package=package, file="_shared", name="ant"),
        b=use.format(package=package, file="c", name="bee"),
        c=function + "cow = topic('cow')(work)\n",
    )
    assert load_topics(package).names == ("ant", "bee", "cow")


def test_only_the_supported_are_kept(package: str, drop: Drop) -> None:
    drop(a=declare("ant"), b=declare("bee"), c=declare("cow"))
    assert load_topics(package, ("cow", "ant", "cow")).names == ("ant", "cow")
    assert load_topics(package, ()).names == ()


def test_an_unknown_supported_topic_is_named_with_the_known(package: str, drop: Drop) -> None:
    drop(a=declare("ant"), b=declare("bee"))
    with pytest.raises(TopicError, match=r"^SUPPORTED_TOPICS names aunt, be: .*; known: ant, bee$"):
        load_topics(package, ("be", "ant", "aunt"))


def test_an_unknown_supported_topic_where_there_is_none(package: str) -> None:
    with pytest.raises(TopicError, match="known: none"):
        load_topics(package, ("ant",))
