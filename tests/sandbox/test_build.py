"""The cache of builds."""

from pathlib import Path

import pytest

from sandbox import build
from sandbox.build import Recipe, fingerprint
from sandbox.errors import BuildFailed
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


def test_a_variant_has_its_flags_and_a_place_of_its_own(recipe: Recipe) -> None:
    (recipe.sources / "b.txt").write_text("two")
    variant = Recipe(recipe.part, "b.txt", (), lambda: ("cp", "a.txt"), variant="2.0", flags=("b.txt",))
    assert variant.build(lambda _: None).read_text() == "one"
    assert variant.place.parent.name == "2.0"
    assert variant.place != recipe.place


def test_an_engine_of_another_version_is_another_variant() -> None:
    older = build.recipe(Part.ENGINE, "7.23.0")
    assert older.flags == ("-Dcamunda.version=7.23.0",)
    assert older.place != build.recipe(Part.ENGINE).place
    assert build.recipe(Part.STORE, "7.23.0") == build.recipe(Part.STORE)


def test_a_failure_ends_with_the_tail_of_the_log(recipe: Recipe) -> None:
    failing = Recipe(recipe.part, recipe.product, (), lambda: ("sh", "-c", "echo what went wrong; exit 3"))
    with pytest.raises(BuildFailed, match="what went wrong"):
        failing.build(lambda _: None)
    assert not failing.place.exists()
