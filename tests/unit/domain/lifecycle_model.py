"""A small world around the store: an engine, a broker, and processes that read, act, and write down later.

Whoever moves a task reads it, does something outside, and only then writes. What is not yet written waits in `pending`,
where it may land late, twice (its answer was lost), or never (a crash): each race of the design is an order of these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from bridge.adapters.memory.store import MemoryStore
from bridge.domain.lifecycle import Event, Move, delivered, leased_by, shows_failure
from bridge.domain.task import BpmnFault, Completion, Failure, Outcome, State, Task, TaskKey, TypedValue
from bridge.ports.store import ClaimRequest
from tests.unit.domain.lifecycle_engine import LOCK, THIEF, Answer, Engine, Lock

SECOND = timedelta(seconds=1)
CLAIM = 30 * SECOND
LOOK = 20 * SECOND
INCIDENT_LOOK = 90 * SECOND
RETRIES = 1
ENDS = frozenset({Event.DELIVERED_COMPLETION, Event.ENDED_BY_US, Event.END_UNKNOWN, Event.GONE})

Value = TypeVar("Value")


def done(call: Coroutine[Any, Any, Value]) -> Value:
    """Return what a coroutine of the store returns; one in memory has nothing to wait for."""
    try:
        call.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    raise AssertionError("the store in memory waits for something")


@dataclass(slots=True)
class Held:
    """A claim as its holder believes in it; `over` is the truth: it was decided."""

    process: str
    task: Task
    until: datetime
    over: bool = False


@dataclass(slots=True)
class Pending:
    """A write on its way."""

    process: str
    move: Move
    unlocks: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A write that happened."""

    event: Event | None
    before: Task | None
    after: Task
    at: datetime
    move: Move | None = None


class World:
    """Everything there is. Its methods are what may happen; `written` and `refused` tell what the last step wrote."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.claim_limit = 2
        self.engine = Engine()
        self.store = MemoryStore()
        self.sent: list[TaskKey] = []
        self.leases: list[tuple[str, Task]] = []
        self.deliveries: list[tuple[str, Task]] = []
        self.pending: list[Pending] = []
        self.claims: dict[str, Held] = {}
        self.decided: Counter[tuple[str, int]] = Counter()
        self.written: list[Written] = []
        self.refused: list[Move] = []
        self.happened: Counter[Event] = Counter()
        self._names: Counter[str] = Counter()

    def name(self, kind: str) -> str:
        self._names[kind] += 1
        return f"{kind}{self._names[kind]}"

    def task(self, task_id: str) -> Task:
        return self.store.tasks[task_id]

    def among(self, *states: State) -> list[Task]:
        return [task for task in self.store.tasks.values() if task.state in states]

    # the outside

    def start(self) -> None:
        self.engine.open[self.name("t")] = Lock()

    def cancel(self, task_id: str) -> None:
        self.engine.end(task_id, None)

    def steal(self, task_id: str) -> None:
        self.engine.lock(task_id, THIEF, self.now)

    def finish_as_thief(self, task_id: str) -> None:
        self.engine.end(task_id, THIEF)

    def put_back(self, task_id: str) -> None:
        self.engine.put_back(task_id)

    def give_id_again(self, task_id: str) -> None:
        self.engine.give_id_again(task_id, self.name("other"))

    def crash(self, process: str) -> None:
        self.leases = [lease for lease in self.leases if lease[0] != process]
        self.deliveries = [delivery for delivery in self.deliveries if delivery[0] != process]
        self.pending = [write for write in self.pending if write.process != process]
        self.claims = {name: held for name, held in self.claims.items() if held.process != process}

    # intake and relay

    def fetch(self, process: str) -> None:
        for task_id in self.engine.offers(self.now):
            worker, lock = self.name("w"), self.engine.open[task_id]
            self.engine.lock(task_id, worker, self.now)
            retries = RETRIES if lock.retries is None else lock.retries - 1
            task = Task(
                task_id, "topic", worker, self.now + LOCK, self.now, self.now, retries, next_at=self.now + LOOK,
                process_instance_id=lock.instance,
            )  # fmt: skip
            self.leases.append((process, task))

    def accept(self, place: int) -> None:
        process, task = self.leases.pop(place)
        before = self.store.tasks.get(task.id)
        (kept,) = done(self.store.accept([task]))
        if kept is not None:
            self._wrote(leased_by(kept, task), before, kept)
            if shows_failure(task, kept):
                self._expect(process, kept, Event.FAILURE_TAKEN, next_at=self.now + LOOK)

    def publish(self, process: str, task: Task, confirmed: bool) -> None:
        """Publish; where the confirm is lost the broker has the message all the same."""
        self.sent.append(TaskKey(task.id, task.epoch))
        event = Event.CONFIRM if confirmed else Event.RENEW
        self._expect(process, task, event, next_at=self.now + LOOK)

    # handlers

    def deliver(self, process: str, message: TaskKey) -> None:
        """Hand a message to a subscriber, which proves the lock before it claims."""
        task = self.task(message.id)
        if task.state not in {State.RECEIVED, State.QUEUED} or task.epoch != message.epoch:
            self._claim(process, task, message)
            return
        if self._holds(process, task):
            self._claim(process, task, message)

    def _holds(self, process: str, task: Task) -> bool:
        """Extend the lock, and tell whether it is ours."""
        status = self.engine.extend(task.id, task.worker_id, self.now)
        if status == 404:
            self._expect(process, task, Event.GONE)
        elif status == 400 and self.engine.open[task.id].worker != task.worker_id:
            self._expect(process, task, Event.SUPERSEDE, error="stolen")
        return status == 204

    def _claim(self, process: str, before: Task, message: TaskKey) -> None:
        claim_id, until = self.name("c"), self.now + CLAIM
        (after,) = done(self.store.claim([ClaimRequest("topic", message, claim_id, process, self.now, until)]))
        if after is not None:
            self.claims[claim_id] = Held(process, after, until)
            self._wrote(Event.CLAIM, before, after)

    def renew(self, claim_id: str) -> None:
        held = self.claims[claim_id]
        if self._holds(held.process, held.task):
            self._expect(held.process, held.task, Event.RENEW, claim_id, next_at=self.now + CLAIM)

    def decide(self, claim_id: str, kind: type[Outcome]) -> None:
        """Let the handler end; a zombie doesn't know that it is one."""
        held = self.claims[claim_id]
        outcome: Outcome = Completion({"by": TypedValue("String", claim_id)})
        if kind is BpmnFault:
            outcome = BpmnFault(claim_id)
        elif kind is Failure:
            outcome = Failure("ValueError", claim_id, "", held.task.retries)
        self._expect(held.process, held.task, Event.DECIDE, claim_id, outcome=outcome, next_at=self.now)

    def release(self, process: str) -> None:
        """Shut down: give back what the process holds, and what waits."""
        for claim_id, held in list(self.claims.items()):
            if held.process == process:
                del self.claims[claim_id]
                self._expect(process, held.task, Event.RELEASE, claim_id, next_at=self.now + LOOK)
                self.pending[-1].unlocks = held.task.worker_id
        for task in self.among(State.RECEIVED, State.QUEUED):
            self._expect(process, task, Event.RELEASE, next_at=self.now + LOOK)
            self.pending[-1].unlocks = task.worker_id

    # reports

    def send(self, place: int, answer: Answer) -> None:
        process, task = self.deliveries.pop(place)
        outcome = task.outcome
        assert outcome is not None, "a task is REPORTING and has nothing to report"
        if answer is Answer.REFUSED:
            incident = Failure("refused", "", "", 0)
            if self.engine.report(task.id, task.worker_id, incident, self.now) == 204:
                self._expect(process, task, Event.UNDELIVERABLE, next_at=self.now + INCIDENT_LOOK)
            else:
                self._expect(process, task, Event.DEFER, next_at=self.now + LOOK)
            return
        status = self.engine.report(task.id, task.worker_id, outcome, self.now)
        if answer is Answer.LOST:
            self._expect(process, task, Event.DEFER, next_at=self.now + LOOK)
        elif status == 204 and delivered(outcome) is Event.DELIVERED_RETRY:
            self._expect(process, task, Event.DELIVERED_RETRY, next_at=self.now)
        elif status == 204 and delivered(outcome) is Event.DELIVERED_INCIDENT:
            self._expect(process, task, Event.DELIVERED_INCIDENT, next_at=self.now + INCIDENT_LOOK)
        elif status == 204:
            self._expect(process, task, delivered(outcome))
        elif task.id in self.engine.open:
            self._expect(process, task, Event.SUPERSEDE, error="stolen")
        elif not self.engine.logs:
            self._expect(process, task, Event.END_UNKNOWN)
        elif self.engine.ended_by[task.id] == task.worker_id and answer is not Answer.NO_LOG:
            self._expect(process, task, Event.ENDED_BY_US)
        else:
            self._expect(process, task, Event.GONE)

    # recovery and operators

    def recover(self, process: str, task: Task) -> None:
        """See a task that is due, and take it before anything else, so that one process handles it.

        What is written then goes by what was seen: a task that was renewed or taken meanwhile is due no longer.
        """
        seen = self.now
        match task.state:
            case State.RUNNING if task.lost_claims + 1 >= self.claim_limit:
                outcome = Failure("ClaimsLost", str(task.epoch), "", 0)
                self._expect(process, task, Event.GIVE_UP, task.claim_id, seen, outcome=outcome, next_at=seen)
            case State.RUNNING:
                self._expect(process, task, Event.LOSE_CLAIM, task.claim_id, seen, next_at=seen)
            case _:
                self._expect(process, task, Event.TAKE, due_by=seen, next_at=seen + LOOK)

    def _look_after(self, process: str, task: Task) -> None:
        """Do the next step of a task that the process has just taken."""
        match task.state:
            case State.RECEIVED:
                self.publish(process, task, confirmed=True)
            case State.QUEUED:
                self._expect(process, task, Event.STALE, next_at=self.now)
            case State.REPORTING:
                self.take_up(process, task)
            case State.RETRYING:
                self._nudge(process, task)
            case State.FAILED if task.id not in self.engine.open:
                self._expect(process, task, Event.GONE)
            case State.FAILED:
                self._expect(process, task, Event.TAKE, next_at=self.now + INCIDENT_LOOK)

    def take_up(self, process: str, task: Task) -> None:
        """Have an outcome delivered, be it due or not: who decided doesn't wait for that."""
        self.deliveries.append((process, task))

    def _nudge(self, process: str, task: Task) -> None:
        """Ask the engine what became of a retry that it should have offered again."""
        lock = self.engine.open.get(task.id)
        if lock is None:
            self._expect(process, task, Event.GONE)
        elif lock.worker != task.worker_id and not self.engine.is_free(task.id, self.now):
            self._expect(process, task, Event.SUPERSEDE, error="stolen")
        elif lock.retries == 0:
            self._expect(process, task, Event.EXHAUSTED, error="no retries left", next_at=self.now + INCIDENT_LOOK)
        else:
            self._expect(process, task, Event.DEFER, next_at=self.now + LOOK)

    def wait_for(self, task: Task) -> None:
        """Let time pass until a task is due."""
        if task.next_at is not None:
            self.now = max(self.now, task.next_at)

    def revive(self, process: str, task: Task) -> None:
        """Let an operator try a failed task again: in the engine first, which may offer it before that is written."""
        if task.id not in self.engine.open:
            self._expect(process, task, Event.GONE)
            return
        if self.engine.open[task.id].worker == task.worker_id:
            self.raise_retries(task.id)
        self._expect(process, task, Event.REVIVE, next_at=self.now)

    def exhaust(self, task_id: str) -> None:
        """Let somebody take a task's last retry away in the engine."""
        self.engine.open[task_id].retries = 0

    def raise_retries(self, task_id: str) -> None:
        """Let an operator use the engine's own pages."""
        self.engine.open[task_id].retries = RETRIES
        self.engine.open[task_id].until = None

    # writes

    def _expect(
        self,
        process: str,
        task: Task,
        event: Event,
        claim_id: str | None = None,
        due_by: datetime | None = None,
        **changes: Any,
    ) -> None:
        changes["updated_at"] = self.now
        if event in ENDS:
            changes["finished_at"] = self.now
        move = Move(task.id, event, task.epoch, claim_id, changes, due_by=due_by)
        self.pending.append(Pending(process, move))

    def land(self, place: int, answered: bool = True) -> None:
        """Let a pending write happen; whoever gets no answer doesn't go on, and will write it again."""
        write = self.pending[place]
        if answered:
            del self.pending[place]
        move, before = write.move, self.task(write.move.task_id)
        held = self.claims.get(move.claim_id or "")
        (happened,) = done(self.store.move([move]))
        if happened:
            self._wrote(move.event, before, self.task(move.task_id), move)
            self._follow(write, before, held)
        else:
            self.refused.append(move)
        if happened and answered and move.event is Event.TAKE and move.due_by is not None:
            self._look_after(write.process, self.task(move.task_id))
        if answered and move.claim_id and (move.event is Event.DECIDE or (move.event is Event.RENEW and not happened)):
            self.claims.pop(move.claim_id, None)

    def _follow(self, write: Pending, before: Task, held: Held | None) -> None:
        """Do what follows from a write that happened."""
        move = write.move
        if move.event in {Event.DECIDE, Event.GIVE_UP}:
            self.decided[before.id, before.epoch] += 1
        if held is not None and move.event is Event.RENEW:
            held.until = move.changes["next_at"]
        elif held is not None and move.event is Event.DECIDE:
            held.over = True
        if write.unlocks is not None:
            self.engine.unlock(move.task_id, write.unlocks)

    def _wrote(self, event: Event | None, before: Task | None, after: Task, move: Move | None = None) -> None:
        self.written.append(Written(event, before, after, self.now, move))
        if event is not None:
            self.happened[event] += 1
