"""The cache of builds."""

from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import build
from sandbox.build import Recipe, fingerprint
from sandbox.errors import ArtifactMissing, BuildFailed
from sandbox.kinds import KINDS
from sandbox.parts import Part


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.setenv("GATEWAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "HERE", tmp_path / "sources")
    sources = tmp_path / "sources" / "store"
    sources.mkdir(parents=True)
    (sources / "a.txt").write_text("one")
    return Recipe(Part.STORE, "product", (), lambda: ("cp", "a.txt", "product"))


def test_the_hash_follows_the_sources_but_not_what_a_build_leaves(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    first = fingerprint(tmp_path)
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "a.class").write_text("x")
    assert fingerprint(tmp_path) == first
    (tmp_path / "a.txt").write_text("two")
    assert fingerprint(tmp_path) != first


def test_a_build_is_made_once_for_each_state_of_its_sources(recipe: Recipe) -> None:
    said: list[str] = []
    product = recipe.build(said.append)
    assert product.read_text() == "one"
    assert recipe.build(said.append) == product
    assert len(said) == 1
    (recipe.sources / "a.txt").write_text("two")
    assert recipe.build(said.append).read_text() == "two"
    assert len(said) == 2


def test_nothing_is_left_in_the_sources_or_of_the_work(recipe: Recipe) -> None:
    recipe.build(lambda _: None)
    assert [path.name for path in recipe.sources.iterdir()] == ["a.txt"]
    assert list((build.cache() / "work").iterdir()) == []


def test_a_variant_has_rewritten_sources_and_a_place_of_its_own(recipe: Recipe) -> None:
    (recipe.sources / "a.xml").write_text("version 1.0")
    variant = replace(
        recipe,
        command=lambda: ("cp", "a.xml", "product"),
        variant="2.0",
        rewrites=(("version", "release"), ("1.0", "2.0")),
        files=(("beside/b.txt", "two"),),
    )
    assert variant.build(lambda _: None).read_text() == "release 2.0"
    assert variant.place.parent.name == "2.0"
    assert (recipe.sources / "a.xml").read_text() == "version 1.0", "the sources stay as they are"
    beside = replace(variant, command=lambda: ("cp", "beside/b.txt", "product"), variant="beside")
    assert beside.build(lambda _: None).read_text() == "two"
    assert recipe.build(lambda _: None).read_text() == "one"


def test_an_engine_of_another_kind_is_another_variant() -> None:
    usual, older, fork = (build.recipe(Part.ENGINE, name) for name in ("camunda-7.24", "camunda-7.23", "operaton-1.0"))
    assert usual == build.recipe(Part.ENGINE)
    assert usual.place.parent.name == fingerprint(usual.sources), "where it always was"
    assert older.rewrites == (("7.24.0", "7.23.0"),)
    assert len({usual.place, older.place, fork.place}) == 3
    assert build.recipe(Part.STORE, "operaton-1.0") == build.recipe(Part.STORE)


def test_each_kind_of_engine_finds_what_it_rewrites() -> None:
    texts = "".join(path.read_text() for path in (build.HERE / "engine").rglob("*") if path.suffix in build.TEXTS)
    for kind in KINDS.values():
        text = texts
        for old, new in kind.rewrites:
            assert old in text, (kind.name, old)
            text = text.replace(old, new)
        assert kind.version in text
        assert kind.brand in text
        assert kind.name == f"{kind.brand}-{kind.version[: kind.version.rindex('.')]}"


@pytest.mark.parametrize(
    "said", ["Could not find artifact a:b:1", "a:b:1 was not found in x during", "Non-resolvable import POM"]
)
def test_what_no_registry_has_is_told_from_a_build_that_failed(recipe: Recipe, said: str) -> None:
    missing = replace(recipe, command=lambda: ("sh", "-c", f"echo '{said}'; exit 1"))
    with pytest.raises(ArtifactMissing, match=said):
        missing.build(lambda _: None)


def test_a_failure_ends_with_the_tail_of_the_log(recipe: Recipe) -> None:
    failing = Recipe(recipe.part, recipe.product, (), lambda: ("sh", "-c", "echo what went wrong; exit 3"))
    with pytest.raises(BuildFailed, match="what went wrong") as caught:
        failing.build(lambda _: None)
    assert not isinstance(caught.value, ArtifactMissing)
    assert not failing.place.exists()
