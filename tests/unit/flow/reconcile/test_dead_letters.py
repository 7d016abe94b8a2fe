"""Dead letters lead back to their tasks, or are kept for people to see."""

from __future__ import annotations

import pytest

from bridge.adapters.memory.broker import MemoryBroker
from bridge.adapters.memory.store import MemoryStore
from bridge.domain.dead_letter import DeadMessage
from bridge.domain.errors import StoreUnavailable
from bridge.domain.task import State, Task, TaskKey
from bridge.flow.reconcile.dead_letters import DeadLetterReconciler
from bridge.ports.dead_letters import Examination
from tests.unit.fakes import LOCK, NOW, HandClock, Notes


class Letters:
    """Dead letters to be examined, in order; those whose examination fails stay."""

    def __init__(self, *messages: DeadMessage) -> None:
        self.messages = list(messages)

    async def take(self, limit: int, examine: Examination) -> int:
        taken = 0
        while self.messages and taken < limit:
            await examine(self.messages[0])
            self.messages.pop(0)
            taken += 1
        return taken


def queued(**fields: object) -> Task:
    return Task("t1", "orders", "w", NOW + LOCK, NOW, NOW, 3, state=State.QUEUED, next_at=NOW + LOCK, **fields)  # type: ignore[arg-type]


def letter(key: TaskKey | None, reason: str = "delivery_limit", body: bytes = b"") -> DeadMessage:
    return DeadMessage("orders", reason, key, body)


async def run(store: MemoryStore, *messages: DeadMessage) -> Letters:
    letters = Letters(*messages)
    assert await DeadLetterReconciler(letters, store, store, HandClock(), Notes()).run_once() == len(messages)
    return letters


async def test_a_task_that_waits_for_its_message_is_published_again() -> None:
    store = MemoryStore()
    await store.accept([queued()])
    await run(store, letter(TaskKey("t1", 1)))
    assert (store.tasks["t1"].state, store.tasks["t1"].next_at) == (State.RECEIVED, NOW)


@pytest.mark.parametrize("key", [TaskKey("t1", 1), TaskKey("t1", 9)])
async def test_a_task_that_moved_on_is_left_alone(key: TaskKey) -> None:
    store = MemoryStore()
    state = State.RUNNING if key.epoch == 1 else State.QUEUED
    await store.accept([queued()])
    store.tasks["t1"] = Task("t1", "orders", "w", NOW + LOCK, NOW, NOW, 3, state=state, next_at=NOW + LOCK)
    await run(store, letter(key))
    assert store.tasks["t1"].state is state
    assert store.letters == {}


async def test_what_names_no_task_is_kept_once_with_its_reason() -> None:
    store = MemoryStore()
    garbage = letter(None, "the body is not JSON", b"\xff{oops")
    await run(store, garbage, letter(TaskKey("nobody", 1)), garbage)
    kept = {one.reason: one for one in store.letters.values()}
    assert len(kept) == 2
    assert kept["the body is not JSON"].body.endswith("{oops")
    assert kept["no such task is kept; delivery_limit"].task_id == "nobody"


async def test_what_a_subscriber_cannot_read_is_kept_and_told_of() -> None:
    store, notes = MemoryStore(), Notes()
    examine = DeadLetterReconciler(Letters(), store, store, HandClock(), notes)
    await examine.keep_undecodable(letter(None, "the body is not JSON", b"\xff{oops"))
    (kept,) = store.letters.values()
    assert (kept.topic, kept.reason, kept.body, kept.task_id) == ("orders", "the body is not JSON", "\ufffd{oops", None)
    assert [line.event for line in notes.lines] == ["dead_letter_kept", "message_undecodable"]


async def test_nothing_is_acknowledged_while_the_store_is_away() -> None:
    class Away(MemoryStore):
        async def get(self, task_id: str) -> Task | None:
            raise StoreUnavailable("away")

    store = Away()
    letters = Letters(letter(TaskKey("t1", 1)))
    with pytest.raises(StoreUnavailable):
        await DeadLetterReconciler(letters, store, store, HandClock(), Notes()).run_once()
    assert len(letters.messages) == 1


async def test_the_broker_in_memory_hands_out_its_dead() -> None:
    broker, store = MemoryBroker(["orders"]), MemoryStore()
    broker.dead.append(("orders", TaskKey("t1", 1)))
    await store.accept([queued()])
    assert await DeadLetterReconciler(broker, store, store, HandClock(), Notes()).run_once() == 1
    assert broker.dead == []
    assert store.tasks["t1"].state is State.RECEIVED
