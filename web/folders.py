"""Where the files of pages lie: beside `web` in a checkout, and within it where the wheel is installed."""

from __future__ import annotations

from pathlib import Path


def find_folder(name: str) -> Path:
    """Return the folder `templates` or `static`."""
    installed = Path(__file__).parent / name
    return installed if installed.is_dir() else Path(__file__).parents[1] / name
