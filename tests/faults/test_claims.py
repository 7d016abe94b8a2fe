"""Handlers whose process freezes or dies, whose lock is stolen or ends, and whose process instance goes away."""

from __future__ import annotations

import signal

from bridge.domain.task import State
from tests.faults.lab import FaultLab, FaultyGateway


async def test_killed_in_its_handler_the_task_gets_a_new_claim(faults: FaultLab) -> None:
    key = await faults.counted(gated=True)
    (task_id,) = await faults.begin(key)
    first = await faults.faulty(LOCK_DURATION="60")
    (visit,) = await faults.gate.until(1)
    claim = (await faults.kept(task_id)).claim_id
    await first.kill()
    await visit.gone()
    second = await faults.faulty(LOCK_DURATION="60")
    await faults.gate.until(2)
    again = await faults.kept(task_id)
    assert again.claim_id not in {None, claim}
    assert (again.attempts, again.lost_claims) == (2, 1)
    assert [(attempt.claim_id, attempt.ended) for attempt in again.history] == [(claim, "lost")]
    assert second.events("claim_expired", task_id=task_id)
    await faults.gate.open()
    await faults.until_finished(key, 1)
    await faults.assert_each_once(key, [task_id])
    assert [(run.key, run.attempt) for run in faults.runs()] == [(task_id, 1), (task_id, 2)]


async def test_what_a_zombie_decides_is_refused(faults: FaultLab) -> None:
    key = await faults.counted()
    (task_id,) = await faults.begin(key)
    zombie = await faults.faulty(CRASH_AT="store.move.decide:before:stop")
    await zombie.until("crash_point", point="store.move.decide:before", deed="SIGSTOP")
    frozen = await faults.kept(task_id)
    assert frozen.state is State.RUNNING
    await faults.faulty()
    await faults.until_finished(key, 1)
    done = await faults.until_kept(task_id, State.COMPLETED)
    zombie.signal(signal.SIGCONT)
    await zombie.until("crash_point_passed", point="store.move.decide:before")
    await zombie.until("outcome_discarded", task_id=task_id)
    assert await faults.kept(task_id) == done
    assert done.claim_id != frozen.claim_id
    assert (await faults.variables(str(done.process_instance_id)))["attempt"]["value"] == 2
    await faults.assert_each_once(key, [task_id])
    assert [run.attempt for run in faults.runs()] == [1, 2]


async def test_a_stolen_lock_ends_the_handler(faults: FaultLab) -> None:
    key = await faults.counted(gated=True)
    (task_id,) = await faults.begin(key)
    intake = await faults.faulty("serve", "--roles", "web,intake", LOCK_DURATION="3")
    gateway = await faults.faulty("worker", LOCK_DURATION="3")
    (visit,) = await faults.gate.until(1)
    # Else our own poll, or the worker's renewal, might have the unlocked task before the thief.
    assert await intake.stop() == 0
    gateway.signal(signal.SIGSTOP)
    await faults.ask("POST", f"/external-task/{task_id}/unlock")
    await faults.ask("POST", f"/external-task/{task_id}/lock", {"workerId": "thief", "lockDuration": 600_000})
    gateway.signal(signal.SIGCONT)
    await visit.gone()
    await gateway.until("handler_cancelled", task_id=task_id)
    lost = await faults.until_kept(task_id, State.SUPERSEDED)
    assert "thief" in str(lost.error)
    await faults.ask("POST", f"/external-task/{task_id}/complete", {"workerId": "thief"})
    log = await faults.ask("GET", f"/history/external-task-log?externalTaskId={task_id}&successLog=true")
    assert [entry["workerId"] for entry in log] == ["thief"]
    assert len(faults.runs()) == 1


async def test_a_cancelled_instance_ends_the_handler(faults: FaultLab) -> None:
    key = await faults.counted(gated=True)
    instance = await faults.start(key)
    task_id = (await faults.task_of(instance))["id"]
    gateway = await faults.faulty(LOCK_DURATION="3")
    (visit,) = await faults.gate.until(1)
    await faults.cancel(instance)
    await visit.gone()
    await gateway.until("handler_cancelled", task_id=task_id)
    await faults.until_kept(task_id, State.CANCELLED)
    assert await faults.successes(key) == []
    assert len(faults.runs()) == 1


async def frozen_past_the_lock(faults: FaultLab) -> tuple[str, str, FaultyGateway]:
    """Return a process, its task whose message a frozen worker has and whose lock ended meanwhile, and that worker."""
    key = await faults.counted()
    intake = await faults.faulty("serve", "--roles", "web,intake", LOCK_DURATION="3", CLAIM_DURATION="3")
    worker = await faults.faulty("worker", LOCK_DURATION="3", CLAIM_DURATION="3", CRASH_AT="store.claim:before:stop")
    (task_id,) = await faults.begin(key)
    await worker.until("crash_point", point="store.claim:before", deed="SIGSTOP")
    await faults.until_kept(task_id, State.QUEUED)
    await intake.kill()
    await faults.until_unlocked(faults.topic("work"))
    return key, task_id, worker


async def test_a_lock_that_ended_in_the_queue_is_taken_up_before_the_handler_runs(faults: FaultLab) -> None:
    key, task_id, worker = await frozen_past_the_lock(faults)
    worker.signal(signal.SIGCONT)
    await faults.until_finished(key, 1)
    await faults.assert_each_once(key, [task_id])
    assert len(faults.runs()) == 1
    assert (await faults.kept(task_id)).epoch == 1


async def test_a_lock_that_ended_in_the_queue_and_was_taken_is_left(faults: FaultLab) -> None:
    key, task_id, worker = await frozen_past_the_lock(faults)
    await faults.ask("POST", f"/external-task/{task_id}/lock", {"workerId": "thief", "lockDuration": 600_000})
    worker.signal(signal.SIGCONT)
    await worker.until("lease_lost", task_id=task_id)
    await faults.until_kept(task_id, State.SUPERSEDED)
    assert faults.runs() == []
    # The thief lets it be: whoever fetches then has it under a new lease.
    await faults.ask("POST", f"/external-task/{task_id}/unlock")
    await faults.faulty("serve", "--roles", "web,intake")
    await faults.until_finished(key, 1)
    await faults.assert_each_once(key, [task_id])
    assert len(faults.runs()) == 1
    assert (await faults.kept(task_id)).epoch == 2


async def test_fetched_again_an_outcome_is_delivered_under_the_new_lease(faults: FaultLab) -> None:
    key = await faults.counted()
    (task_id,) = await faults.begin(key)
    # Nobody looks at the outcome for an hour, but the engine offers the task again.
    dead = await faults.faulty(LOCK_DURATION="3", REPORT_WITHIN="3600", CRASH_AT="engine.complete:before")
    await dead.struck("engine.complete:before")
    before = await faults.kept(task_id)
    assert (before.state, before.epoch) == (State.REPORTING, 1)
    await faults.until_unlocked(faults.topic("work"))
    second = await faults.faulty()
    await faults.until_finished(key, 1)
    await second.until("outcome_settled", task_id=task_id, how="delivered_completion")
    await faults.assert_each_once(key, [task_id])
    after = await faults.kept(task_id)
    assert after.epoch == 2
    assert after.worker_id != before.worker_id
    assert [run.attempt for run in faults.runs()] == [1]
