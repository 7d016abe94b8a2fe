"""Writes a new topic and its test, for `gateway topics new`."""

from __future__ import annotations

import json
import keyword
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Final

from bridge.domain.errors import TopicError
from bridge.topic import topic
from gateway.scaffold.names import module_name

_TOPIC: Final = Template('''\
"""The topic `$shown`: say here what it does, and how it fails."""

from __future__ import annotations

$imports


class Input(BaseModel):
    """The process variables that the topic reads. A task whose variables don't fit fails before the work begins."""

    text: str = Field(min_length=1)


class Output(BaseModel):
    """The process variables that the topic writes."""

    words: int


@topic($literal, timeout=30)
async def $module(wanted: Input, context: Context) -> Output:
    """Replace this by the work. `Retry`, `Fail` and `BpmnError` of `bridge.topic` say how it went wrong."""
    words = len(wanted.text.split())
    context.log.info("words counted", words=words)
    return Output(words=words)
''')

# Not an async test: whether pytest runs those depends on a plugin, and on its mode.
_TEST: Final = Template('''\
"""The topic `$shown`."""

from __future__ import annotations

import asyncio

$imports


def test_it_counts_the_words() -> None:
    assert asyncio.run($module(Input(text="three short words"), make_context())) == Output(words=3)


def test_an_empty_text_is_an_incident() -> None:
    ended = TopicRun($module).run({"text": ""})
    assert (ended.state, ended.attempts[0].error) == ("failed", "InvalidInput")
''')

_PYDANTIC: Final = "from pydantic import BaseModel, Field"
_BRIDGE: Final = "from bridge.topic import Context, topic"
_TESTING: Final = "from bridge.testing import make_context\nfrom bridge.testing.topic_run import TopicRun"


def write_topic(name: str, root: Path, package: str = "topics") -> tuple[Path, Path]:
    """Write a module of the topics package, and `tests/.../test_<module>.py` under `root`; return their paths.

    `package` is TOPICS_PACKAGE, a dotted name; `package_folder` tells where it is. Raises `TopicError` where the name
    can't be a topic's, the package's name is none, either file exists, or it can't be written; a file that exists is
    never changed.
    """
    topic(name)
    module, folder = module_name(name), package_folder(package, root)
    code = folder / f"{module}.py"
    test = root.joinpath("tests", *package.split("."), f"test_{module}.py")
    for path in (code, test):
        if path.exists():
            raise TopicError(f"{path.relative_to(root)} exists: choose another name, or remove the file")
    # Without it a package of the same name that is installed elsewhere would be found instead.
    marker = folder / "__init__.py"
    if not marker.exists():
        write_file(marker, '"""The work itself: one file a topic."""\n', root)
    literal = json.dumps(name, ensure_ascii=False)  # as Python reads it, too
    values = {"literal": literal, "shown": literal[1:-1], "module": module}
    own = f"from {package}.{module} import Input, Output, {module}"
    for path, template, imports in zip((code, test), (_TOPIC, _TEST), _imports(own, root), strict=True):
        write_file(path, template.substitute(values, imports=imports), root)
    return code, test


def package_folder(package: str, root: Path) -> Path:
    """Return the folder of a package in a repository, where it is or where it belongs.

    It is looked for in `root`, in `root/src`, and where an installation in editable mode has it under `root`. One that
    is nowhere belongs into `root/src` where that is a folder of packages, else into `root`. Raises `TopicError` for
    what is no name of a package.
    """
    parts = package.split(".")
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in parts):
        raise TopicError(f"TOPICS_PACKAGE={package}: name a package, as in my_topics or company.topics")
    roots = source_roots(root)
    folders = [base.joinpath(*parts) for base in roots]
    present = [folder for folder in folders if folder.is_dir()]
    return (present or _editable(parts, root) or folders[-1:])[0]


def source_roots(root: Path) -> tuple[Path, ...]:
    """Return the folders of a repository that hold packages: its own, and `src` where it has that layout."""
    src = root / "src"
    return (root, src) if src.is_dir() and not (src / "__init__.py").exists() else (root,)


def write_file(path: Path, text: str, root: Path) -> None:
    """Write a new file; raise `TopicError` where it exists or can't be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise TopicError(f"{path.relative_to(root)} can't be written: {error.strerror}") from error


def _editable(parts: list[str], root: Path) -> list[Path]:
    spec = find_spec(parts[0])  # of the first name alone, as others would be imported
    folders = [Path(place).joinpath(*parts[1:]) for place in (spec and spec.submodule_search_locations) or ()]
    return [folder for folder in folders if folder.is_relative_to(root) and "site-packages" not in folder.parts]


def _imports(own: str, root: Path) -> tuple[str, str]:
    """Return the imports of a topic and of its test, in the order that linters expect of the repository."""
    if (root / "bridge" / "topic.py").exists():  # the gateway's own
        return f"{_PYDANTIC}\n\n{_BRIDGE}", f"{_TESTING}\n{own}"
    return f"{_BRIDGE}\n{_PYDANTIC}", f"{_TESTING}\n\n{own}"
