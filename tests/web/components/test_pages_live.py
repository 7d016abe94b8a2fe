"""Live hints: one watcher for all who listen, what a page has missed, limits, and the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Mapping
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from bridge.domain.access import Role, digest
from bridge.domain.errors import StoreUnavailable
from bridge.ports.changes import NoChanges
from tests.web.auth.access_lab import AccessLab, browser
from web.app import create_app
from web.components.live import EVERYTHING, Live, LiveConfig
from web.dashboard.mount import dashboard_router

QUICK = LiveConfig(every=timedelta(milliseconds=1), heartbeat=timedelta(seconds=30), linger=timedelta(0))


class ChangeTokens:
    """Tokens that a test sets; how often they were asked for is counted."""

    def __init__(self) -> None:
        self.now = {"tasks": "1", "topics": "1"}
        self.asked = 0
        self.error: Exception | None = None
        self.news = asyncio.Event()

    async def change_tokens(self) -> Mapping[str, str]:
        self.asked += 1
        self.news.set()
        if self.error is not None:
            raise self.error
        return dict(self.now)

    async def looked(self) -> None:
        """Return when the tokens were asked for twice more: what was set before is known then."""
        async with asyncio.timeout(5):
            for _ in range(2):
                self.news.clear()
                await self.news.wait()


class Ear:
    """Reads a stream piece by piece."""

    def __init__(self, live: Live, user: str = "ada", last_id: str | None = None, session: str = "") -> None:
        self._stream = live.stream(user, live.cursor if last_id is None else last_id, session)

    async def next(self) -> str:
        async with asyncio.timeout(5):
            return (await anext(self._stream)).decode()

    async def names(self) -> tuple[str, list[str]]:
        """Return the id and the names of the next event."""
        fields = dict(line.split(": ", 1) for line in (await self.next()).strip().splitlines())
        assert fields["event"] == "changed"
        return fields["id"], json.loads(fields["data"])

    async def rest(self) -> list[bytes]:
        async with asyncio.timeout(5):
            return [piece async for piece in self._stream]

    async def close(self) -> None:
        await self._stream.aclose()  # type: ignore[attr-defined]


@pytest.fixture
def ending() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
def tokens() -> ChangeTokens:
    return ChangeTokens()


@pytest.fixture
async def live(tokens: ChangeTokens, ending: asyncio.Event) -> AsyncIterator[Live]:
    yield Live(tokens, ending, QUICK)
    ending.set()


async def listen(live: Live, **options: Any) -> Ear:
    ear = Ear(live, **options)
    assert await ear.next() == "retry: 2000\n\n"
    return ear


async def test_all_hear_what_one_watcher_finds(live: Live, tokens: ChangeTokens) -> None:
    ears = [await listen(live, user=f"u{i}") for i in range(20)]
    assert (await ears[0].names())[1] == [EVERYTHING], "nobody watched as this page was written"
    await tokens.looked()
    before = tokens.asked
    await tokens.looked()
    assert tokens.asked - before == 2, "one question at a time, for all twenty"
    tokens.now["tasks"] = "2"
    del tokens.now["topics"]
    heard = [await ear.names() for ear in ears]
    assert {tuple(names) for _, names in heard} == {("tasks", "topics")}
    assert len({number for number, _ in heard}) == 1


async def test_only_names_go_over_the_wire(live: Live, tokens: ChangeTokens) -> None:
    tokens.now["tasks"] = "secret-1"
    first = await listen(live)
    await tokens.looked()
    tokens.now["tasks"] = "secret-2"
    text = await first.next() + await first.next()
    assert "secret" not in text


async def test_a_page_that_comes_back_hears_what_it_missed(live: Live, tokens: ChangeTokens) -> None:
    keeper, gone = await listen(live), await listen(live)
    await tokens.looked()
    tokens.now["tasks"] = "2"
    last, _ = await gone.names()
    await gone.close()
    for name in ("topics", "workers"):
        tokens.now[name] = "2"
        await tokens.looked()
    back = await listen(live, last_id=last)
    assert (await back.names())[1] == ["topics", "workers"]
    assert (await (await listen(live, last_id="other-3")).names())[1] == [EVERYTHING]
    await keeper.close()


@pytest.mark.parametrize("last_id", ["", "x", "-", "0-1", "0-99999999999999999999", "0-²"])
async def test_an_id_that_is_none_of_ours_has_missed_everything(live: Live, last_id: str) -> None:
    assert (await (await listen(live, last_id=last_id.replace("0-", live._boot + "-"))).names())[1] == [EVERYTHING]


async def test_nobody_is_asked_while_nobody_listens(live: Live, tokens: ChangeTokens) -> None:
    assert (tokens.asked, live.cursor) == (0, "")
    ear = await listen(live)
    await tokens.looked()
    written = live.cursor
    await ear.close()
    watching = live._watching
    assert watching is not None
    async with asyncio.timeout(5):
        await watching
    asked = tokens.asked
    assert (live.listeners, live.cursor) == (0, "")
    back = await listen(live, last_id=written)
    assert (await back.names())[1] == [EVERYTHING]
    assert tokens.asked >= asked


async def test_who_goes_from_page_to_page_misses_nothing(tokens: ChangeTokens, ending: asyncio.Event) -> None:
    live = Live(tokens, ending, LiveConfig(every=timedelta(milliseconds=1), linger=timedelta(seconds=30)))
    ear = await listen(live)
    await tokens.looked()
    written = live.cursor
    await ear.close()
    tokens.now["tasks"] = "2"
    await tokens.looked()
    assert (await (await listen(live, last_id=written)).names())[1] == ["tasks"]
    ending.set()


async def test_signs_of_life_and_the_end_of_a_streams_time(tokens: ChangeTokens, ending: asyncio.Event) -> None:
    short = timedelta(milliseconds=20)
    live = Live(NoChanges(), ending, LiveConfig(heartbeat=short / 4, lifetime=short, linger=timedelta(0)))
    ear = await listen(live)
    await ear.names()
    assert set(await ear.rest()) == {b": still here\n\n"}
    assert live.listeners == 0
    ending.set()


async def test_the_end_of_the_process_ends_every_stream(live: Live, ending: asyncio.Event) -> None:
    ears = [await listen(live) for _ in range(3)]
    await ears[0].names()
    ending.set()
    assert [await ear.rest() for ear in ears] == [[], [], []]
    assert not live.has_capacity_for("ada")


async def test_the_stream_of_a_session_that_has_ended_ends(tokens: ChangeTokens, ending: asyncio.Event) -> None:
    lab = AccessLab()
    live_config = LiveConfig(
        every=timedelta(milliseconds=1), recheck=timedelta(milliseconds=1), heartbeat=timedelta(seconds=30)
    )
    live = Live(tokens, ending, live_config, ended=lab.session_service.ended)
    secrets = {name: await lab.session(Role.VIEWER, name) for name in ("ada", "bob")}
    gone, stays = [
        await listen(live, user=name, last_id="unknown", session=digest(secret)) for name, secret in secrets.items()
    ]
    for ear in (gone, stays):
        await ear.names()
    await lab.accounts.disable("ada")
    assert await gone.rest() == []
    tokens.now["tasks"] = "2"
    assert (await stays.names())[1] == ["tasks"]
    ending.set()


async def test_sessions_are_looked_at_every_three_seconds(tokens: ChangeTokens, ending: asyncio.Event) -> None:
    hands, asked = Hands(), list[frozenset[str]]()

    async def ended(sessions: Collection[str]) -> Collection[str]:
        asked.append(frozenset(sessions))
        return ()

    live = Live(tokens, ending, QUICK, now=hands, ended=ended)
    ears = [await listen(live, user=name, session=name) for name in ("ada", "ada", "bob")]
    for seconds in (0.0, 2.9, 0.1, 2.9):
        hands.at += seconds
        await tokens.looked()
    assert asked == [{"ada", "bob"}] * 2
    assert len(ears) == live.listeners
    ending.set()


async def test_an_outage_is_logged_once_and_ends_nothing(live: Live, tokens: ChangeTokens) -> None:
    ear = await listen(live)
    await ear.names()
    await tokens.looked()
    with capture_logs() as lines:
        tokens.error = StoreUnavailable("away")
        for _ in range(3):
            await tokens.looked()
        tokens.error, tokens.now["tasks"] = None, "2"
        assert (await ear.names())[1] == ["tasks"]
    assert [line["event"] for line in lines] == ["changes_unknown"]


async def test_so_many_pages_and_no_more(stub: Any) -> None:
    lab = AccessLab()
    live_config = LiveConfig(per_user=0)
    app = create_app(stub.dependencies(lab.dependencies), [dashboard_router(lab.dependencies, live_config=live_config)])
    async with browser(app, await lab.session(Role.VIEWER)) as client:
        assert (await client.get("/dashboard/events")).status_code == 429


async def test_the_answer(stub: Any) -> None:
    lab = AccessLab()
    app = create_app(
        stub.dependencies(lab.dependencies),
        [dashboard_router(lab.dependencies, live_config=LiveConfig(lifetime=timedelta(0)))],
    )
    async with browser(app, await lab.session(Role.VIEWER)) as client:
        response = await client.get("/dashboard/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-accel-buffering"] == "no"
    assert "no-store" in response.headers["cache-control"]
    assert response.text == "retry: 2000\n\n"


class Hands:
    """A clock that moves when a test says so."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


async def test_news_come_the_later_the_more_the_last_cost(tokens: ChangeTokens, ending: asyncio.Event) -> None:
    hands = Hands()
    live = Live(
        tokens, ending, LiveConfig(every=timedelta(hours=1), share=0.05, longest=timedelta(seconds=30)), now=hands
    )
    ear = await listen(live)
    assert (await ear.names())[1] == [EVERYTHING]

    await live.run_once()

    async def change(name: str) -> str:
        tokens.now[name] += "."
        await live.run_once()
        return live.cursor

    told = await change("tasks")
    assert (await ear.names())[1] == ["tasks"]
    live.spend(0.1)
    assert await change("tasks") != told, "what is spent counts from the next time on"
    assert (await ear.names())[1] == ["tasks"]
    told = live.cursor
    hands.at += 1.9
    assert await change("topics") == told, "a tenth of a second is a twentieth of two"
    assert await change("tasks") == told
    hands.at += 0.1
    await live.run_once()
    assert (await ear.names())[1] == ["tasks", "topics"], "nothing of it is forgotten"

    live.spend(1000)
    await change("tasks")
    hands.at += 29.9
    told = live.cursor
    assert await change("tasks") == told
    hands.at += 0.1
    assert await change("tasks") != told
    ending.set()


async def test_pages_are_told_one_after_the_other(tokens: ChangeTokens, ending: asyncio.Event) -> None:
    live = Live(tokens, ending, LiveConfig(every=timedelta(hours=1)))
    ears = [await listen(live, user=f"u{number}", last_id="unknown") for number in range(3)]
    for ear in ears:
        await ear.names()
    await live.run_once()
    live.spend(0.02)
    loop = asyncio.get_running_loop()
    heard: list[float] = []

    async def hear(ear: Ear) -> None:
        await ear.names()
        heard.append(loop.time() - began)

    hearing = [asyncio.create_task(hear(ear)) for ear in ears]
    await asyncio.sleep(0)
    tokens.now["tasks"] += "."
    began = loop.time()
    await live.run_once()
    await asyncio.gather(*hearing)
    assert [after >= 0.04 * place for place, after in enumerate(heard)] == [True] * 3
    ending.set()
