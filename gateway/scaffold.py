"""Writes a new topic and its test, for `gateway topics new`."""

from __future__ import annotations

import builtins
import hashlib
import json
import keyword
import re
import unicodedata
from pathlib import Path
from string import Template
from typing import Final

from bridge.domain.errors import TopicError
from bridge.topic import topic

_TOPIC: Final = Template('''\
"""The topic `$shown`: say here what it does, and how it fails."""

from __future__ import annotations

from pydantic import BaseModel, Field

from bridge.topic import Context, topic


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

_TEST: Final = Template('''\
"""The topic `$shown`."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from bridge.testing import make_context
from topics.$module import Input, Output, $module


async def test_it_counts_the_words() -> None:
    assert await $module(Input(text="three short words"), make_context()) == Output(words=3)


def test_it_refuses_an_empty_text() -> None:
    with pytest.raises(ValidationError):
        Input(text="")
''')

_LONGEST: Final = 60
# The templates' own names, which the function's name must not hide.
_TAKEN: Final = frozenset({"context", "pydantic", "pytest", "topic", "wanted", "words"})


def write_topic(name: str, root: Path) -> tuple[Path, Path]:
    """Write `topics/<module>.py` and `tests/topics/test_<module>.py` under `root`; return their paths.

    Raises `TopicError` where the name can't be a topic's, either file exists, or it can't be written; a file that
    exists is never changed.
    """
    topic(name)
    module = module_name(name)
    code, test = root / "topics" / f"{module}.py", root / "tests" / "topics" / f"test_{module}.py"
    for path in (code, test):
        if path.exists():
            raise TopicError(f"{path.relative_to(root)} exists: choose another name, or remove the file")
    # Without it a package of the same name that is installed elsewhere would be found instead.
    package = code.parent / "__init__.py"
    if not package.exists():
        _write(package, '"""The work itself: one file a topic."""\n', root)
    literal = json.dumps(name, ensure_ascii=False)  # as Python reads it, too
    for path, template in ((code, _TOPIC), (test, _TEST)):
        _write(path, template.substitute(literal=literal, shown=literal[1:-1], module=module), root)
    return code, test


def module_name(name: str) -> str:
    """Return the name of the file, and function, of a topic: `charge-card` and `chargeCard` become `charge_card`.

    Letters lose their accents. Of a name in another script, or a long one, a part of its hash is kept: two such
    would else be one. What can't be a name in Python, or is one already, gets `topic_` before it: `topic_2fa`,
    `topic_class`.
    """
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", name) if not unicodedata.combining(sign))
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain)
    module = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
    if not plain.isascii() or not 0 < len(module) <= _LONGEST:
        module = f"{module[:_LONGEST] or 'topic'}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    is_free = module.isidentifier() and not keyword.iskeyword(module) and not hasattr(builtins, module)
    return module if is_free and module not in _TAKEN else f"topic_{module}"


def _write(path: Path, text: str, root: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise TopicError(f"{path.relative_to(root)} can't be written: {error.strerror}") from error
