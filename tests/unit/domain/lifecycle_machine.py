"""The life of tasks as a state machine for Hypothesis, which looks at the promises after each of its steps."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bridge.domain.task import LIVE, BpmnFault, Completion, Failure, Outcome, State
from tests.unit.domain.lifecycle_engine import LOCK, Answer
from tests.unit.domain.lifecycle_model import SECOND, World
from tests.unit.domain.lifecycle_promises import WATCHED, keep_promises, settle

TASKS = 3
DICE = st.integers(0, 2**16 - 1)
KINDS: tuple[type[Outcome], ...] = (Completion, Failure, BpmnFault, Failure)
Thing = TypeVar("Thing")


class Lives(RuleBasedStateMachine):
    """A few tasks, two processes, and whatever may befall them. Each rule takes its choices from one throw."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.start()
        self.fetch_and_keep("p1")

    def fetch_and_keep(self, process: str) -> None:
        self.world.fetch(process)
        while self.world.leases:
            self.world.accept(0)

    @precondition(lambda self: len(self.world.engine.open) + len(self.world.engine.ended_by) < TASKS)
    @rule(dice=DICE)
    def start(self, dice: int) -> None:
        self.world.start()

    @precondition(lambda self: self.world.engine.offers(self.world.now))
    @rule(dice=DICE)
    def fetch(self, dice: int) -> None:
        """Fetch, and keep the leases now or much later."""
        if dice & 2:
            self.fetch_and_keep(_process(dice))
        else:
            self.world.fetch(_process(dice))

    @precondition(lambda self: self.world.leases)
    @rule(dice=DICE)
    def accept(self, dice: int) -> None:
        self.world.accept(dice % len(self.world.leases))

    @precondition(lambda self: self.world.among(*LIVE))
    @rule(dice=DICE)
    def go_on(self, dice: int) -> None:
        """Let a task take its next step, without any disturbance."""
        world, process = self.world, _process(dice)
        task = _one_of(world.among(*LIVE), dice >> 3)
        first = len(world.pending)
        match task.state:
            case State.RECEIVED | State.QUEUED:
                world.publish(process, task, confirmed=True)
                world.land(first)
                if dice & 6:
                    world.deliver(process, world.sent[-1])
            case State.RUNNING if task.claim_id in world.claims:
                world.decide(task.claim_id, _one_of(KINDS, dice >> 1))
            case State.REPORTING:
                world.take_up(process, task)
                world.send(len(world.deliveries) - 1, Answer.GIVEN)
            case _:
                world.wait_for(task)
                world.recover(process, task)
        while len(world.pending) > first:
            world.land(first)
        if world.engine.offers(world.now) and dice & 256:
            self.fetch_and_keep(process)

    @precondition(lambda self: self.world.among(State.RECEIVED))
    @rule(dice=DICE)
    def publish(self, dice: int) -> None:
        """Publish; the confirm comes, or is lost."""
        task = _one_of(self.world.among(State.RECEIVED), dice >> 2)
        self.world.publish(_process(dice), task, confirmed=bool(dice & 2))

    @precondition(lambda self: self.world.sent)
    @rule(dice=DICE)
    def deliver(self, dice: int) -> None:
        """Deliver any message that was ever sent, again and again."""
        self.world.deliver(_process(dice), _one_of(self.world.sent, dice >> 1))

    @precondition(lambda self: self.world.claims)
    @rule(dice=DICE)
    def renew(self, dice: int) -> None:
        """Renew a claim, in time or late."""
        self.world.renew(_one_of(list(self.world.claims), dice))

    @precondition(lambda self: self.world.claims)
    @rule(dice=DICE)
    def decide(self, dice: int) -> None:
        self.world.decide(_one_of(list(self.world.claims), dice >> 2), _one_of(KINDS, dice))

    @precondition(lambda self: self.world.pending)
    @rule(dice=DICE)
    def write(self, dice: int) -> None:
        """Let one of the writes on their way land; one time in four its answer is lost, and it will be repeated."""
        self.world.land((dice >> 2) % len(self.world.pending), answered=bool(dice & 3))

    @precondition(lambda self: self.world.among(State.REPORTING))
    @rule(dice=DICE)
    def take_up_a_report(self, dice: int) -> None:
        self.world.take_up(_process(dice), _one_of(self.world.among(State.REPORTING), dice >> 1))

    @precondition(lambda self: self.world.deliveries)
    @rule(dice=DICE)
    def send(self, dice: int) -> None:
        self.world.send((dice >> 2) % len(self.world.deliveries), _one_of(list(Answer), dice))

    @precondition(lambda self: self.world.among(*WATCHED))
    @rule(dice=DICE)
    def recover(self, dice: int) -> None:
        """Wait until a task is due; then one process sees it, or both do."""
        task = _one_of(self.world.among(*WATCHED), dice >> 2)
        self.world.wait_for(task)
        self.world.recover(_process(dice), task)
        if dice & 2:
            self.world.recover(_process(dice + 1), task)

    @rule(dice=DICE)
    def wait(self, dice: int) -> None:
        """Let locks and claims expire, or a little time pass."""
        self.world.now += LOCK if dice & 1 else 10 * SECOND

    @precondition(lambda self: self.world.engine.offers(self.world.now))
    @rule(dice=DICE)
    def steal(self, dice: int) -> None:
        self.world.steal(_one_of(self.world.engine.offers(self.world.now), dice))

    @precondition(lambda self: self.world.claims or self.world.pending)
    @rule(dice=DICE)
    def crash(self, dice: int) -> None:
        if dice & 6 == 0:
            self.world.crash(_process(dice))

    @precondition(lambda self: self.world.among(State.RECEIVED, State.QUEUED) or self.world.claims)
    @rule(dice=DICE)
    def shut_down(self, dice: int) -> None:
        self.world.release(_process(dice))

    @precondition(lambda self: self.world.among(State.FAILED))
    @rule(dice=DICE)
    def retry(self, dice: int) -> None:
        self.world.revive(_process(dice), _one_of(self.world.among(State.FAILED), dice >> 1))

    @precondition(lambda self: self.exhaustible())
    @rule(dice=DICE)
    def take_the_last_retry(self, dice: int) -> None:
        self.world.exhaust(_one_of(self.exhaustible(), dice))

    def exhaustible(self) -> list[str]:
        waiting = (task.id for task in self.world.among(State.RETRYING))
        return [task_id for task_id in waiting if task_id in self.world.engine.open]

    @precondition(lambda self: any(lock.retries == 0 for lock in self.world.engine.open.values()))
    @rule(dice=DICE)
    def retry_in_the_engine(self, dice: int) -> None:
        for task_id, lock in self.world.engine.open.items():
            if lock.retries == 0:
                self.world.raise_retries(task_id)

    @precondition(lambda self: self.world.engine.open)
    @rule(dice=DICE)
    def cancel(self, dice: int) -> None:
        if dice & 3 == 0:
            self.world.cancel(_one_of(list(self.world.engine.open), dice >> 2))

    @precondition(lambda self: self.world.engine.logs)
    @rule(dice=DICE)
    def keep_no_history(self, dice: int) -> None:
        if dice & 3 == 0:
            self.world.engine.logs = False

    @precondition(lambda self: self.world.engine.ended_by)
    @rule(dice=DICE)
    def put_back(self, dice: int) -> None:
        """Put the engine's database back, to before the end of a task."""
        if dice & 7 == 0:
            self.world.put_back(_one_of(list(self.world.engine.ended_by), dice >> 3))

    @precondition(lambda self: self.world.engine.open or self.world.engine.ended_by)
    @rule(dice=DICE)
    def give_an_id_again(self, dice: int) -> None:
        """Have the engine begin anew, with numbers for ids."""
        if dice & 15 == 0:
            engine = self.world.engine
            self.world.give_id_again(_one_of([*engine.open, *engine.ended_by], dice >> 4))

    @precondition(lambda self: self.world.engine.stolen())
    @rule(dice=DICE)
    def finish_as_thief(self, dice: int) -> None:
        self.world.finish_as_thief(_one_of(self.world.engine.stolen(), dice))

    @invariant()
    def promises_are_kept(self) -> None:
        self.world.now += SECOND
        keep_promises(self.world)

    def teardown(self) -> None:
        settle(self.world)


def _process(dice: int) -> str:
    return f"p{1 + (dice & 1)}"


def _one_of(some: Sequence[Thing], dice: int) -> Thing:
    return some[dice % len(some)]


def walk(seed: int, steps: int) -> World:
    """Let the machine live once by a seed, without the search: many times as fast, and the same on every machine.

    Every second life has rules that it favours, and others that it lacks: what is rare among all is common in some.
    """
    chance = random.Random(seed)
    life = Lives()
    life.world.claim_limit = chance.choice((1, 2))
    rules = []
    for one in Lives.setup_state().rules:
        weight = chance.choice((0, 1, 2, 6)) if seed % 2 else 1
        rules += [one] * (4 if one.function.__name__ == "go_on" else weight)
    for _ in range(steps):
        chosen = chance.choice(rules)
        if all(condition(life) for condition in chosen.preconditions):
            chosen.function(life, dice=chance.getrandbits(16))
            life.promises_are_kept()
    life.teardown()
    return life.world
