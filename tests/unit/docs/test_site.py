"""The site is built in both languages without a warning: each page and heading that a document names is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

DOCS: Final = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built site, which `make docs` lays out in the same way."""
    folder = tmp_path_factory.mktemp("site")
    for language, target in (("en", folder), ("pt_BR", folder / "pt-br")):
        build = [
            sys.executable,
            "-m",
            "sphinx",
            "--quiet",
            "--fail-on-warning",
            "--keep-going",
            "-D",
            f"language={language}",
        ]
        trees = tmp_path_factory.mktemp("doctrees")
        built = subprocess.run(
            [*build, "--doctree-dir", trees, DOCS, target], cwd=DOCS.parent, capture_output=True, text=True, check=False
        )
        assert (built.returncode, built.stderr) == (0, "")
    return folder


def test_each_page_links_to_itself_in_the_other_language(site: Path) -> None:
    pages = [page.relative_to(DOCS).with_suffix(".html") for page in DOCS.rglob("*.md")]
    assert len(pages) > 60
    for page in pages:
        for start, language in ((site, "pt-BR"), (site / "pt-br", "en")):
            shown = (start / page).read_text(encoding="utf-8")
            (link,) = re.findall(rf'<a href="([^"]+)" lang="{language}"', shown)
            other = site / "pt-br" / page if language == "pt-BR" else site / page
            assert ((start / page).parent / link).resolve() == other.resolve()
            assert other.is_file()


def test_the_site_needs_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|link|img)\b[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text(encoding="utf-8")
        )
        assert loaded == [], page
