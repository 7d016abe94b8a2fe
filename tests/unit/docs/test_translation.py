"""The Portuguese documents are whole: each paragraph of each page is translated, from the English text as it stands.

`make docs-messages` brings the catalogs up to the pages; what it leaves empty or marks as fuzzy is to be translated.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

ROOT: Final = Path(__file__).parents[3]
DOCS: Final = ROOT / "docs"
CATALOGS: Final = DOCS / "locale" / "pt_BR" / "LC_MESSAGES"
SCREENS: Final = ROOT / "web" / "i18n" / "locale" / "pt_BR" / "LC_MESSAGES" / "messages.po"
PAGES: Final = sorted(
    page.relative_to(DOCS).with_suffix("").as_posix()
    for page in DOCS.rglob("*.md")
    if page.relative_to(DOCS).parts[0] not in {"decisions", "locale"}
)
# What readers copy, press or search for, and where links lead: the same in both languages.
KEPT: Final = {
    "code": re.compile(r"`[^`]+`"),
    "target of a link": re.compile(r"\]\(([^)\s]+)\)|<(https?:[^>]+)>"),
    "setting": re.compile(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b"),
    "bold text": re.compile(r"\*\*()"),
}
# Each has one word: tentar novamente, dead letter, locatário, handler, heartbeat, business key, lease.
OTHER_WORDS: Final = re.compile(
    r"\b(repetir a tarefa|repetir agora|tentad[ao]s? de novo|tent(ar|e|a) de novo|mensage(m|ns) mortas?|cartas? mortas?"
    r"|inquilinos?|manipulador(es)?|sina(l|is) de vida|chave de negócio|arrendamento)\b",
    re.IGNORECASE,
)


def catalog(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale="pt_BR")


def texts(path: Path) -> dict[str, str]:
    """Return the translation of each text of a catalog without plurals, as gettext finds it: a fuzzy one is none."""
    return {str(entry.id): "" if entry.fuzzy else str(entry.string or "") for entry in catalog(path) if entry.id}


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the pages' texts as they stand now, which takes some seconds."""
    folder = tmp_path_factory.mktemp("gettext")
    build = [sys.executable, "-m", "sphinx", "--quiet", "--builder", "gettext"]
    built = subprocess.run(
        [*build, "--doctree-dir", folder / "doctrees", DOCS, folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_there_is_a_catalog_of_each_page_and_of_no_other() -> None:
    assert [path.relative_to(CATALOGS).with_suffix("").as_posix() for path in sorted(CATALOGS.rglob("*.po"))] == sorted(
        PAGES, key=lambda page: (CATALOGS / page).with_suffix(".po")
    )


@pytest.mark.parametrize("page", PAGES)
def test_no_translation_reads_as_a_list(page: str) -> None:
    """Sphinx leaves a text in English whose translation it reads as a list: the number of a heading is escaped."""
    assert [text for text in texts(CATALOGS / f"{page}.po").values() if re.match(r"\d+[.)] |[-+*>] ", text)] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_text_is_translated(templates: Path, page: str) -> None:
    english = list(texts(templates / f"{page}.pot"))
    portuguese = texts(CATALOGS / f"{page}.po")
    assert english
    assert [text for text in english if not portuguese.get(text)] == []
    assert sorted(portuguese) == sorted(english), "texts that the page no longer has: make docs-messages"


@pytest.mark.parametrize("page", PAGES)
def test_code_links_and_settings_are_those_of_the_english_text(page: str) -> None:
    for english, portuguese in texts(CATALOGS / f"{page}.po").items():
        for what, kept in KEPT.items():
            assert Counter(kept.findall(portuguese)) == Counter(kept.findall(english)), (what, english)


@pytest.mark.parametrize("path", [SCREENS, *(CATALOGS / f"{page}.po" for page in PAGES)], ids=lambda path: path.stem)
def test_one_word_for_one_thing(path: Path) -> None:
    for entry in catalog(path):
        shown = " ".join([entry.string] if isinstance(entry.string, str) else entry.string or ())
        assert OTHER_WORDS.search(shown) is None, shown
