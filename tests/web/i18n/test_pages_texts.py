"""Every text of the pages is there in every language, and no template says a word that isn't translated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from jinja2 import Environment, nodes

from web.components.page import FOLDER
from web.i18n.texts import ENGLISH, LANGUAGES, PORTUGUESE, catalog_file, language_of, locale_of, translations

ROOT = Path(__file__).parents[3]
FOR_DEVELOPERS = {"styleguide.html"}
TEMPLATES = [path for path in sorted(FOLDER.rglob("*.html")) if path.name not in FOR_DEVELOPERS]
NAMES = re.compile(r"Worker API Gateway|Ctrl K|null|Camunda|Cockpit|MongoDB|RabbitMQ|Jaeger|NDJSON|JSON|CSV|UTC")
NO_WORDS = re.compile(r"(?:[\w.-]+:\S+ ?)+|[\w-]+=.*")
"""An example of a query, and attributes that a macro writes."""
FOR_MACHINES = {"cls", "id", "name", "icon", "live", "level"}
SHOWN = {"title", "aria-label", "placeholder", "alt", "label"}
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|\{\w+\}")
KEYWORDS: dict[str, Any] = {"_": None, "gettext": None, "ngettext": (1, 2), "msg": None, "Kind": (3,)}
JINJA = {"trimmed": "true", "newstyle_gettext": "true", "extensions": "jinja2.ext.do"}
SOURCES: list[tuple[str, str, str, dict[str, str]]] = [
    ("templates", "**.html", "jinja2.ext:babel_extract", JINJA),
    ("web", "**.py", "python", {}),
    ("bridge/domain/message_texts", "**.py", "python", {}),
]


@pytest.fixture(scope="module")
def used() -> set[Any]:
    """Return the ids of all texts in the templates and in web/."""
    found: set[Any] = set()
    for folder, pattern, method, options in SOURCES:
        extracted = extract_from_dir(ROOT / folder, [(pattern, method)], {pattern: options}, KEYWORDS)
        found |= {message for _, _, message, _, _ in extracted}
    return found


def catalog(language: str) -> Catalog:
    with catalog_file(language).open("rb") as file:
        return read_po(file, locale=locale_of(language))


def texts(language: str) -> Iterator[tuple[Message, list[str]]]:
    """Give each text of a catalog with what it is in that language."""
    for message in catalog(language):
        if message.id:
            yield message, list(message.string) if isinstance(message.string, tuple | list) else [str(message.string)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_catalog_has_every_text(used: set[Any], language: str) -> None:
    known = {message.id for message, _ in texts(language)}
    missing = sorted(str(each) for each in used if each not in known)
    assert missing == [], "`make messages` adds them"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated(language: str) -> None:
    empty = [message.id for message, said in texts(language) if not all(said)]
    assert empty == [], f"translate them in {catalog_file(language).relative_to(ROOT)}"
    assert [message.id for message, _ in texts(language) if message.fuzzy] == [], "a guess is no translation"
    assert catalog(language).num_plurals == 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_has_the_values_of_its_text(language: str) -> None:
    for message, said in texts(language):
        ids = list(message.id) if isinstance(message.id, tuple | list) else [str(message.id)]
        wanted = set(PLACEHOLDER.findall(ids[-1]))
        for each in filter(None, said):
            # A plural's first form may say "one" in place of its number.
            assert set(PLACEHOLDER.findall(each)) == wanted or (len(ids) > 1 and each == said[0]), message.id


def test_a_text_that_nobody_translated_stays_english() -> None:
    assert translations(PORTUGUESE).gettext("never heard") == "never heard"
    assert translations(PORTUGUESE).gettext("Sign in") == "Entrar"
    assert translations(ENGLISH).gettext("Sign in") == "Sign in"
    plural = translations(PORTUGUESE).ngettext("%(number)s row", "%(number)s rows", 2)
    assert plural == "%(number)s linhas"


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("pt-BR,pt;q=0.9", "pt-BR"), ("pt-PT", "pt-BR"), ("en;q=0.5,pt;q=0.6", "pt-BR"), ("de", "en"), ("", "en")],
)
def test_the_language_that_a_browser_prefers(accepted: str, language: str) -> None:
    assert language_of(accepted) == language


# -- templates


class PageText(HTMLParser):
    """Gathers what a page says, outside of code and keys."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._quiet = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._quiet += tag in {"code", "kbd", "pre"}
        self.said += [value for name, value in attrs if name in SHOWN and value]

    def handle_endtag(self, tag: str) -> None:
        self._quiet -= tag in {"code", "kbd", "pre"}

    def handle_data(self, data: str) -> None:
        if not self._quiet:
            self.said.append(data)


def said_outright(source: str) -> list[str]:
    """Return the words of a template that no `_()` stands around."""
    source = re.sub(r"\{%-?\s*trans\b.*?endtrans\s*-?%\}", " ", source, flags=re.DOTALL)
    source = re.sub(r"\{#.*?#\}|\{%.*?%\}", "", source, flags=re.DOTALL)
    source = re.sub(r"<(/?)\{\{.*?\}\}", r"<\1p", source, flags=re.DOTALL)
    source = re.sub(r"\{\{.*?\}\}", "0", source, flags=re.DOTALL)
    words = PageText()
    words.feed(source)
    said = (" ".join(NAMES.sub("", each).split()) for each in words.said)
    return [each for each in said if re.search(r"[^\W\d_]{2,}", each) and not NO_WORDS.fullmatch(each)]


def given_outright(source: str) -> list[str]:
    """Return the sentences that a template gives to a macro without `_()`."""
    environment = Environment(extensions=["jinja2.ext.i18n", "jinja2.ext.do"], autoescape=True)
    template = environment.parse(source)
    macros = {node.target for node in template.find_all(nodes.Import)}
    macros |= {name for node in template.find_all(nodes.FromImport) for name in node.names if isinstance(name, str)}
    macros |= {node.name for node in template.find_all(nodes.Macro)}
    found = []
    for call in template.find_all(nodes.Call):
        called = call.node.node if isinstance(call.node, nodes.Getattr) else call.node
        if isinstance(called, nodes.Name) and called.name in macros:
            given = [*call.args, *(pair.value for pair in call.kwargs if pair.key not in FOR_MACHINES)]
            values = [node.value for node in given if isinstance(node, nodes.Const)]
            found += [value for value in values if isinstance(value, str) and re.search(r"^[A-Z][a-z]|\S \S", value)]
    return [each for each in found if not NO_WORDS.fullmatch(each)]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_no_template_says_a_word_outright(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert said_outright(source) == []
    assert given_outright(source) == []


def test_the_check_finds_what_it_looks_for() -> None:
    assert said_outright('<p title="PageConfig">{{ x }} rows</p><code>gateway</code>{% trans %}fine{% endtrans %}') == [
        "PageConfig",
        "0 rows",
    ]
    imported = '{% from "macros/status.html" import badge, note %}{% import "macros/lists.html" as lists %}'
    given = '{{ badge("New") }}{{ badge("new") }}{{ note(_("Fine")) }}{{ lists.empty("None yet") }}{{ other("Else") }}'
    assert given_outright(imported + given) == ["New", "None yet"]
    assert given_outright('{% macro word(name) %}{% endmacro %}{{ word("Of its own") }}') == ["Of its own"]
