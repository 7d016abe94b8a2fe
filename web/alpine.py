"""The address and hash of Alpine for pages: its CSP build, which evaluates no text as code, in one exact version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

VERSION: Final = "3.17.4"
URL: Final = f"https://cdn.jsdelivr.net/npm/@alpinejs/csp@{VERSION}/dist/cdn.min.js"
INTEGRITY: Final = "sha384-DQd2BgbtOQrdt/JbxcM+wSb8poOHwsG5W2jbbXskj85r7SWPwqpBFgGGR1devM/D"
"""Of `dist/cdn.min.js` in the npm package of that version: a browser runs nothing else."""


@dataclass(frozen=True, slots=True)
class Alpine:
    """The script's address and its hash; without a hash the browser takes what it gets."""

    url: str = URL
    integrity: str | None = INTEGRITY

    @property
    def source(self) -> str:
        """What a Content-Security-Policy allows: this one file, or for a path on our own origin `'self'`."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}{parts.path}" if parts.netloc else "'self'"


def alpine_from(url: str | None, integrity: str | None) -> Alpine:
    """Return where the settings want Alpine from: a copy of one's own has the hash that they name, or none."""
    return Alpine() if url is None else Alpine(url, integrity)
