"""What is in memory outlives a reload of `gateway dev --memory`, and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from bridge.adapters.memory.store import MemoryStore
from bridge.domain.access import Role as AccessRole
from bridge.domain.errors import SetupError
from bridge.domain.task import State, TypedValue
from bridge.registry import Registry
from bridge.testing import RecordingLog
from bridge.topic import Context, Topic, topic
from gateway.dev.memory import MemoryServers
from gateway.process import Process
from gateway.settings import Role, Settings
from gateway.wiring import Gateway
from tests.unit.fakes import Notes

SETTINGS = Settings(
    host="127.0.0.1", port=0, poll_wait=0.05, auth="open", insecure_cookies=True, gateway_admin_user="ada",
    gateway_admin_password="correct horse battery staple", shutdown_grace=0, sweep_every=0.1,
)  # fmt: skip


class Words(BaseModel):
    text: str


@topic("count", retries=1)
async def count(words: Words) -> dict[str, int]:
    if not words.text:
        raise ValueError("no words")
    return {"words": len(words.text.split())}


class Running:
    """A whole gateway on what is in memory."""

    def __init__(self, servers: MemoryServers, topic: Topic[Any, Any] = count) -> None:
        self.notes = Notes()
        self.stop = asyncio.Event()
        self.gateway = Gateway(
            SETTINGS, frozenset(Role), Registry({"count": topic}), self.notes, lambda _t, _s: RecordingLog(),
            neighbours=servers,
        )  # fmt: skip
        self._task = asyncio.create_task(Process(self.gateway, self.stop).run())

    async def end(self) -> None:
        self.stop.set()
        async with asyncio.timeout(20):
            await self._task


async def test_a_gateway_without_servers_works_a_task_and_the_next_one_knows_of_it(tmp_path: Path) -> None:
    servers = MemoryServers()
    first = Running(servers)
    done = servers.fake_engine.add("count", {"text": TypedValue("String", "three short words")})
    await first.notes.until("outcome_settled")
    await first.end()
    servers.fake_engine.add("count", {"text": TypedValue("String", "two words")}, business_key="left")
    servers.save(tmp_path / "kept")

    after = MemoryServers()
    after.load(tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    second = Running(after)
    await second.notes.until("outcome_settled")
    kept = await second.gateway.store.get(done)
    assert kept is not None
    assert kept.state is State.COMPLETED
    person = await second.gateway.access_store.user("ada")
    assert person is not None
    assert person.role is AccessRole.ADMIN
    await second.end()
    for event in ("shutdown_step_failed", "loop_error", "connect_failed"):
        assert not first.notes.of(event) + second.notes.of(event)


async def test_a_task_under_way_at_a_reload_runs_again_and_has_spent_no_retry(tmp_path: Path) -> None:
    begun = asyncio.Event()

    @topic("count", retries=1)
    async def endless(words: Words, context: Context) -> None:
        begun.set()
        await asyncio.Event().wait()

    servers = MemoryServers()
    first = Running(servers, endless)
    task_id = servers.fake_engine.add("count", {"text": TypedValue("String", "two words")})
    async with asyncio.timeout(20):
        await begun.wait()
    await first.end()
    assert first.notes.of("task_released")
    servers.save(tmp_path / "kept")

    after = MemoryServers()
    after.load(tmp_path / "kept")
    waiting = await after.fake_engine.get(task_id)
    assert (waiting.retries, waiting.lock_until) == (None, None)
    second = Running(after)
    await second.notes.until("outcome_settled")
    kept = await second.gateway.store.get(task_id)
    assert kept is not None
    assert (kept.state, kept.attempts, kept.retries) == (State.COMPLETED, 2, 1)
    await second.end()


async def test_what_can_not_be_handed_on_is_told(tmp_path: Path) -> None:
    class Local:
        pass

    servers = MemoryServers()
    store = servers.store(SETTINGS)
    assert isinstance(store, MemoryStore)
    store.records["charge", "A-17"] = {"made_by": Local()}
    with pytest.raises(SetupError, match="can't be handed on, and is lost"):
        servers.save(tmp_path / "kept")
    MemoryServers().load(tmp_path / "kept")  # there is nothing: it begins empty
    (tmp_path / "kept").write_bytes(b"cut")
    with pytest.raises(SetupError, match="can't be read, and is lost"):
        MemoryServers().load(tmp_path / "kept")
