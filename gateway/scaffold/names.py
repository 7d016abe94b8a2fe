"""Python names for topics and packages."""

from __future__ import annotations

import builtins
import hashlib
import keyword
import re
import unicodedata
from typing import Final

_LONGEST: Final = 60
# The templates' own names, which the function's name must not hide.
_TAKEN: Final = frozenset({"asyncio", "context", "ended", "pydantic", "pytest", "topic", "wanted", "words"})


def module_name(name: str) -> str:
    """Return the name of the file, and function, of a topic: `charge-card` and `chargeCard` become `charge_card`.

    Letters lose their accents. A name in another script, or a long one, gets a part of its hash, so that two such names
    stay different. A text that can't be a name in Python, or is a keyword, gets `topic_` before it: `topic_2fa`,
    `topic_class`.
    """
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", name) if not unicodedata.combining(sign))
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain)
    module = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
    if not plain.isascii() or not 0 < len(module) <= _LONGEST:
        module = f"{module[:_LONGEST] or 'topic'}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return module if is_name(module) and module not in _TAKEN else f"topic_{module}"


def is_name(text: str) -> bool:
    """True for what may be the name of a module, and hides no name of Python's own."""
    return text.isidentifier() and not keyword.iskeyword(text) and not hasattr(builtins, text)
