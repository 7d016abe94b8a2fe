"""Which files `gateway dev` watches: the Python files of a folder and the gateway's settings, not the tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from watchfiles import Change, DefaultFilter, awatch

from gateway.scaffold.topics import package_folder

SETTINGS_FILE = ".env.gateway"


class SourceFilter(DefaultFilter):
    """Lets changes of sources through; `DefaultFilter` leaves out virtual environments, caches and folders of tools."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._tests = folder / "tests"

    def __call__(self, change: Change, path: str) -> bool:
        file = Path(path)
        wanted = file.suffix == ".py" or file.name == SETTINGS_FILE
        return wanted and not file.is_relative_to(self._tests) and super().__call__(change, path)


def watched_folders(folder: Path, package: str) -> Sequence[Path]:
    """Return the current folder, and that of the topics' package where it lies elsewhere."""
    topics = package_folder(package, folder)
    return [folder] if topics.is_relative_to(folder) or not topics.is_dir() else [folder, topics]


async def changed_files(folder: Path, package: str, stop: asyncio.Event) -> AsyncIterator[Sequence[str]]:
    """Give the names of files that changed, gathered for the moment in which an editor or `git` writes many."""
    watching = awatch(*watched_folders(folder, package), watch_filter=SourceFilter(folder), stop_event=stop)
    async for changes in watching:
        paths = sorted({Path(path) for _, path in changes})
        yield [str(path.relative_to(folder) if path.is_relative_to(folder) else path) for path in paths]
