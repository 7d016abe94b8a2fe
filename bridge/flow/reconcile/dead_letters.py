"""Dead letters: a task that still waits gets another message, and a message without a task is kept for people."""

from __future__ import annotations

import hashlib

from bridge.domain.dead_letter import DeadLetter, DeadMessage
from bridge.domain.errors import TaskUnreadable
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import State
from bridge.ports.clock import Clock
from bridge.ports.dead_letters import DeadLetters, DeadLetterStore
from bridge.ports.journal import Journal, Level
from bridge.ports.store import TaskStore


class DeadLetterReconciler:
    """Handles each dead letter once. A message is only a pointer: the task's document has the attempts."""

    def __init__(
        self,
        letters: DeadLetters,
        store: TaskStore,
        kept: DeadLetterStore,
        clock: Clock,
        journal: Journal,
        *,
        batch: int = 100,
    ) -> None:
        self._letters = letters
        self._store = store
        self._kept = kept
        self._clock = clock
        self._journal = journal
        self._batch = batch

    async def run_once(self) -> int:
        """Handle the dead letters that wait, up to a batch; return how many."""
        return await self._letters.take(self._batch, self._examine)

    async def keep_undecodable(self, message: DeadMessage) -> None:
        """Keep a message that its subscriber can't read. Raises `StoreError`."""
        await self._keep(message)
        self._journal.write("message_undecodable", level=Level.ERROR, topic=message.topic, reason=message.reason)

    async def _examine(self, message: DeadMessage) -> None:
        try:
            task = None if message.key is None else await self._store.get(message.key.id)
        except TaskUnreadable as error:
            # The task gets another message once a version runs that can read its document.
            self._journal.write("dead_letter_settled", level=Level.WARNING, reason=str(error))
            return
        if task is None or message.key is None:
            await self._keep(message)
            return
        now = self._clock.now()
        waits = task.state is State.QUEUED and task.epoch == message.key.epoch
        if not waits:
            self._journal.write("dead_letter_settled", task=task, reason=message.reason)
            return
        changes = {"updated_at": now, "next_at": now}
        (happened,) = await self._store.move([Move(task.id, Event.STALE, task.epoch, changes=changes)])
        self._journal.write("dead_letter_revived", task=task, level=Level.WARNING, reason=message.reason, kept=happened)

    async def _keep(self, message: DeadMessage) -> None:
        text = message.body.decode("utf-8", "replace") if message.key is None else message.key.id
        task_id = None if message.key is None else message.key.id
        reason = message.reason if message.key is None else f"no such task is kept; {message.reason}"
        name = hashlib.sha256(f"{message.topic}\0{text}".encode()).hexdigest()[:32]
        now = self._clock.now()
        await self._kept.keep_dead_letter(DeadLetter(name, message.topic, reason, text, task_id, now))
        self._journal.write("dead_letter_kept", level=Level.ERROR, topic=message.topic, reason=reason, letter=name)
