"""What holds for every template, script and style of the pages, whatever a page shows."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from jinja2 import Environment, nodes

from web.components.assets import FOLDER as STATIC
from web.components.page import FOLDER

TEMPLATES = sorted(FOLDER.rglob("*.html"))
OF_JINJA = {"_", "caller", "gettext", "namespace", "ngettext"}
OF_THE_PAGE = {"asset_url", "here", "may", "query_fields", "translate", "url", "written_once"}
"""What a template calls beside macros."""
STATES = ("running", "completed", "retrying", "failed", "incident")
TEXTS = ("ink", "ink-soft", "ink-faint", "accent", "received", "cancelled", *STATES)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_no_template_lets_anything_through(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    for forbidden in (
        r"\|\s*safe\b",
        r"\bx-html\b",
        r"\sstyle=",
        r"\son\w+=",
        r"<style\b",
        r"javascript:",
        r"Markup\(",
    ):
        assert re.search(forbidden, source) is None, forbidden
    assert re.findall(r"<script(?![^>]*nonce=)", source) == []
    assert (
        re.findall(r'<form[^>]*method="post"(?![^>]*(?:login)"?)[^>]*>(?!\s*\{\{ (?:forms\.)?csrf\(|\s*\{%)', source)
        == []
    )


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_each_template_imports_the_macros_that_it_calls(path: Path) -> None:
    environment = Environment(extensions=["jinja2.ext.i18n", "jinja2.ext.do"])

    def parsed(name: str) -> nodes.Template:
        return environment.parse((FOLDER / name).read_text(encoding="utf-8"))

    def macros(name: str) -> set[str]:
        return {macro.name for macro in parsed(name).find_all(nodes.Macro)}

    template = parsed(path.relative_to(FOLDER).as_posix())
    read = {name.name for name in template.find_all(nodes.Name)}
    for given in template.find_all(nodes.FromImport):
        assert isinstance(given.template, nodes.Const)
        assert set(given.names) <= macros(given.template.value) & read
    for module in template.find_all(nodes.Import):
        assert isinstance(module.template, nodes.Const)
        of_it = [got.attr for got in template.find_all(nodes.Getattr) if getattr(got.node, "name", "") == module.target]
        assert of_it
        assert set(of_it) <= macros(module.template.value)
    known: set[object] = {name for given in template.find_all(nodes.FromImport) for name in given.names}
    known |= macros(path.relative_to(FOLDER).as_posix()) | OF_JINJA | OF_THE_PAGE
    known |= {argument.name for macro in template.find_all(nodes.Macro) for argument in macro.args}
    assert {call.node.name for call in template.find_all(nodes.Call) if isinstance(call.node, nodes.Name)} <= known


@pytest.mark.parametrize("path", sorted(STATIC.glob("*.js")), ids=lambda path: path.name)
def test_no_script_evaluates_or_writes_markup(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert forbidden not in source
    assert len(source.splitlines()) < 400


# -- colours


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def colours() -> dict[str, tuple[str, str]]:
    sheet = (STATIC / "app.css").read_text(encoding="utf-8")
    found = re.findall(r"^\s+--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", sheet, re.MULTILINE)
    return {name: (light, dark) for name, light, dark in found}


def test_the_colours_of_states_are_those_agreed() -> None:
    agreed = ["#0072b2", "#006b4f", "#9a6a00", "#a84300", "#8f3f6b"]
    assert [colours()[name][0] for name in STATES] == agreed


@pytest.mark.parametrize("ground", ["ground", "rail", "raised", "sunk", "hover", "chosen"])
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_every_text_can_be_read(ground: str, theme: int) -> None:
    behind = colours()[ground][theme]
    weak = {name: round(ratio, 2) for name in TEXTS if (ratio := contrast(colours()[name][theme], behind)) < 4.5}
    assert weak == {}


def test_there_is_one_stylesheet_and_it_says_nothing_twice() -> None:
    assert [path.name for path in STATIC.glob("*.css")] == ["app.css"]
    sheet = re.sub(r"/\*.*?\*/", "", (STATIC / "app.css").read_text(encoding="utf-8"), flags=re.DOTALL)
    rules = re.sub(r"@[a-z-]+ [^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", sheet)
    selectors = [" ".join(rule.split()) for rule in re.findall(r"([^{}]+)\{[^{}]*\}", rules)]
    assert len(selectors) > 300
    assert [selector for selector, times in Counter(selectors).items() if times > 1] == []


def test_every_state_has_a_sign_of_its_own() -> None:
    icons = (FOLDER / "macros" / "icons.html").read_text(encoding="utf-8")
    signs = re.findall(rf'id="i-(?:{"|".join(STATES)})">(.*?)</g>', icons)
    assert len(set(signs)) == len(STATES)
