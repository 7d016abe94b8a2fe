"""Checks that topics can be loaded: `python -m gateway.dev.check`, in a process of its own, as files may do anything.

Ends with 0 where they can, else with 1, and says on standard error which line is wrong and what is to do.
"""

from __future__ import annotations

import linecache
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from bridge.domain.errors import SetupError
from bridge.registry import load_topics
from gateway.scaffold.topics import source_roots
from gateway.settings import read_settings


def faults(folder: Path) -> Iterator[str]:
    """Return in lines what is wrong with the settings or the topics of a folder; nothing where all is well."""
    for root in reversed(source_roots(folder)):
        sys.path.insert(0, str(root))
    try:
        settings = read_settings()
        topics = load_topics(settings.topics_package, settings.supported_topics)
    except SetupError as error:
        yield str(error)
        yield from _place(error.__cause__, folder)
    else:
        if not topics:
            yield f"{settings.topics_package} has no topic: `gateway topics new NAME` writes one"


def _place(cause: BaseException | None, folder: Path) -> Iterator[str]:
    """Tell the line of the folder's own files where an error arose: the innermost one."""
    if isinstance(cause, SyntaxError) and cause.filename is not None and cause.lineno is not None:
        yield from _line(Path(cause.filename), cause.lineno, folder)
        return
    frames = [] if cause is None else traceback.extract_tb(cause.__traceback__)
    for frame in reversed(frames):
        path = Path(frame.filename)
        if path.is_relative_to(folder) and "site-packages" not in path.parts:
            yield from _line(path, frame.lineno or 0, folder)
            return


def _line(path: Path, number: int, folder: Path) -> Iterator[str]:
    shown = path.relative_to(folder) if path.is_relative_to(folder) else path
    yield f"  {shown}, line {number}:"
    if text := linecache.getline(str(path), number).strip():
        yield f"    {text}"


def main() -> None:
    """Check the current folder."""
    found = list(faults(Path.cwd()))
    sys.stderr.writelines(f"{line}\n" for line in found)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
