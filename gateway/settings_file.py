"""The file of settings: `.env.gateway` in the folder of the start, or the one that GATEWAY_ENV_FILE names."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dotenv.parser import parse_stream

from bridge.domain.errors import SetupError

NAMED_BY: Final = "GATEWAY_ENV_FILE"
USUAL: Final = ".env.gateway"


def settings_file(environment: Mapping[str, str]) -> Path:
    """Return where the settings stand; there may be no file of the usual name.

    Raises `SetupError` where GATEWAY_ENV_FILE names a file that can't be read, and for a line that is none of a file
    of settings. No line's content is told: it may have a secret.
    """
    named = environment.get(NAMED_BY, "")
    path = Path(named or USUAL)
    if not named and not path.exists():
        return path
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise SetupError(f"{(named and NAMED_BY) or 'settings'}: {path} can't be read: {why}") from error
    for line in parse_stream(io.StringIO(text)):
        if line.error or (line.key is not None and line.value is None):
            raise SetupError(f"{path}, line {line.original.line}: write NAME=value, and close each quote")
    return path
