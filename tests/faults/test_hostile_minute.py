"""A minute in which all that is hostile is at work at once: the gateway answers, keeps its memory, and works."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final

import aiohttp
import orjson
import psutil
from aio_pika.abc import AbstractChannel
from aiohttp import web

from tests.contract.hostile_engine import SPOILED
from tests.contract.hostile_publisher import HOSTILE, publish_hostile
from tests.e2e.gateways import TIME_LIMIT
from tests.faults.lab import FaultLab, FaultyGateway
from tests.faults.spoiling import RowSpoiler
from tests.faults.test_hostile import counted
from tests.faults.test_messages import channel_to
from tests.pause import pause

MINUTE: Final = 60.0
GROWTH: Final = 150_000_000
"""Bytes by which the process may grow meanwhile; docs/explanation/performance.md has what it grew by, within 100 MB.

Without limits one answer of 200 MB would take more, or one body of nine million brackets.
"""
PROBE_WITHIN: Final = 15.0
"""Seconds, in which every probe is answered, however busy the machine is that servers and tests share."""
SLOW: Final[dict[str, tuple[int, bytes, bytes]]] = {
    "silent": (50, b"", b""),
    "slow head": (100, b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n", b"x: y\r\n"),
    "slow body": (50, b"POST /tasks/submit HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n", b"{"),
}
"""By kind: how many connections, what each begins with, and what it sends every two seconds."""
_BOMB_EVERY: Final = 10


class Bomber(RowSpoiler):
    """Spoils a row of every fetch, and sends 200 MB in a fifth of a megabyte in place of every tenth."""

    def __init__(self, url: str) -> None:
        super().__init__(url, SPOILED * 100)
        self._bomb = gzip.compress(b"[" + b" " * 200_000_000)
        self._fetches = 0
        self.bombs = 0

    async def _pass_on(self, request: web.BaseRequest, body: bytes) -> web.Response:
        answer = await super()._pass_on(request, body)
        # A fetch of one task is left: where that is too large alone, it is an incident.
        if not request.path.endswith("/fetchAndLock") or orjson.loads(body)["maxTasks"] < 2 or answer.body == b"[]":
            return answer
        self._fetches += 1
        if self._fetches % _BOMB_EVERY:
            return answer
        self.bombs += 1
        return web.Response(body=self._bomb, headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})


class HostileMinute:
    """What is at work, until `is_over`; each kind counts what it did and what came of it."""

    def __init__(self, gateway: FaultyGateway, topic: str, seconds: float) -> None:
        self._gateway = gateway
        self._topic = topic
        self._until = time.monotonic() + seconds
        self._process = psutil.Process(gateway.process.pid)
        self.before = self._process.memory_info().rss
        self.most = self.before
        self.probes: list[float] = []
        self.answers: Counter[int | str] = Counter()
        self.closed: Counter[str] = Counter()
        self.messages = 0

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._until

    async def probe(self) -> None:
        """Ask for life on a new connection each time, as a kubelet does; look at the memory meanwhile."""
        connector = aiohttp.TCPConnector(force_close=True)
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            while not self.is_over:
                began = time.perf_counter()
                async with session.get(f"{self._gateway.url}/health/live") as answer:
                    assert answer.status == 200
                self.probes.append(time.perf_counter() - began)
                self.most = max(self.most, self._process.memory_info().rss)
                await pause()

    async def submit(self) -> None:
        """Send bodies, queries and header lines that are as large as they may be, and larger."""
        whole = {"task_id": "hostile", "worker_id": "w", "topic": self._topic}
        bodies = (
            orjson.dumps({**whole, "variables": {"token": "eyJ" * 3_200_000}}),
            orjson.dumps({**whole, "variables": {f"v{number}": number for number in range(200_000)}}),
            b"[" * 9_000_000,
            b"{" + b'"a":' * 2_000_000,
            b"x" * 11_000_000,
        )
        headers = {"Content-Type": "application/json"}
        async with aiohttp.ClientSession(headers=headers) as session:
            for number in itertools.count():
                if self.is_over:
                    return
                url = f"{self._gateway.url}/tasks"
                with suppress(aiohttp.ClientError):
                    async with session.post(f"{url}/submit", data=_streamed(bodies[number % len(bodies)])) as answer:
                        self.answers[answer.status] += 1
                with suppress(aiohttp.ClientError):
                    async with session.get(f"{url}?after={'a' * 60_000}") as answer:
                        self.answers[answer.status] += 1
                with suppress(aiohttp.ClientError):
                    async with session.get(url, headers={"X-Large": "a" * 1_000_000}) as answer:
                        self.answers[answer.status] += 1

    async def publish(self, exchange: str, channel: AbstractChannel) -> None:
        """Publish each hostile message again and again, to the topic and to the dead letters."""
        while not self.is_over:
            for message in HOSTILE:
                for dead in (False, True):
                    await publish_hostile(exchange, message, channel, routing_key=self._topic, to_the_dead=dead)
                    self.messages += 1
                await pause()

    async def trickle(self, kind: str) -> None:
        """Hold a connection for as long as the server lets it be, and then another."""
        _, begin, drop = SLOW[kind]
        while not self.is_over:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._gateway.port)
            writer.write(begin)
            with suppress(ConnectionError):
                while not self.is_over:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(2):
                            while await reader.read(4096):
                                pass
                            break
                    writer.write(drop)
            self.closed[kind] += not self.is_over
            writer.close()


async def _streamed(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


async def _work(faults: FaultLab, key: str, is_over: Callable[[], bool]) -> list[str]:
    """Start honest instances all the time; return the ids of their tasks."""
    tasks: list[str] = []
    while not is_over():
        tasks += await faults.begin(key, 10)
        while not is_over() and await faults.finished(key) < len(tasks):
            await pause()
    return tasks


async def test_a_hostile_minute_costs_nobody_else(faults: FaultLab) -> None:
    key = await faults.counted(concurrency=20)
    async with Bomber(faults.engine_url) as proxy, channel_to(faults) as channel:
        assert isinstance(proxy, Bomber)
        gateway = await faults.faulty(CAMUNDA_URL=proxy.url, LOCK_DURATION="15", LOG_LEVEL="INFO")
        tasks = await faults.begin(key, 50)
        await faults.until_finished(key, 50)
        minute = HostileMinute(gateway, faults.topic("work"), MINUTE)
        async with asyncio.timeout(TIME_LIMIT), asyncio.TaskGroup() as group:
            working = group.create_task(_work(faults, key, lambda: minute.is_over))
            for begun in (minute.probe(), minute.submit()):
                group.create_task(begun)
            group.create_task(minute.publish(faults.env["RABBITMQ_EXCHANGE"], channel))
            for kind, (count, _, _) in SLOW.items():
                for _ in range(count):
                    group.create_task(minute.trickle(kind))
        tasks += working.result()
        _tell(minute, proxy, len(tasks))
        await faults.until_finished(key, len(tasks))
        await faults.assert_each_once(key, tasks)
        assert len(faults.runs()) == len(tasks), "no handler ran twice"
        assert len(minute.probes) > MINUTE, "each was answered, one a second at the least"
        assert max(minute.probes) < PROBE_WITHIN
        assert minute.most - minute.before < GROWTH
        # all of it happened
        assert len(proxy.done) >= len(SPOILED)
        assert proxy.bombs > 0
        assert gateway.events("answer_too_large")
        assert minute.messages > 100
        assert {kind: minute.closed[kind] >= count for kind, (count, _, _) in SLOW.items()} == dict.fromkeys(SLOW, True)
        assert {400, 431} <= minute.answers.keys()
        assert await counted(gateway, 'gateway_http_connections_refused_total{reason="head_too_slow"}') >= 150
        assert await counted(gateway, 'gateway_http_connections_refused_total{reason="body_too_slow"}') >= 50
        assert gateway.events("intake_error") == gateway.events("fetch_error") == []
        assert await gateway.stop() == 0


def _tell(minute: HostileMinute, proxy: Bomber, tasks: int) -> None:
    """Write the figures to where the performance page takes them from."""
    probes = sorted(minute.probes)
    sys.stdout.write(
        f"probes {len(probes)}, p50 {1000 * probes[len(probes) // 2]:.0f} ms, "
        f"p99 {1000 * probes[len(probes) * 99 // 100]:.0f} ms, most {1000 * probes[-1]:.0f} ms; "
        f"memory {minute.before / 1e6:.0f} MB, at most +{(minute.most - minute.before) / 1e6:.0f} MB; "
        f"tasks {tasks}, spoiled rows {len(proxy.done)}, bombs {proxy.bombs}, messages {minute.messages}; "
        f"answers {dict(minute.answers)}, closed {dict(minute.closed)}\n"
    )
