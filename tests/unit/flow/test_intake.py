"""A lease becomes a task that is kept before anything else happens to it, whatever fails around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from pydantic import BaseModel

from bridge.adapters.memory.broker import MemoryBroker
from bridge.adapters.memory.dashboard import MemoryDashboardStore
from bridge.adapters.memory.engine import MemoryEngine
from bridge.domain.errors import BrokerUnavailable, EngineUnavailable, StoreUnavailable, TaskTooLarge, VariableError
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import Completion, Failure, Source, State, Task, TypedValue
from bridge.flow.deliver.deliver import OutcomeDelivery
from bridge.flow.edit_check import EditCheck
from bridge.flow.intake import Intake
from bridge.flow.relay import Relay
from bridge.ports.engine import EngineTask, TopicPoll
from bridge.ports.journal import Level
from bridge.registry import Registry
from bridge.topic import topic
from tests.unit.fakes import LOCK, NOW, SECOND, HandClock, Notes, UnreliableStore, a_task

LIMIT = 1000


class Order(BaseModel):
    pass


@topic("orders")
def orders(order: Order) -> None: ...


@topic("mail", retries=1)
def mail(order: Order) -> None: ...


class _FirmStore(UnreliableStore):
    """A store that keeps no more than `LIMIT` characters of a task, and nothing odd."""

    async def accept(self, tasks: Sequence[Task]) -> Sequence[Task | None]:
        for task in tasks:
            if "odd" in task.variables:
                raise VariableError("variable 'odd': no form of it can be stored")
            size = sum(len(str(variable.value)) for variable in task.variables.values())
            if size > LIMIT:
                raise TaskTooLarge(f"task {task.id} takes {size} bytes, {LIMIT} are kept at most")
        return await super().accept(tasks)


class Flow:
    def __init__(self) -> None:
        self.clock = HandClock()
        self.engine = MemoryEngine(self.clock)
        self.store = _FirmStore()
        self.broker = MemoryBroker(["orders", "mail"])
        self.notes = Notes()
        self.relay = Relay(
            self.store, self.broker, self.clock, self.notes, again_after=5 * SECOND, look_after=20 * SECOND
        )
        self.delivery = OutcomeDelivery(
            self.engine, self.store, self.clock, self.notes,
            first_delay=SECOND, most_delay=60 * SECOND, limit=3, concurrency=4,
        )  # fmt: skip
        self.intake = Intake(
            engine=self.engine,
            store=self.store,
            relay=self.relay,
            delivery=self.delivery,
            topics=Registry({"orders": orders, "mail": mail}),
            clock=self.clock,
            journal=self.notes,
            replica="r1",
            retry_limit=3,
            publish_within=10 * SECOND,
            edits=EditCheck(
                audit=MemoryDashboardStore(self.store).write, clock=self.clock, journal=self.notes, replica="r1"
            ),
        )

    async def fetch(self, worker_id: str = "w1") -> tuple[Sequence[EngineTask], str, datetime]:
        polls = [TopicPoll("orders", LOCK), TopicPoll("mail", LOCK)]
        return await self.engine.fetch_and_lock(worker_id, 10, polls, timedelta(0)), worker_id, self.clock.now() + LOCK

    @property
    def published(self) -> list[str]:
        return [key.id for _, key in self.broker.published]


async def test_a_lease_is_kept_with_all_that_the_engine_said_and_published() -> None:
    flow = Flow()
    task_id = flow.engine.add(
        "orders", {"a": TypedValue("String", "x")}, business_key="b", priority=7, tenant_id="acme"
    )
    await flow.intake.accept(*await flow.fetch())
    kept = flow.store.tasks[task_id]
    described = await flow.engine.get(task_id)
    assert kept == Task(
        task_id, "orders", "w1", NOW + LOCK, NOW, NOW, 3,
        variables={"a": TypedValue("String", "x")}, state=State.QUEUED, source=Source.POLLED, business_key="b",
        process_instance_id=described.process_instance_id, process_definition_key="process", activity_id="task",
        tenant_id="acme", priority=7, replica="r1", next_at=NOW + 20 * SECOND, trace=kept.trace,
        process_definition_id=described.process_definition_id, execution_id=described.execution_id,
        activity_instance_id=described.activity_instance_id, engine_created_at=described.created_at,
    )  # fmt: skip
    assert flow.published == [task_id]


@pytest.mark.parametrize(("engine_has", "kept"), [(None, 3), (3, 2), (1, 0)])
async def test_null_retries_are_not_zero_and_a_number_counts_this_run(engine_has: int | None, kept: int) -> None:
    flow = Flow()
    task_id = flow.engine.add("orders", retries=engine_has)
    await flow.intake.accept(*await flow.fetch())
    assert flow.store.tasks[task_id].retries == kept


async def test_zero_retries_do_not_become_negative() -> None:
    flow = Flow()
    task_id = flow.engine.add("orders")
    leases, worker_id, until = await flow.fetch()
    await flow.intake.accept([replace(leases[0], retries=0)], worker_id, until)
    assert flow.store.tasks[task_id].retries == 0


async def test_a_topic_has_retries_of_its_own() -> None:
    flow = Flow()
    task_id = flow.engine.add("mail")
    await flow.intake.accept(*await flow.fetch())
    assert flow.store.tasks[task_id].retries == 1


async def test_a_lease_that_has_run_out_is_left_alone() -> None:
    flow = Flow()
    flow.engine.add("orders")
    fetched = await flow.fetch()
    flow.clock.advance(LOCK)
    await flow.intake.accept(*fetched)
    assert (flow.store.tasks, flow.published) == ({}, [])
    (line,) = flow.notes.of("leases_expired")
    assert (line.level, line.values["tasks"]) == (Level.WARNING, 1)
    await flow.intake.accept(*await flow.fetch("w2"))
    assert [task.worker_id for task in flow.store.tasks.values()] == ["w2"]


async def test_a_lease_that_has_a_moment_left_is_kept() -> None:
    flow = Flow()
    flow.engine.add("orders")
    fetched = await flow.fetch()
    flow.clock.advance(LOCK - timedelta(milliseconds=1))
    await flow.intake.accept(*fetched)
    assert len(flow.store.tasks) == 1


async def test_too_large_a_task_is_an_incident_and_the_rest_goes_on() -> None:
    flow = Flow()
    small = flow.engine.add("orders", {"a": TypedValue("String", "x" * LIMIT)})
    large = flow.engine.add("orders", {"a": TypedValue("String", "x" * (LIMIT + 1))})
    after = flow.engine.add("mail")
    await flow.intake.accept(*await flow.fetch())
    assert set(flow.store.tasks) == {small, after}
    assert set(flow.published) == {small, after}
    (incident,) = flow.engine.incidents()
    assert incident.id == large
    assert "takes 1001 bytes, 1000 are kept at most" in (incident.error or "")
    assert "fetch fewer variables by `variables=` of the topic" in (incident.error or "")
    assert [line.task.id for line in flow.notes.of("task_refused") if line.task] == [large]


async def test_a_task_whose_size_can_not_be_told_is_an_incident_and_the_rest_goes_on() -> None:
    flow = Flow()
    odd, good = flow.engine.add("orders", {"odd": TypedValue("Json", "x")}), flow.engine.add("orders")
    await flow.intake.accept(*await flow.fetch())
    assert list(flow.store.tasks) == flow.published == [good]
    assert [(task.id, task.error) for task in flow.engine.incidents()] == [
        (odd, "variable 'odd': no form of it can be stored")
    ]


async def test_an_incident_that_can_not_be_raised_does_not_stop_the_rest() -> None:
    flow = Flow()
    large = flow.engine.add("orders", {"a": TypedValue("String", "x" * (LIMIT + 1))})
    small = flow.engine.add("orders")
    flow.engine.fail_next("fail", EngineUnavailable("cut"))
    await flow.intake.accept(*await flow.fetch())
    assert set(flow.store.tasks) == {small}
    assert flow.engine.incidents() == []
    (line,) = flow.notes.of("incident_not_raised")
    assert (line.task and line.task.id, line.values) == (large, {"error": "cut"})
    flow.clock.advance(LOCK)
    leases, _, _ = await flow.fetch("w2")
    assert large in {lease.id for lease in leases}, "its lock ends and it is fetched again"


async def test_nothing_is_published_that_the_store_did_not_take() -> None:
    flow = Flow()
    task_id = flow.engine.add("orders")
    flow.store.away = {"accept"}
    with pytest.raises(StoreUnavailable):
        await flow.intake.accept(*await flow.fetch())
    assert flow.store.refused == ["accept"]
    assert (flow.store.tasks, flow.published) == ({}, [])
    flow.store.away = set()
    flow.clock.advance(LOCK)
    await flow.intake.accept(*await flow.fetch("w2"))
    assert flow.store.tasks[task_id].state is State.QUEUED


async def test_a_task_that_could_not_be_published_is_kept_and_due() -> None:
    flow = Flow()
    task_id = flow.engine.add("orders")
    flow.broker.fail_next("publish", BrokerUnavailable("down"))
    await flow.intake.accept(*await flow.fetch())
    assert flow.published == []
    assert flow.store.tasks[task_id].state is State.RECEIVED
    assert [task.id for task in (await flow.store.due(State.RECEIVED, NOW + 10 * SECOND, 10)).tasks] == [task_id]


async def test_a_push_that_comes_again_is_refused_and_told() -> None:
    flow = Flow()
    pushed = a_task(source=Source.PUSHED)
    await flow.intake.keep([pushed])
    await flow.intake.keep([pushed, a_task("t2", source=Source.PUSHED)])
    assert flow.published == ["t1", "t2"]
    assert flow.store.tasks["t1"].epoch == 1
    assert [line.values for line in flow.notes.of("leases_refused")] == [{"tasks": ["t1"]}]


@pytest.mark.parametrize("state", [State.COMPLETED, State.CANCELLED])
async def test_a_known_final_task_is_refused_and_the_rest_goes_on(state: State) -> None:
    flow = Flow()
    await flow.store.accept([a_task(state=state)])
    await flow.intake.keep([a_task(worker_id="w2"), a_task("t2")])
    assert (flow.store.tasks["t1"].state, flow.store.tasks["t1"].worker_id) == (state, "w1")
    assert flow.published == ["t2"]
    assert [line.values for line in flow.notes.of("leases_refused")] == [{"tasks": ["t1"]}]


async def test_a_new_lease_of_a_running_task_is_published_under_its_epoch() -> None:
    flow = Flow()
    await flow.store.accept([a_task(state=State.RUNNING, claim_id="c1")])
    await flow.intake.keep([a_task(worker_id="w2")])
    kept = flow.store.tasks["t1"]
    assert (kept.state, kept.epoch, kept.claim_id, kept.worker_id) == (State.QUEUED, 2, None, "w2")
    assert [(key.id, key.epoch) for _, key in flow.broker.published] == [("t1", 2)]


async def test_an_undelivered_outcome_is_delivered_under_the_new_lease_and_not_published() -> None:
    flow = Flow()
    task_id = flow.engine.add("orders")
    await flow.intake.accept(*await flow.fetch())
    flow.store.tasks[task_id] = flow.store.tasks[task_id].changed(state=State.REPORTING, outcome=Completion())
    flow.clock.advance(LOCK)
    await flow.intake.accept(*await flow.fetch("w2"))
    await flow.delivery.drain()
    assert flow.published == [task_id], "once, under the first lease"
    assert [(report.task_id, report.worker_id) for report in flow.engine.reports] == [(task_id, "w2")]
    assert flow.store.tasks[task_id].state is State.COMPLETED


@pytest.mark.parametrize(("before", "told"), [(None, 3), (3, 2), (None, 1)])
async def test_a_failure_that_the_new_lease_shows_was_taken_is_not_sent_again(before: int | None, told: int) -> None:
    """The engine offers a failed task at once where it is to be tried at once: before its failure is settled here."""
    flow = Flow()
    task_id = flow.engine.add("orders", retries=before)
    await flow.intake.accept(*await flow.fetch())
    failure = Failure("E", "no", "", told)
    flow.store.tasks[task_id] = flow.store.tasks[task_id].changed(state=State.REPORTING, outcome=failure)
    await flow.engine.fail(task_id, "w1", message="no", details="", retries=told, retry_timeout=timedelta(0))
    await flow.intake.accept(*await flow.fetch("w2"))
    await flow.delivery.drain()
    assert [report.worker_id for report in flow.engine.reports] == ["w1"]
    kept = flow.store.tasks[task_id]
    assert (kept.state, kept.epoch, kept.outcome, kept.retries) == (State.QUEUED, 2, None, told - 1)
    assert [(key.id, key.epoch) for _, key in flow.broker.published] == [(task_id, 1), (task_id, 2)]
    assert [line.values["kept"] for line in flow.notes.of("failure_taken")] == [True]


@pytest.mark.parametrize("before", [None, 3])
async def test_a_failure_that_the_engine_has_not_is_sent_under_the_new_lease(before: int | None) -> None:
    flow = Flow()
    task_id = flow.engine.add("orders", retries=before)
    await flow.intake.accept(*await flow.fetch())
    kept = flow.store.tasks[task_id]
    flow.store.tasks[task_id] = kept.changed(state=State.REPORTING, outcome=Failure("E", "no", "", kept.retries))
    flow.clock.advance(LOCK)
    await flow.intake.accept(*await flow.fetch("w2"))
    await flow.delivery.drain()
    assert [report.worker_id for report in flow.engine.reports] == ["w2"]
    assert flow.store.tasks[task_id].state is State.RETRYING


async def test_what_another_has_settled_meanwhile_does_not_run_again() -> None:
    flow = Flow()
    task_id = flow.engine.add("orders")
    await flow.intake.accept(*await flow.fetch())
    failure = Failure("E", "no", "", 3)
    flow.store.tasks[task_id] = flow.store.tasks[task_id].changed(state=State.REPORTING, outcome=failure)
    await flow.engine.fail(task_id, "w1", message="no", details="", retries=3, retry_timeout=timedelta(0))
    move = flow.store.move

    async def late(moves: Sequence[Move]) -> Sequence[bool]:
        await move([Move(task_id, Event.DELIVERED_RETRY, 2, changes={"next_at": NOW})])
        return await move(moves)

    flow.store.move = late  # type: ignore[method-assign]
    await flow.intake.accept(*await flow.fetch("w2"))
    assert flow.store.tasks[task_id].state is State.RETRYING
    assert flow.published == [task_id]
    assert [line.values["kept"] for line in flow.notes.of("failure_taken")] == [False]


async def test_a_completion_that_the_engine_lost_is_delivered_again_and_told_of() -> None:
    flow = Flow()
    task_id = flow.engine.add("orders")
    leases, worker, until = await flow.fetch()
    done = a_task(task_id, state=State.COMPLETED, outcome=Completion({"r": TypedValue("Integer", 1)}))
    ended = {"created_at": NOW - 2 * SECOND, "finished_at": NOW - SECOND}
    flow.store.tasks[task_id] = done.changed(process_instance_id=leases[0].process_instance_id, **ended)
    await flow.intake.accept(leases, worker, until)
    await flow.delivery.drain()
    kept = flow.store.tasks[task_id]
    assert (kept.state, kept.epoch, kept.result) == (State.COMPLETED, 2, {"r": TypedValue("Integer", 1)})
    assert [report.outcome for report in flow.engine.reports] == [done.outcome]
    assert flow.published == [], "no handler runs"
    (line,) = flow.notes.of("task_reopened")
    assert "the engine lost this completion" in str(line.values["why"])


async def test_what_the_engine_says_goes_before_what_an_unverified_submission_said() -> None:
    flow = Flow()
    task_id = flow.engine.add("mail", {"a": TypedValue("String", "engine")}, business_key="b")
    false = a_task(
        task_id, topic="orders", verified=False, source=Source.PUSHED, fingerprint="f",
        given={"a": TypedValue("String", "thief")}, created_at=NOW - SECOND,
    )  # fmt: skip
    await flow.store.accept([false])
    await flow.intake.accept(*await flow.fetch())
    kept = flow.store.tasks[task_id]
    assert (kept.topic, kept.inputs, kept.source) == ("mail", {"a": TypedValue("String", "engine")}, Source.POLLED)
    assert (kept.given, kept.fingerprint, kept.epoch, kept.business_key) == (None, None, 2, "b")
    assert len(flow.notes.of("task_replaced")) == 1
    assert [topic for topic, _ in flow.broker.published] == ["mail"]
