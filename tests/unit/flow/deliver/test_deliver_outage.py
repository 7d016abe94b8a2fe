"""Outcomes through an outage of the engine: they wait in the store, and go first when it is back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from bridge.adapters.memory.engine import MemoryEngine
from bridge.domain.errors import EngineRejected, EngineUnavailable
from bridge.domain.task import Completion, State, Task, Variables
from bridge.flow.deliver.deliver import OutcomeDelivery
from bridge.flow.engine.breaker import Breaker
from bridge.ports.engine import TopicPoll
from tests.unit.fakes import LOCK, NOW, SECOND, HandClock, Notes, UnreliableStore


class FragileEngine(MemoryEngine):
    """An engine that can be away; its completions go through a breaker, as the real adapter's calls do."""

    def __init__(self, clock: HandClock, breaker: Breaker) -> None:
        super().__init__(clock)
        self.away = False
        self.asked = 0
        self.stuck: set[str] = set()
        self.on_complete: Callable[[], None] = lambda: None
        self._breaker = breaker

    async def complete(self, task_id: str, worker_id: str, variables: Variables) -> None:
        async def call() -> None:
            self.asked += 1
            self.on_complete()
            if self.away or task_id in self.stuck:
                raise EngineUnavailable("the engine is away")
            await MemoryEngine.complete(self, task_id, worker_id, variables)

        await self._breaker.guard(call)


class Watch:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Flow:
    def __init__(self, limit: int = 3) -> None:
        self.watch = Watch()
        self.breaker = Breaker(Notes(), limit=2, monotonic=self.watch)
        self.engine = FragileEngine(HandClock(), self.breaker)
        self.store = UnreliableStore()
        self.delivery = OutcomeDelivery(
            self.engine,
            self.store,
            HandClock(),
            Notes(),
            first_delay=SECOND,
            most_delay=60 * SECOND,
            limit=limit,
            concurrency=2,
            breaker=self.breaker,
        )

    async def decided(self, count: int, topic: str = "say_hello") -> list[Task]:
        for _ in range(count):
            self.engine.add(topic)
        leases = await self.engine.fetch_and_lock("bridge-a", count, [TopicPoll(topic, LOCK)], timedelta(0))
        tasks = [
            Task(x.id, topic, "bridge-a", NOW + LOCK, NOW, NOW, 3, state=State.REPORTING, outcome=Completion())
            for x in leases
        ]
        await self.store.accept(tasks)
        return tasks

    async def hold_up(self, count: int) -> None:
        """Let an outage begin, and hold up the delivery of so many outcomes."""
        tasks = await self.decided(count)
        self.engine.away = True
        for task in tasks:
            self.delivery.put(task)
        await self.delivery.drain()

    async def back(self) -> None:
        """Let the breaker find that the engine answers."""
        self.watch.now += 60
        await self.breaker.guard(self.engine.version)


async def test_after_an_outage_all_are_delivered_at_once_and_before_anything_new() -> None:
    flow = Flow()
    await flow.hold_up(20)
    assert flow.engine.asked < 20  # the rest weren't even asked about
    held_up = flow.delivery.backlogged
    assert held_up
    assert {task.state for task in flow.store.tasks.values()} == {State.REPORTING}

    flow.engine.away = False
    await flow.back()
    await flow.delivery.drain()
    assert {task.state for task in flow.store.tasks.values()} == {State.COMPLETED}
    assert not flow.delivery.backlogged
    assert len(flow.engine.reports) == 20


async def test_an_engine_that_goes_away_again_leaves_the_rest_for_later() -> None:
    flow = Flow()
    await flow.hold_up(6)
    await flow.back()  # answers, and then completions fail as before
    await flow.delivery.drain()
    held_up = flow.delivery.backlogged
    assert held_up
    assert {task.state for task in flow.store.tasks.values()} == {State.REPORTING}
    assert flow.engine.reports == []


async def test_an_outage_does_not_use_up_the_limit_of_refusals() -> None:
    flow = Flow()
    (task,) = await flow.decided(1)
    flow.engine.away = True
    for _ in range(10):
        await flow.delivery.deliver(flow.store.tasks[task.id])
    assert flow.store.tasks[task.id].reports == 10
    flow.engine.away = False
    await flow.back()
    await flow.delivery.drain()
    assert flow.store.tasks[task.id].state is State.COMPLETED
    (other,) = await flow.decided(1)
    await flow.store.accept([])
    for _ in range(2):
        flow.engine.fail_next("complete", EngineRejected("no", status=500))
        await flow.delivery.deliver(flow.store.tasks[other.id])
    assert (flow.store.tasks[other.id].state, flow.store.tasks[other.id].refusals) == (State.REPORTING, 2)


async def test_a_store_that_is_away_loses_no_outcome() -> None:
    flow = Flow()
    (task,) = await flow.decided(1)
    flow.store.away = {"move"}
    flow.delivery.put(task)
    await flow.delivery.drain()
    assert flow.store.refused == ["move"]
    flow.store.away = set()
    await flow.delivery.deliver(flow.store.tasks[task.id])
    assert flow.store.tasks[task.id].state is State.COMPLETED
    assert len(flow.engine.reports) == 1


async def test_what_is_held_up_goes_first_until_the_engine_has_all_of_it() -> None:
    flow = Flow()
    await flow.hold_up(6)
    flow.engine.away = False
    seen: list[tuple[int, bool]] = []

    flow.engine.on_complete = lambda: seen.append((len(flow.engine.reports), flow.delivery.backlogged))
    await flow.back()
    assert flow.delivery.backlogged  # closed again, and nothing of it read from the store yet
    await flow.delivery.drain()
    assert [reported for reported, _ in seen] == [*range(6)]
    assert all(first for _, first in seen)
    assert not flow.delivery.backlogged


async def test_one_outcome_that_the_engine_does_not_take_is_no_outage() -> None:
    flow = Flow()
    stuck, *others = await flow.decided(3)
    flow.engine.stuck = {stuck.id}
    for task in (stuck, *others):
        flow.delivery.put(task)
        await flow.delivery.drain()
    assert flow.breaker.is_closed
    assert flow.store.tasks[stuck.id].state is State.REPORTING
    assert not flow.delivery.backlogged


async def test_topics_take_turns() -> None:
    flow = Flow()  # two at a time
    hot = await flow.decided(20)
    (cold,) = await flow.decided(1, topic="nova_publicacao")
    for task in (*hot, cold):
        flow.delivery.put(task)
    await flow.delivery.drain()
    assert [report.task_id for report in flow.engine.reports].index(cold.id) <= 3
