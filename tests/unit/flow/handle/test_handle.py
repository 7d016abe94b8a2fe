"""From a message to a stored outcome, through each fault: nothing runs twice, and nothing is acknowledged unkept."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.domain.errors import BrokerUnavailable, StoreError, StoreRefusing, StoreUnavailable
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import State, TaskKey
from tests.unit.flow_lab import Acknowledger, Lab, Work


async def test_a_message_is_acknowledged_after_its_outcome_is_stored_and_that_before_the_engine_hears_of_it() -> None:
    lab = Lab()
    task = await lab.task()
    acknowledger = await lab.deliver(task)
    await lab.delivery.drain()
    assert lab.order == ["decide", "ack", "complete", "delivered_completion"]
    assert acknowledger.given == ["ack"]
    kept = lab.now(task)
    assert (kept.state, kept.attempts, [attempt.ended for attempt in kept.history]) == (
        State.COMPLETED,
        1,
        ["completed"],
    )
    assert len(lab.claims) == 0


async def test_a_duplicate_is_acknowledged_and_the_handler_runs_once() -> None:
    lab = Lab()
    task = await lab.task()
    acknowledgers = await asyncio.gather(*(lab.deliver(task) for _ in range(5)))
    late = await lab.deliver(task)
    assert [acknowledger.given for acknowledger in [*acknowledgers, late]] == [["ack"]] * 6
    assert lab.work.runs == [task.id]
    assert [(begun.id, begun.epoch) for begun in lab.begun] == [(task.id, 1)]
    assert len(lab.notes.of("duplicate_message")) == 5


@pytest.mark.parametrize("state", [state for state in State if state not in {State.RECEIVED, State.QUEUED}])
async def test_a_late_message_is_acknowledged_and_changes_nothing(state: State) -> None:
    lab = Lab()
    task = await lab.task()
    before = lab.put(task, state=state, claim_id="other")
    assert (await lab.deliver(task)).given == ["ack"]
    assert (lab.work.runs, lab.now(task)) == ([], before)


async def test_a_message_about_nothing_is_acknowledged() -> None:
    lab = Lab()
    acknowledger = Acknowledger()
    await lab.handle("orders", TaskKey("unknown", 1), acknowledger)
    assert acknowledger.given == ["ack"]


async def test_a_message_that_names_a_task_of_another_topic_runs_nothing_and_is_told() -> None:
    work = Work()
    lab = Lab(work, topics=[work.topic("orders"), work.topic("payments")])
    task = await lab.task()
    before, acknowledger = lab.now(task), Acknowledger()
    await lab.handle("payments", TaskKey(task.id, task.epoch), acknowledger)
    assert (lab.work.runs, lab.now(task), acknowledger.given) == ([], before, ["ack"])
    (told,) = lab.notes.of("message_of_another_topic")
    assert told.values == {"topic": "payments", "task_id": task.id, "epoch": task.epoch, "task_topic": "orders"}
    await lab.deliver(task)
    assert lab.work.runs == [task.id]


async def test_a_message_of_an_earlier_lease_is_acknowledged_and_that_of_the_new_is_worked() -> None:
    lab = Lab()
    old = await lab.task()
    new = await lab.fetched(old.id, "orders", "w1")
    assert new.epoch == 2
    assert (await lab.deliver(old)).given == ["ack"]
    assert lab.work.runs == []
    await lab.deliver(new)
    assert lab.work.runs == [old.id]


async def test_a_claim_whose_answer_was_lost_is_found_again_and_worked() -> None:
    lab = Lab()
    task = await lab.task()
    lab.store.fail_next("claim", after=True)
    assert (await lab.deliver(task)).given == ["ack"]
    assert lab.store.struck == ["claim"]
    assert lab.work.runs == [task.id]
    assert (lab.state(task), lab.now(task).attempts) == (State.REPORTING, 1)


async def test_a_claim_whose_answer_was_lost_is_worked_once_though_its_message_came_twice() -> None:
    lab = Lab(Work(held=True))
    task = await lab.task()
    lab.store.fail_next("claim", after=True)
    deliveries = [asyncio.create_task(lab.deliver(task)) for _ in range(2)]
    duplicate, _ = await asyncio.wait(deliveries, return_when=asyncio.FIRST_COMPLETED)
    assert lab.store.struck == ["claim"]
    # It ends while the other's handler runs, or before that: an id in common would have it run, and wait, as well.
    assert [delivery.result().given for delivery in duplicate] == [["ack"]]
    lab.work.go.set()
    await asyncio.gather(*deliveries)
    assert lab.work.runs == [task.id]
    assert len(lab.notes.of("duplicate_message")) == 1


async def test_a_claim_whose_answer_was_lost_and_that_expired_since_is_made_anew() -> None:
    lab = Lab()
    task = await lab.task()

    def expire() -> None:
        lab.store._apply(Move(task.id, Event.LOSE_CLAIM, 1, lab.now(task).claim_id))

    lab.store.before["get"] = expire
    lab.store.fail_next("claim", after=True)
    lab.store.fail_next("get")
    assert (await lab.deliver(task)).given == ["ack"]
    assert lab.store.struck == ["claim", "get"]
    assert (lab.work.runs, lab.now(task).attempts, lab.now(task).lost_claims) == ([task.id], 2, 1)


async def test_a_message_waits_for_a_store_that_is_away() -> None:
    lab = Lab()
    task = await lab.task()
    lab.store.fail_next("claim")
    assert (await lab.deliver(task)).given == ["ack"]
    assert lab.store.struck == ["claim"]
    assert len(lab.notes.of("store_unavailable")) == 1
    assert lab.work.runs == [task.id]


async def test_at_the_end_of_the_process_a_message_is_given_back_instead() -> None:
    lab = Lab()
    task = await lab.task()
    lab.store.fail_next("claim")
    lab.handle.stop()
    assert (await lab.deliver(task)).given == ["requeue"]
    assert lab.store.struck == ["claim"]
    assert (lab.work.runs, lab.state(task), len(lab.claims)) == ([], State.RECEIVED, 0)


async def test_a_handler_that_is_cancelled_from_within_has_failed() -> None:
    """Taken for the end of the process it would be given back and run again for ever, at no cost of retries."""
    lab = Lab()
    lab.work.result = asyncio.CancelledError()
    task = await lab.task()
    assert (await lab.deliver(task)).given == ["ack"]
    await lab.delivery.drain()
    kept = lab.now(task)
    assert (kept.state, [attempt.error for attempt in kept.history]) == (State.RETRYING, ["CancelledError"])
    assert (lab.engine.of("fail"), lab.engine.of("unlock")) == ([task.id], [])


async def test_a_lost_acknowledgement_is_harmless() -> None:
    lab = Lab()
    task = await lab.task()
    lost = await lab.deliver(task, Acknowledger(error=BrokerUnavailable("the connection is gone")))
    assert (lost.given, lost.lost) == ([], ["ack"])
    assert (await lab.deliver(task)).given == ["ack"]
    assert lab.work.runs == [task.id]


async def test_a_return_that_is_lost_is_harmless() -> None:
    lab = Lab()
    task = await lab.task()
    lab.store.fail_next("claim")
    lab.handle.stop()
    lost = await lab.deliver(task, Acknowledger(error=BrokerUnavailable("the connection is gone")))
    assert lost.lost == ["requeue"]


async def test_a_store_that_refuses_is_not_hidden_and_the_claim_is_let_go() -> None:
    lab = Lab()
    task = await lab.task()
    lab.store.fail_next("move", StoreError("refused"))
    lab.store.fail_next("move", StoreError("refused too"))
    with pytest.raises(StoreError, match="refused too"):
        await lab.deliver(task)
    assert lab.store.struck == ["move", "move"], "the result, and that it can't be stored"
    assert (lab.state(task), len(lab.claims)) == (State.RUNNING, 0)


async def test_a_lost_answer_is_no_reason_to_take_an_others_claim_for_ours() -> None:
    lab = Lab()
    task = await lab.task()
    lab.put(task, state=State.RUNNING, claim_id="another's")
    lab.store.fail_next("claim", StoreUnavailable("away"))
    assert (await lab.deliver(task)).given == ["ack"]
    assert (lab.store.struck, lab.work.runs) == (["claim"], [])


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_message_goes_back_late_where_the_store_refuses_its_claim(at_once: bool) -> None:
    """Given back at once it would come back at once, until the broker gives it up."""
    lab = Lab()
    task = await lab.task()
    after = timedelta(0) if at_once else timedelta(hours=1)
    lab.handle._config = replace(lab.handle._config, return_after=after)
    lab.store.fail_next("claim", StoreError("MongoDB refused (claim): no such thing"))
    delivering = asyncio.create_task(lab.deliver(task))
    while not lab.store.struck:
        await asyncio.wait({delivering}, timeout=0)
    if at_once:
        with pytest.raises(StoreError, match="no such thing"):
            await delivering
    else:
        await asyncio.wait({delivering}, timeout=0.01)
        assert not delivering.done()
        delivering.cancel()
        await asyncio.wait({delivering})
    assert (lab.work.runs, lab.state(task)) == ([], State.RECEIVED)


async def test_a_refusal_that_lasts_is_waited_out_as_an_outage_is() -> None:
    lab = Lab()
    task = await lab.task()
    lab.store.fail_next("claim", StoreRefusing("not authorized"))
    acknowledger = await lab.deliver(task)
    assert (lab.store.struck, acknowledger.given) == (["claim"], ["ack"])
    assert len(lab.notes.of("store_unavailable")) == 1
    assert lab.work.runs == [task.id]
