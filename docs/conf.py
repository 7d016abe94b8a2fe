"""How Sphinx builds the site: `make docs`. Decision 41 says why it is Sphinx, and how texts are translated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sphinx.addnodes import pending_xref

from gateway.version import gateway_version

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

DOCS: Final = Path(__file__).parent

project = "Worker API Gateway"
version = release = gateway_version()
language = "en"
locale_dirs = ["locale"]
# One catalog a page, without the numbers of lines, which change with every edit.
gettext_compact = False
gettext_location = False

extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["locale"]
nitpicky = True

html_theme = "furo"
html_title = project
html_show_sourcelink = False
html_copy_source = False
html_show_copyright = False
templates_path = ["_templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "language.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}


def _show_as_text(app: Sphinx, doctree: nodes.document) -> None:
    """Take away links to folders and documents outside of the site, which a forge shows."""
    page = DOCS / app.env.doc2path(app.env.docname, base=False)
    for link in list(doctree.findall(pending_xref)):
        target = (page.parent / link["reftarget"]).resolve()
        if link.get("reftype") == "myst" and DOCS not in target.parents:
            link.replace_self(link.children)


def setup(app: Sphinx) -> None:
    """Register what the settings above can't say; called by Sphinx."""
    app.connect("doctree-read", _show_as_text)
