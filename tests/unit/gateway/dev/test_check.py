"""What `gateway dev` says of files that can't be loaded: the file, the line, and what is to do."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from gateway.dev.processes import check_files

GOOD = """
from pydantic import BaseModel
from bridge.topic import topic

class Input(BaseModel):
    text: str

@topic("{name}")
async def work(wanted: Input) -> None:
    print("imported")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("")
    return tmp_path


async def told(**settings: str) -> list[str]:
    root = str(Path(__file__).parents[4])
    return list(await check_files({**os.environ, "PYTHONPATH": root, "TOPICS_PACKAGE": "mine", **settings}))


UNCLOSED = """mine/a.py can't be imported: SyntaxError: '(' was never closed (a.py, line 3)
  mine/a.py, line 3:
    x = (1,"""
DIVISION = """mine/a.py can't be imported: ZeroDivisionError: division by zero
  mine/_parts.py, line 2:
    1 / 0"""
NO_TOPIC = "mine/a.py declares no topic: decorate a function with @topic, or start its name with _"


@pytest.mark.parametrize(
    ("text", "says"), [("\n\nx = (1,\n", UNCLOSED), ("import mine._parts\n", DIVISION), ("x = 1\n", NO_TOPIC)]
)
async def test_a_file_is_told_with_its_line(folder: Path, text: str, says: str) -> None:
    (folder / "mine" / "a.py").write_text(text)
    (folder / "mine" / "_parts.py").write_text("\n1 / 0\n")
    assert await told() == says.splitlines()


async def test_topics_that_can_be_loaded_are_not_spoken_of(folder: Path) -> None:
    (folder / "mine" / "a.py").write_text(GOOD.format(name="a") + "print('what a file prints is left out')\n")
    assert await told() == []


async def test_no_topic_at_all_and_settings_that_can_not_be_used_are_told(folder: Path) -> None:
    assert await told() == ["mine has no topic: `gateway topics new NAME` writes one"]
    (found,) = await told(PORT="many")
    assert "PORT: " in found


async def test_a_file_that_ends_the_process_is_told(folder: Path) -> None:
    (folder / "mine" / "a.py").write_text("import os\nos._exit(3)\n")
    assert await told() == ["the check of the topics ended with 3"]


async def test_a_process_ends_with_the_one_that_holds_its_lifeline() -> None:
    code = """
import os, signal, sys
from gateway.dev.processes import end_with
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
end_with(int(sys.argv[1]))
print("ready", flush=True)
signal.pause()
"""
    child_end, own_end = os.pipe()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(child_end), pass_fds=(child_end,), stdout=asyncio.subprocess.PIPE
    )
    os.close(child_end)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    assert process.returncode is None
    os.close(own_end)
    async with asyncio.timeout(30):
        await process.communicate()
    assert process.returncode == 7
