"""Gateways on machines whose clocks are ten minutes wrong: they go by the store's clock, and harm nobody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bridge.domain.task import State
from tests.faults.lab import FaultLab

SKEW = timedelta(minutes=10)

# Read by the interpreter before anything else: all that asks Python for the time then gets a shifted one.
SHIFTED = """
import datetime, time

OFFSET = {seconds}

def shift(name, by):
    real = getattr(time, name)
    setattr(time, name, lambda: real() + by)

shift("time", OFFSET)
shift("time_ns", OFFSET * 10**9)
Real = datetime.datetime

class Kind(type(Real)):
    def __instancecheck__(cls, value):
        return isinstance(value, Real)

class datetime_shifted(Real, metaclass=Kind):
    @classmethod
    def now(cls, tz=None):
        return Real.now(tz) + datetime.timedelta(seconds=OFFSET)

    @classmethod
    def utcnow(cls):
        return Real.utcnow() + datetime.timedelta(seconds=OFFSET)

datetime.datetime = datetime_shifted
"""


def shifted(faults: FaultLab, seconds: int) -> str:
    """Return a folder for PYTHONPATH by which a process has its clock shifted."""
    folder = faults.folder / f"shift{seconds}"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SHIFTED.format(seconds=seconds))
    return str(folder)


async def test_ten_minutes_fast_and_ten_minutes_slow_beside_each_other(faults: FaultLab) -> None:
    key = await faults.counted(gated=True, concurrency=4)
    seconds = int(SKEW.total_seconds())
    fast = await faults.faulty(path=(shifted(faults, seconds),))
    slow = await faults.faulty(path=(shifted(faults, -seconds),))
    for gateway, sign in ((fast, 1), (slow, -1)):
        told = await gateway.until("clock_differs")
        assert abs(told["seconds"] + sign * seconds) < 30
        stamp = datetime.fromisoformat(told["timestamp"].replace("Z", "+00:00"))
        assert abs(stamp - sign * SKEW - datetime.now(UTC)) < timedelta(seconds=60)
    tasks = await faults.begin(key, 12)
    visits = await faults.gate.until(8)
    # Longer than any claim stands: neither takes the other's claims for lapsed, or lets its own lapse.
    held = [await faults.kept(visit.run.task_id) for visit in visits]
    assert {task.replica for task in held} == {gateway.events("started")[0]["replica"] for gateway in (fast, slow)}
    for task in held:
        await faults.until_renewed(task, times=3)
    await faults.gate.open()
    await faults.until_finished(key, 12)
    await faults.assert_each_once(key, tasks)
    assert [run.attempt for run in faults.runs()] == [1] * 12
    assert not fast.events("claim_expired")
    assert not slow.events("claim_expired")
    for task_id in tasks:
        done = await faults.until_kept(task_id, State.COMPLETED)
        assert abs(done.created_at - datetime.now(UTC)) < timedelta(seconds=120)
