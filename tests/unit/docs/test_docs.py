"""The documentation says what the code does: its examples run, its links lead somewhere, its tables are complete."""

from __future__ import annotations

import ast
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from bridge.domain.task import State
from bridge.topic import Topic
from gateway.cli.main import COMMANDS
from web.api.problems import PROBLEMS, STATUSES
from web.api.routes import api_router
from web.api.schemas import Accepted, DeadLetterList, HealthStatus, Problem, SubmitRequest, TaskStatistics, TaskStatus

ROOT = Path(__file__).parents[3]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
MANUAL = (ROOT / "docs" / "WORKER-API-GATEWAY.md").read_text(encoding="utf-8")
API = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
TOPICS = (ROOT / "docs" / "reference" / "topics.md").read_text(encoding="utf-8")
LINK = re.compile(r"\]\((?!https?:)([^)\s]+)\)")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def section(page: str, title: str) -> str:
    """Return what stands under a heading of a page."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found is not None, f"there is no section {title!r}"
    return found[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


async def test_the_example_of_a_topic_passes_the_example_of_its_tests() -> None:
    names: dict[str, Any] = {"__name__": "docs_topics"}
    for block in blocks(TOPICS, "python"):
        exec(compile(block, "docs/reference/topics.md", "exec"), names)
    assert [value.name for value in names.values() if isinstance(value, Topic)] == ["charge_card", "print"]
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert [inspect.iscoroutinefunction(test) for test in tests] == [True] * 5 + [False] * 4
    for test in tests:
        ended = test()
        if inspect.isawaitable(ended):
            await ended


@pytest.mark.parametrize(("page", "name"), [("python-client", "charge_card"), ("java-client", "charge_card")], ids=str)
def test_what_another_clients_worker_becomes_is_a_topic(page: str, name: str) -> None:
    (block,) = blocks((ROOT / "docs" / "how-to" / f"{page}.md").read_text(encoding="utf-8"), "python")
    names: dict[str, Any] = {"__name__": "docs_topics"}
    exec(compile(block, page, "exec"), names)
    assert [value.name for value in names.values() if isinstance(value, Topic)] == [name]


def test_every_state_is_explained() -> None:
    assert re.findall(r"^\| `(\w+)` \|", section(MANUAL, "States"), re.MULTILINE) == [
        state.value for state in sorted(State, key=list(State).index)
    ]


def test_every_problem_is_explained() -> None:
    known = {kind.slug: kind.status for kind in (*STATUSES.values(), *PROBLEMS.values())}
    explained = re.findall(r"^\| `([\w-]+)` \| (\d+) \|", section(API, "Problems"), re.MULTILINE)
    assert {slug: int(status) for slug, status in explained} == known


def test_every_path_is_in_the_manual() -> None:
    text, _, _ = API.partition("\n## Problems\n")
    paths = {re.sub(r":\w+\}", "}", route.path) for route in api_router().routes}
    assert {
        path for path in paths if f"{path} " not in text and f"{path}\n" not in text and f"{path}," not in text
    } == (set())


@pytest.mark.parametrize(
    ("place", "model"),
    [(0, Accepted), (1, TaskStatus), (2, TaskStatistics), (3, HealthStatus), (4, DeadLetterList), (5, Problem)],
    ids=lambda value: value.__name__ if inspect.isclass(value) else str(value),
)
def test_every_answer_shown_is_one_that_the_api_gives(place: int, model: type[BaseModel]) -> None:
    shown = json.loads(blocks(API, "json")[place])
    answer = model.model_validate(shown)
    assert set(shown) == set(answer.model_dump(mode="json"))


def test_the_submission_shown_is_accepted() -> None:
    body = re.search(r"-d '(\{.*?\})'", API, re.DOTALL)
    assert body is not None
    assert SubmitRequest.model_validate_json(body[1]).topic == "say_hello"


def test_every_command_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if not re.search(rf"gateway {name}\b", page)] == []


PACKAGES = [init for root in ("gateway", "bridge", "web") for init in sorted((ROOT / root).rglob("__init__.py"))]


@pytest.mark.parametrize("init", PACKAGES, ids=lambda init: init.parent.relative_to(ROOT).as_posix())
def test_every_package_says_what_it_is_for(init: Path) -> None:
    assert ast.get_docstring(ast.parse(init.read_text(encoding="utf-8")))
