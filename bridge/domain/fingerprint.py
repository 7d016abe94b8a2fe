"""Groups failures by cause: by the error's type, its message without the parts that vary, and the place of its origin.

Parts that vary are numbers, ids, hex, quoted strings, addresses and times. Numbers that name a cause are kept
(`HTTP 404`, `errno 13`), and quoted names that are the cause (`KeyError: 'amount'`). The place is the innermost line of
the topic's own code, by its text and not its number, so that an edit elsewhere in the file starts no new group.
In doubt two failures are kept apart: one group with two causes hides one of them.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

from bridge.domain.task import Failure, Outcome, Task
from bridge.domain.topic import Topic

MOST: Final = 20_000
"""How many characters of a message, and lines of a stack from its end, are read."""
SAMPLE: Final = 500

_NAMES_ARE_CAUSES: Final = frozenset(
    {
        "AttributeError",
        "ImportError",
        "InvalidInput",
        "InvalidResult",
        "KeyError",
        "LookupError",
        "ModuleNotFoundError",
        "NameError",
        "TypeError",
        "UnboundLocalError",
        "ValidationError",
    }
)
_CAUSE_NUMBER: Final = re.compile(
    r"\b((?:http(?:/[\d.]+)?|status|code|errno|error|sqlstate|exit|signal|ora|sqlcode)[\s:=#\[(-]{0,4}(?:code\s)?)(\d{1,5})\b"
    r"(?![-:.]\d)",
    re.IGNORECASE,
)
_TOKEN: Final = re.compile(
    r"\x00(?P<kept>\d+)\x00"
    r"|(?P<quoted>\"[^\"\n]{0,2000}\"|(?<!\w)'[^'\n]{0,2000}'(?!\w)|`[^`\n]{0,2000}`|«[^«»\n]{0,2000}»)"
    r"|(?P<run>[\w.:/@+%?&=#~-]+)"
)
_ADDRESS: Final = re.compile(r"\w{2,16}://\S+|[^@\s]+@[^@\s]+")
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.IGNORECASE)
_PART: Final = re.compile(r"\w+")
_DIGIT: Final = re.compile(r"\d")
_HEX: Final = re.compile(r"[a-f]{8,}|[A-F]{8,}")
_MANY: Final = re.compile(r"#(?:[-.:/+, ]{1,2}#)+")
_NAME: Final = re.compile(r"[\"'`][A-Za-z_][A-Za-z_.]*[\"'`]")
_SPACES: Final = re.compile(r"\s+")
_FRAME: Final = re.compile(r'^[\s|+-]*File "(?P<file>[^"\n]+)", line (?P<line>\d+), in (?P<name>.+)$')
_MARKERS: Final = frozenset("^~ |+-")


@dataclass(frozen=True, slots=True)
class Cause:
    """The cause of a failure: `fingerprint` is the group, `error` the type, `sample` a message for people."""

    fingerprint: str
    error: str
    sample: str
    place: str | None


def cause_of(topic: str, error: str, message: str, details: str, own: str | None) -> Cause:
    """Return a failure's cause. `details` is its stack, `own` the folder of the topic's own code (None: not known)."""
    place = None if own is None else own_line(details, own)
    text = "\0".join((topic, error, normalised(error, message), place or ""))
    sample = message if len(message) <= SAMPLE else f"{message[: SAMPLE - 1]}…"
    return Cause(hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16], error, sample, place)


def normalised(error: str, message: str) -> str:
    """Return the message with the parts replaced that vary from one failure to the next."""
    names = error in _NAMES_ARE_CAUSES

    def replaced(found: re.Match[str]) -> str:
        match found.lastgroup:
            case "kept":
                return found["kept"]
            case "quoted":
                return found[0] if names and _NAME.fullmatch(found[0]) else "<text>"
            case _:
                return "<address>" if _ADDRESS.fullmatch(found[0]) else _PART.sub(_part, _UUID.sub("#", found[0]))

    text = _CAUSE_NUMBER.sub("\\1\0\\2\0", message[:MOST].replace("\0", " "))
    return _SPACES.sub(" ", _MANY.sub("#", _TOKEN.sub(replaced, text))).strip()


def _part(found: re.Match[str]) -> str:
    return "#" if _DIGIT.search(found[0]) or _HEX.fullmatch(found[0]) else found[0]


def own_line(details: str, own: str) -> str | None:
    """Return file, function and text of the innermost line of the folder's code, the last traceback's first."""
    folder = PurePath(own)
    lines = details.splitlines()[-MOST:]
    for place in range(len(lines) - 1, -1, -1):
        frame = _FRAME.match(lines[place])
        if frame is None or (inside := _inside(frame["file"], folder)) is None:
            continue
        code = lines[place + 1].strip(" |") if place + 1 < len(lines) else ""
        is_code = bool(code) and not _FRAME.match(lines[place + 1]) and not _MARKERS.issuperset(code)
        return f"{inside}:{frame['name']}:{code if is_code else frame['line']}"
    return None


def _inside(file: str, folder: PurePath) -> str | None:
    path = PurePath(file)
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else None


def cause_fields(topic: Topic[Any, Any] | None, task: Task, outcome: Outcome) -> dict[str, Any]:
    """Return the fields of a task that an outcome changes; none where it succeeded and had never failed."""
    if not isinstance(outcome, Failure):
        return {} if task.error_fp is None else {"error_type": None, "error_fp": None}
    code = None if topic is None else getattr(topic.handler, "__code__", None)
    own = None if code is None else str(PurePath(code.co_filename).parent)
    cause = cause_of(task.topic, outcome.name, outcome.message, outcome.details, own)
    return {"error_type": cause.error, "error_fp": cause.fingerprint}
