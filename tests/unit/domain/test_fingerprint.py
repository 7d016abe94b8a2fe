"""Different causes never share a group; one cause with different ids does."""

from __future__ import annotations

import re
import traceback
from itertools import pairwise
from pathlib import Path
from types import CodeType

import pytest

from bridge.domain import fingerprint
from bridge.domain.fingerprint import MOST, SAMPLE, Cause, cause_of, normalised, own_line
from tests.unit.effort import Effort

OWN = "/app/topics"
LINEAR = 2.3
"""How many times the steps for twice the length: 2, and what is the same for any length. A square would have 4."""

SIZES = (100, 200, 400)

SAME = [
    ("ValueError", "order 17 not found", "order 4711 not found"),
    ("ValueError", "order ORD-2026-0001 not found", "order ORD-2025-9 not found"),
    ("ValueError", "no 'João' here", "no 'Ana Maria' here"),
    ("ValueError", 'no "a b" here', 'no "it\'s" here'),
    ("ValueError", "due 2026-01-02T03:04:05.678Z", "due 2025-12-31T23:59:59+01:00"),
    ("ValueError", "due at 12:30", "due at 4:05:06"),
    ("ValueError", "task 6f1c3f0e-7a51-4c8b-9c5e-2f4f8f0a1b2c", "task ABCDEFAB-cdef-abcd-efab-cdefabcdefab"),
    ("ValueError", "at 0x7f3a2c", "at 0xdeadbeef"),
    ("ValueError", "commit deadbeefcafe", "commit 0123456789ab"),
    ("ValueError", "mail to maria@x.com.br failed", "mail to joao@y.org failed"),
    ("ConnectError", "GET https://h1/a?b=1: refused", "GET https://h2:8080/c: refused"),
    ("ConnectError", "10.0.0.1:5432 refused", "192.168.10.20:5433 refused"),
    ("OSError", "[Errno 2] No such file or directory: '/tmp/a1'", "[Errno 2] No such file or directory: '/tmp/b'"),
    ("KeyError", "KeyError: 'ORD-17'", "KeyError: 'ORD-18'"),
    ("ValueError", "missing: 1, 2, 3", "missing: 7, 8"),
    ("ValueError", "line\n  17   of  20", "line 1 of 2"),
]
DIFFERENT = [
    (("ValueError", "no stock"), ("RuntimeError", "no stock")),
    (("ValueError", "no stock"), ("ValueError", "no money")),
    (("HTTPError", "HTTP 404"), ("HTTPError", "HTTP 500")),
    (("HTTPError", "answered with status code: 409"), ("HTTPError", "answered with status code: 503")),
    (("OSError", "[Errno 2] x"), ("OSError", "[Errno 13] x")),
    (("DbError", "ORA-00001: no"), ("DbError", "ORA-01400: no")),
    (("KeyError", "KeyError: 'amount'"), ("KeyError", "KeyError: 'name'")),
    (("AttributeError", "object has no attribute 'a'"), ("AttributeError", "object has no attribute 'b'")),
    (("InvalidInput", "amount: Field required"), ("InvalidInput", "name: Field required")),
    (("ValueError", "invalid-amount:row1"), ("ValueError", "unknown-customer:row1")),
    (("ValueError", "z" * MOST), ("ValueError", "z" * (MOST - 2) + " b")),
]


def cause(error: str, message: str, details: str = "", topic: str = "orders") -> Cause:
    return cause_of(topic, error, message, details, OWN)


@pytest.mark.parametrize(("error", "one", "other"), SAME)
def test_what_varies_makes_no_new_group(error: str, one: str, other: str) -> None:
    assert cause(error, one).fingerprint == cause(error, other).fingerprint, (
        normalised(error, one),
        normalised(error, other),
    )


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_another_cause_is_another_group(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert cause(*one).fingerprint != cause(*other).fingerprint


def steps(monkeypatch: pytest.MonkeyPatch, piece: str) -> list[int]:
    """Return how many steps the patterns take for the piece, so often."""
    effort, taken = Effort(monkeypatch, fingerprint), []
    for size in SIZES:
        before = effort.steps
        normalised("KeyError", piece * size + "!")
        taken.append(effort.steps - before)
    return taken


def stack(body: str, file: str = f"{OWN}/orders.py") -> str:
    """Return the traceback of code that fails, as if it stood in the file."""
    code: CodeType = compile(body, file, "exec")
    names: dict[str, object] = {}
    exec(code, names)
    with pytest.raises(Exception, match=r"\w") as caught:
        names["work"]()  # type: ignore[operator]  # the body defines it
    text = "".join(traceback.format_exception(caught.value))
    lines = dict(enumerate(body.splitlines(), 1))
    # a file that isn't there has no text in the traceback
    return "\n".join(
        f"{line}\n    {lines[int(line.split('line ')[1].split(',')[0])].strip()}" if file in line else line
        for line in text.splitlines()
    )


def test_the_place_is_the_innermost_line_of_the_topics_own_code() -> None:
    text = stack("import json\ndef inner(x):\n    return json.loads(x)\ndef work():\n    inner('{')")
    assert own_line(text, OWN) == "orders.py:inner:return json.loads(x)"
    assert own_line(text, "/app/other") is None
    assert own_line(text, "/app/top") is None


def test_the_place_survives_an_edit_elsewhere_in_the_file() -> None:
    one = stack("def work():\n    raise ValueError('no')")
    other = stack("import json\n\n\ndef work():\n    raise ValueError('no')")
    assert cause("ValueError", "no", one) == cause("ValueError", "no", other)
    third = stack("def work():\n    x = 1\n    raise ValueError('no', x)")
    assert cause("ValueError", "no", one).fingerprint != cause("ValueError", "no", third).fingerprint


def test_of_chained_errors_the_last_counts() -> None:
    body = "def work():\n    try:\n        int('x')\n    except ValueError as e:\n        raise OSError('no') from e"
    assert own_line(stack(body), OWN) == "orders.py:work:raise OSError('no') from e"


def test_a_stack_without_code_tells_its_line() -> None:
    assert own_line(f'  File "{OWN}/a/b.py", line 7, in f\nValueError: no', OWN) == "a/b.py:f:ValueError: no"
    assert own_line(f'  File "{OWN}/a/b.py", line 7, in f', OWN) == "a/b.py:f:7"
    group = f'  | Traceback (most recent call last):\n  |   File "{OWN}/c.py", line 7, in f\n  |     g()\n  |     ~^^'
    assert own_line(group, OWN) == "c.py:f:g()"


def test_topics_and_places_are_part_of_the_group() -> None:
    assert cause("ClaimLost", "x").fingerprint != cause("ClaimLost", "x", topic="mail").fingerprint
    assert cause_of("orders", "ClaimLost", "x", "", None).place is None


def test_the_sample_is_short_and_the_message_may_be_anything() -> None:
    assert cause("E", "x" * 1000).sample == "x" * (SAMPLE - 1) + "…"
    assert len(cause("E", "\0\ud800 \x00404\x00 '").fingerprint) == 16
    assert normalised("E", "\0404\0") == "#"


@pytest.mark.parametrize("piece", ["a", "a-", "'", "1", "a.b_c-", "x@", "://", '"', "`", "«", "http ", "#, ", "0x"])
def test_a_longer_message_takes_no_more_for_each_of_its_signs(monkeypatch: pytest.MonkeyPatch, piece: str) -> None:
    taken = steps(monkeypatch, piece)
    assert taken[0] > SIZES[0]
    assert all(later < LINEAR * former for former, later in pairwise(taken)), taken


def test_a_pattern_that_takes_more_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "_SPACES", re.compile(r"\s+\Z"))
    assert any(later > LINEAR * former for former, later in pairwise(steps(monkeypatch, " ")))


def test_the_folder_is_a_folder_and_no_prefix() -> None:
    assert own_line('  File "/app/topics2/orders.py", line 1, in f\n    x', str(Path(OWN))) is None
