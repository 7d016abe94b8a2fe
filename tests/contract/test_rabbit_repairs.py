"""Which queues are out of order and which are not, and how one is deleted and declared anew, on a real RabbitMQ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import aio_pika
import pytest

from bridge.adapters.rabbitmq.connection import LOGGER
from bridge.adapters.rabbitmq.publisher import RabbitPublisher
from bridge.domain.errors import BrokerUnavailable
from bridge.ports.broker import Depth
from tests.contract.brokers import (
    BRIEF,
    KEY,
    SHORT,
    TOPICS,
    RabbitLab,
    until,
)
from tests.contract.rabbit_proxy import Proxy, proxied, release
from tests.pause import pause

QUEUE_DELETE = b"\x00\x32\x00\x28"
"""Class 50, method 40 (AMQP 0-9-1)."""


@pytest.fixture
async def proxy(rabbit: RabbitLab) -> AsyncIterator[Proxy]:
    async with proxied(rabbit.url) as made:
        yield made


class Repairing(RabbitPublisher):
    """A publisher that tells what it repairs, and waits before until it `goes_on`.

    `seen` is what it is told of a queue's depth, the real one where None.
    """

    seen: Depth | None = None
    repaired: int = 0
    goes_on: asyncio.Event | None = None

    async def depth(self, topic: str) -> Depth:
        return await super().depth(topic) if self.seen is None else self.seen

    async def repair(self, topic: str) -> None:
        self.repaired += 1
        if self.goes_on is not None:
            await self.goes_on.wait()
        await super().repair(topic)


async def begun(publisher: Repairing) -> bool:
    return publisher.repaired > 0


@asynccontextmanager
async def refusing(rabbit: RabbitLab) -> AsyncIterator[Repairing]:
    """A publisher whose messages RabbitMQ refuses: a second queue is bound to the topic, and is full."""
    publisher = Repairing(rabbit.url, rabbit.exchange, TOPICS, timeout=BRIEF, refused_for=0.0)
    await publisher.open()
    connection = await aio_pika.connect(rabbit.url)
    async with connection:
        full = await (await connection.channel()).declare_queue(
            f"{rabbit.exchange}.full", arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
        )
        await full.bind(rabbit.exchange, "alpha")
        assert list(await publisher.publish("alpha", [KEY])) == [None]
        yield publisher
        await full.delete(if_empty=False)
    assert list(await publisher.publish("alpha", [KEY])) == [None]
    await publisher.close()


async def test_a_queue_that_is_full_is_left_alone(rabbit: RabbitLab) -> None:
    async with refusing(rabbit) as publisher:
        for _ in range(3):
            (end,) = await publisher.publish("alpha", [KEY])
            assert isinstance(end, BrokerUnavailable)
            assert "Nack" in str(end)
        assert publisher.repaired == 0
        assert (await publisher.depth("alpha")).ready > 0


async def test_a_queue_that_refuses_all_and_has_nothing_is_repaired(rabbit: RabbitLab) -> None:
    """RabbitMQ 3.10 says of a queue whose files are gone that it's empty, and refuses each message for it."""
    async with refusing(rabbit) as publisher:
        publisher.seen = Depth(ready=0, consumers=0)
        await publisher.publish("alpha", [KEY])
        assert publisher.repaired == 1
        publisher.seen = None
        assert (await publisher.depth("alpha")).ready == 0, "it was declared anew"


async def test_a_repair_is_begun_once(rabbit: RabbitLab) -> None:
    async with refusing(rabbit) as publisher:
        publisher.seen, publisher.goes_on = Depth(ready=0, consumers=0), asyncio.Event()
        first = asyncio.create_task(publisher.publish("alpha", [KEY]))
        await until(partial(begun, publisher))
        await publisher.publish("alpha", [KEY])
        assert not first.done()
        publisher.goes_on.set()
        await first
        assert publisher.repaired == 1


async def test_a_deletion_has_longer_than_other_calls(rabbit: RabbitLab, proxy: Proxy) -> None:
    """RabbitMQ takes 5 s to delete a queue without a leader; a second deletion would meet the one declared anew."""
    publisher = RabbitPublisher(proxy.url(rabbit.url), rabbit.exchange, TOPICS, timeout=SHORT)
    await publisher.open()
    publisher._link.timeout = BRIEF.total_seconds()
    try:
        proxy.hold_at(QUEUE_DELETE)
        repair = asyncio.create_task(publisher.repair("alpha"))
        await proxy.holds.wait()
        later = asyncio.get_running_loop().time() + 3 * BRIEF.total_seconds()
        while asyncio.get_running_loop().time() < later:
            await pause()
        assert not repair.done()
        publisher._link.timeout = SHORT.total_seconds()
        proxy.flow()
        await repair
        assert (await publisher.depth("alpha")).ready == 0
    finally:
        proxy.flow()
        await publisher.close()


async def test_a_queue_is_repaired_by_one_connection_at_a_time(
    rabbit: RabbitLab, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Every process sees that a queue is out of order; the second's deletion would meet what the first declared."""
    caplog.set_level("INFO", LOGGER)
    first = RabbitPublisher(proxy.url(rabbit.url), rabbit.exchange, TOPICS, timeout=SHORT)
    await first.open()
    try:
        proxy.hold_at(QUEUE_DELETE)
        repair = asyncio.create_task(first.repair("alpha"))
        await proxy.holds.wait()
        assert list(await rabbit.publisher.publish("alpha", [KEY])) == [None]
        await rabbit.publisher.repair("alpha")
        assert (await rabbit.publisher.depth("alpha")).ready == 1, "the second deleted nothing"
        assert "another process declares it anew" in caplog.text
        proxy.flow()
        await repair
        assert (await rabbit.publisher.depth("alpha")).ready == 0
    finally:
        proxy.flow()
        await first.close()


async def test_a_repair_whose_process_ends_is_left_to_another(rabbit: RabbitLab, proxy: Proxy) -> None:
    first = RabbitPublisher(proxy.url(rabbit.url), rabbit.exchange, TOPICS, timeout=SHORT)
    await first.open()
    proxy.hold_at(QUEUE_DELETE)
    repair = asyncio.create_task(first.repair("alpha"))
    await proxy.holds.wait()
    assert list(await rabbit.publisher.publish("alpha", [KEY])) == [None]
    await asyncio.gather(proxy.close(), release(proxy))
    with pytest.raises(BrokerUnavailable):
        await repair

    async def repaired() -> bool:
        await rabbit.publisher.repair("alpha")
        return (await rabbit.publisher.depth("alpha")).ready == 0

    await until(repaired)
    await first.close()
