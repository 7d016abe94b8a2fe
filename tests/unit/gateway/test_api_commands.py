"""The commands that call the API: what they ask, what they print, and with which code they end."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.main import app
from gateway.cli.output import column_widths, printable
from tests.unit.gateway.api_stub import PROBLEM, Answer, ApiStub, document, problem, serving

ROOT = Path(__file__).parents[3]
KEY = "wag_abcdefghijkm_" + "0" * 64


def task(number: int, **changes: Any) -> dict[str, Any]:
    names = ("process_definition_key", "process_instance_id", "activity_id", "tenant_id", "replica", "operation",
             "error_type", "error_fp", "error", "finished_at", "business_key")  # fmt: skip
    fields = dict.fromkeys(names) | {
        "task_id": f"t{number}", "topic": "ship", "status": "failed", "attempts": 2, "retries": 0, "priority": 0,
        "worker_id": "w", "source": "polled", "created_at": "2026-01-31T08:00:00.123Z",
        "updated_at": "2026-01-31T08:00:01.456Z", "error": "=1+1 \x1b[31mred",
    }  # fmt: skip
    return fields | changes


def three_pages(_method: str, path: str, params: dict[str, str], _body: Any) -> Answer:
    """Answer a search with five tasks, as many at once as are asked for but two."""
    assert path == "/tasks/search"
    first, limit = int(params.get("after", "0")), min(2, int(params["limit"]))
    last = min(5, first + limit)
    return document(tasks=[task(n) for n in range(first, last)], unreadable=[], next=str(last) if last < 5 else None)


def run(stub: ApiStub, *arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, [*arguments, "--url", stub.url], env={"GATEWAY_KEY": KEY, **(env or {})})


def answered(answer: Answer, *arguments: str) -> Result:
    """Run a command on a server that always answers so."""
    with serving(ApiStub(lambda *_: answer)) as stub:
        return run(stub, *arguments)


def test_a_search_is_sent_as_it_is_typed_with_the_key() -> None:
    with serving(ApiStub(three_pages)) as stub:
        done = run(stub, "tasks", "list", "state:failed", 'key:"a b"', "--sort", "attempts", "--limit", "2")
    assert done.exit_code == 0, done.output
    assert stub.asked == [
        ("GET", "/tasks/search", {"q": 'state:failed key:"a b"', "sort": "attempts", "limit": "2"}, None)
    ]
    assert stub.keys == [KEY]
    lines = done.stdout.splitlines()
    assert lines[0].split("\t")[:3] == ["TASK", "STATE", "TOPIC"]
    assert lines[1] == "t0\tfailed\tship\t2\t2026-01-31 08:00:01Z\t\t=1+1 \\x1b[31mred"
    assert "--after 2" in done.stderr


def test_pages_are_followed_until_there_are_enough_or_all() -> None:
    for more, count, after in ((("--limit", "3"), 3, "3"), (("--all",), 5, None), (("--after", "3", "--all"), 2, None)):
        with serving(ApiStub(three_pages)) as stub:
            done = run(stub, "tasks", "list", "--json", *more)
        told = json.loads(done.stdout)
        assert (len(told["tasks"]), told["next"]) == (count, after), more


def test_an_export_is_lines_of_json_or_a_file_of_csv_without_formulas(tmp_path: Path) -> None:
    with serving(ApiStub(three_pages)) as stub:
        done = run(stub, "tasks", "export", "state:failed")
        assert [json.loads(line)["task_id"] for line in done.stdout.splitlines()] == ["t0", "t1", "t2", "t3", "t4"]
        file = tmp_path / "tasks.csv"
        done = run(stub, "tasks", "export", "--format", "csv", "-o", str(file))
    assert (done.exit_code, done.stdout) == (0, "")
    rows = file.read_text(encoding="utf-8").splitlines()
    assert len(rows) == 6
    assert "'=1+1" in rows[1]
    assert list(tmp_path.iterdir()) == [file]


def test_an_export_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    def breaks(method: str, path: str, params: dict[str, str], body: Any) -> Answer:
        return problem(503, "store-unavailable") if "after" in params else three_pages(method, path, params, body)

    with serving(ApiStub(breaks)) as stub:
        done = run(stub, "tasks", "export", "-o", str(tmp_path / "tasks.ndjson"))
    assert done.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_a_task_is_shown_with_its_runs() -> None:
    ended = {"number": 1, "replica": "a", "started_at": "2026-01-31T08:00:00Z", "ended_at": "2026-01-31T08:00:02Z",
             "ended": "failed", "error": "Timeout", "message": "no answer", "details": "Traceback\n  line"}  # fmt: skip
    whole = document(**task(1), runs=[ended], trace_id=None, result={"receipt": "R-1"})
    done = answered(whole, "tasks", "show", "t1")
    assert "run 1: failed 2026-01-31 08:00:02Z in a\n  Timeout: no answer\n  Traceback\n" in done.stdout
    assert '{"receipt": "R-1"}' in done.stdout
    assert json.loads(answered(whole, "tasks", "show", "t1", "--json").stdout)["runs"] == [ended]


def test_each_retry_is_told_and_one_that_fails_decides_the_code() -> None:
    def answer(_method: str, path: str, *_: Any) -> Answer:
        return (
            problem(409, "task-conflict", "it runs now") if "/t1/" in path else document(task_id="x", status="retrying")
        )

    with serving(ApiStub(answer)) as stub:
        done = run(stub, "tasks", "retry", "t0", "t1", "a/b")
    assert done.exit_code == 5
    assert [path for _, path, _, _ in stub.asked] == ["/tasks/t0/retry", "/tasks/t1/retry", "/tasks/a%2Fb/retry"]
    assert "t1  not retried: it runs now" in done.stdout


def test_failures_are_listed() -> None:
    group = {"fp": "f1", "topic": "ship", "error": "Timeout", "sample": "no", "count": 3, "new": True,
             "first_seen": "2026-01-31T08:00:00Z", "last_seen": "2026-01-31T08:00:00Z"}  # fmt: skip
    with serving(ApiStub(lambda *_: document(range="1h", failures=[group]))) as stub:
        done = run(stub, "failures", "list", "--range", "1h", "--topic", "ship")
    assert stub.asked[0][2] == {"range": "1h", "sort": "count", "topic": "ship", "limit": "50"}
    assert done.stdout.splitlines()[1] == "3\tf1\tship\tTimeout\t2026-01-31 08:00:00Z\tno"


PREVIEW = {"found": 3, "eligible": 2, "ineligible": 1, "capped": False, "by_status": {"failed": 2, "queued": 1},
           "by_topic": {"ship": 3}, "by_error": {"Timeout": 2, "": 1}, "samples": []}  # fmt: skip
TOTALS = {"total": 2, "requeued": 0, "skipped": 0, "failed": 0, "pending": 2, "waiting": 0, "outcomes": {}}
OPERATION = {"id": "01JZ", "kind": "retry", "state": "running", "query": "state:failed", "reason": "mended", "by": "k",
             "rate": 20, "ineligible": 1, "created_at": "2026-01-31T08:00:00Z", "ended_at": None,
             "totals": TOTALS}  # fmt: skip
START = ("operations", "start", "state:failed", "--reason", "mended")


def operations(method: str, path: str, _params: dict[str, str], _body: Any) -> Answer:
    return document(**(PREVIEW if path.endswith("/preview") else OPERATION))


def test_a_start_needs_a_confirmation_and_sends_the_number_that_was_confirmed() -> None:
    with serving(ApiStub(operations)) as stub:
        assert run(stub, *START).exit_code == 2
        assert stub.asked == []
        assert run(stub, *START, "--expected", "7").exit_code == 0
        assert run(stub, *START, "--yes").exit_code == 0
    bodies = [body for method, _, _, body in stub.asked if method == "POST"]
    assert [(body["query"], body["expected"], body["reason"], body["rate"]) for body in bodies] == [
        ("state:failed", 7, "mended", 20),
        ("state:failed", 2, "mended", 20),
    ]
    assert len({body["id"] for body in bodies}) == 2


def test_operations_are_shown_listed_and_changed() -> None:
    with serving(ApiStub(operations)) as stub:
        assert "2 tasks would be tried again, 1 can't be" in run(stub, "operations", "preview", "state:failed").stdout
        assert "pending   2" in run(stub, "operations", "show", "01JZ").stdout
        assert json.loads(run(stub, "operations", "cancel", "01JZ", "--reason", "x", "--json").stdout) == OPERATION
    assert stub.asked[-1] == ("POST", "/operations/01JZ/cancel", {}, {"reason": "x"})
    listed = answered(document(operations=[OPERATION], next=None), "operations", "list")
    assert listed.stdout.splitlines()[1].split("\t")[:3] == ["01JZ", "running", "0/2"]


FAULT = {"field": "q", "where": "query", "message": "there is no field 'staet'", "code": "query.unknown_field"}


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (
            problem(400, "invalid-request", errors=[{**FAULT, "position": 0}]),
            2,
            "[query.unknown_field]\n    x y\n    ^",
        ),
        (problem(401, "not-signed-in", "send a key"), 4, "send a key [c.d]"),
        (problem(403, "forbidden", "not yours"), 4, "not yours"),
        (problem(404, "unknown-task"), 3, "no [c.d]"),
        (problem(404, "no-such-path"), 1, "may be older than the command"),
        (problem(409, "task-conflict"), 5, "no"),
        (problem(422, "search-too-slow"), 2, "no"),
        (problem(429, "too-many-requests"), 1, "no"),
        (problem(503, "store-unavailable"), 1, "no"),
        ((200, "text/html", "<h1>Log in</h1>"), 1, "no API of a gateway: 200 with text/html"),
        ((200, "application/json", "[1]"), 1, "no API of a gateway"),
        ((200, "application/json", "{"), 1, "broken JSON"),
        ((502, "text/html", "bad gateway"), 1, "502 with text/html"),
        ((403, PROBLEM, '{"type": "about:blank"}'), 1, "no API of a gateway: 403"),
        ((302, "https://login.example/?state=s3cret", ""), 1, "leads on to https://login.example/"),
    ],
)
def test_what_goes_wrong_is_told_and_has_its_code(answer: Answer, code: int, said: str) -> None:
    done = answered(answer, "tasks", "list", "x", "y")
    assert (done.exit_code, done.stdout) == (code, "")
    assert said in done.stderr
    assert "s3cret" not in done.stderr
    assert KEY not in done.stderr


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("http://127.0.0.1:1", 1, "is the gateway running there?"),
        ("gateway.example", 2, "must start with http://"),
        ("http://me:s3cret@gateway.example", 2, "has credentials in it"),
        ("http://", 2, "must start with http://"),
    ],
)
def test_an_address_where_no_gateway_is_is_told(url: str, code: int, said: str) -> None:
    done = CliRunner().invoke(app, ["tasks", "list"], env={"GATEWAY_URL": url, "GATEWAY_KEY": KEY})
    assert (done.exit_code, said in done.stderr, "s3cret" in done.stderr) == (code, True, False), done.stderr


def test_the_key_may_be_in_a_file_and_is_told_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    with serving(ApiStub(three_pages)) as stub:
        assert run(stub, "tasks", "list", env={"GATEWAY_KEY": "", "GATEWAY_KEY_FILE": str(file)}).exit_code == 0
        assert run(stub, "tasks", "list", "--key-file", str(file), env={"GATEWAY_KEY": "other"}).exit_code == 0
        both = run(stub, "tasks", "list", env={"GATEWAY_KEY_FILE": str(file)})
        missing = run(stub, "tasks", "list", "--key-file", str(tmp_path / "none"))
    assert set(stub.keys) == {KEY}
    assert (both.exit_code, missing.exit_code) == (2, 2)
    assert "set one of them" in both.stderr


def test_a_narrow_terminal_gets_the_columns_that_it_has_room_for() -> None:
    columns, rows = ("TASK", "STATE", "TOPIC", "ERROR"), [("t" * 36, "failed", "o" * 90, "e" * 200)]
    for width, widths in (
        (20, [20]),
        (44, [36, 6]),
        (60, [36, 6, 14]),
        (110, [36, 6, 40, 22]),
        (400, [36, 6, 40, 200]),
    ):
        assert column_widths(columns, rows, width) == widths


def test_a_terminal_is_shown_whole_ids_and_no_control_characters() -> None:
    answer = document(tasks=[task(0, task_id="t" * 36)], unreadable=[], next=None)
    with serving(ApiStub(lambda *_: answer)) as stub:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        command = [sys.executable, "-m", "gateway", "tasks", "list", "--url", stub.url]
        env = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, stdout=theirs, stdin=theirs, stderr=subprocess.PIPE, env=env, check=False)
        os.close(theirs)
        shown = os.read(ours, 65536).decode()
        os.close(ours)
    assert done.returncode == 0, done.stderr
    assert "t" * 36 in shown
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in shown.splitlines()) <= 60
    assert "\x1b[31m" not in shown
    assert printable("a\x1b[2J\tb\n") == "a\\x1b[2J b "
