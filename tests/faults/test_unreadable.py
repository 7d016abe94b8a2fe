"""A document that another version wrote: the others go on, and so does its task once it can be read."""

from __future__ import annotations

from bridge.domain.task import State
from tests.faults.lab import FaultLab


async def test_of_two_lost_claims_the_one_that_can_not_be_read_holds_up_no_other(faults: FaultLab) -> None:
    key = await faults.counted(gated=True)
    spoilt, other = await faults.begin(key, 2)
    first = await faults.faulty()
    await faults.gate.until(2)
    await first.kill()
    due = (await faults.kept(spoilt)).created_at
    tasks = faults.store._tasks
    await tasks.update_one({"_id": spoilt}, {"$set": {"state": "paused", "next_at": due}})
    await faults.gate.open()
    second = await faults.faulty()
    await faults.until_kept(other, State.COMPLETED)
    await second.until("task_unreadable", task_id=spoilt, reason="state: 'paused' is not a valid State")
    document = await tasks.find_one({"_id": spoilt})
    assert document is not None
    assert (document["state"], document["unreadable"]) == ("paused", True)
    assert document["next_at"] > due, "it is looked at later"
    assert len(second.events("task_unreadable", task_id=spoilt)) == 1
    assert not second.events("loop_error")
    # A version that can read it.
    await tasks.update_one({"_id": spoilt}, {"$set": {"state": "running", "next_at": due}})
    await faults.until_kept(spoilt, State.COMPLETED)
    assert "unreadable" not in (await tasks.find_one({"_id": spoilt}) or {})
    await faults.until_finished(key, 2)
    await faults.assert_each_once(key, [spoilt, other])
