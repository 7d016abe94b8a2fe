"""Ending what was started, and nothing else."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from sandbox.process import Started, spawn, start_ticks

# The shell stays and has a child of its own, as the broker has its epmd.
WITH_CHILD = ("sh", "-c", "sleep 600 & echo started; wait")


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    part = spawn(WITH_CHILD, dict(os.environ), tmp_path / "log")
    yield part
    part.kill()


def test_a_started_process_is_its_own_session_and_carries_the_mark(started: Started) -> None:
    leader = started.leader()
    assert leader is not None
    assert leader.pid == started.pid
    assert os.getsid(started.pid) == started.pid
    assert leader in started.family()


@pytest.mark.parametrize("other", [{"ticks": 1}, {"boot": "another"}, {"pid": os.getpid()}])
def test_a_recycled_id_is_not_ours(started: Started, other: dict[str, int]) -> None:
    stranger = replace(started, **other)  # type: ignore[arg-type]
    assert stranger.leader() is None
    assert not stranger.paused()


def test_a_recycled_id_is_never_ended(started: Started) -> None:
    recycled = replace(started, ticks=1, mark="of a part long gone")
    recycled.end(time_limit=1)
    recycled.kill()
    assert psutil.pid_exists(started.pid)
    assert started.leader() is not None


def test_what_lacks_the_mark_is_not_of_the_family(started: Started) -> None:
    assert replace(started, ticks=1, mark="of somebody else").family() == []


def test_ending_leaves_nothing_of_the_family(started: Started) -> None:
    family = started.family()
    started.end(time_limit=5)
    assert started.leader() is None
    assert started.family() == []
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)


def test_children_that_lost_their_parent_are_still_ours(started: Started) -> None:
    children = psutil.Process(started.pid).children()
    os.kill(started.pid, signal.SIGKILL)
    os.waitpid(started.pid, 0)
    assert started.leader() is None
    # The child may not have been started yet when the parent was killed.
    assert {process.pid for process in children} <= {process.pid for process in started.family()}
    started.kill()
    assert started.family() == []


def test_a_paused_part_is_seen_as_such_and_can_be_ended(started: Started) -> None:
    started.signal(signal.SIGSTOP)
    os.waitpid(started.pid, os.WUNTRACED)
    assert started.paused()
    started.end(time_limit=5)
    assert started.leader() is None


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    part = spawn(("sh", "-c", "echo out; echo err >&2"), dict(os.environ), tmp_path / "log")
    os.waitpid(part.pid, 0)
    assert (tmp_path / "log").read_text() == "out\nerr\n"


def test_an_id_that_is_free_has_no_start() -> None:
    assert start_ticks(2**22 + 1) is None
