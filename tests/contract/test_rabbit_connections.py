"""What only a real RabbitMQ can show of connections: refused, silent, cut, and back again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import aio_pika
import pytest
from aio_pika.exceptions import ChannelInvalidStateError
from yarl import URL

from bridge.adapters.rabbitmq.connection import LOGGER
from bridge.adapters.rabbitmq.consumer import RabbitConsumer
from bridge.adapters.rabbitmq.publisher import RabbitPublisher
from bridge.domain.errors import BrokerUnavailable
from bridge.ports.broker import Consumer, Depth
from sandbox.proxies.listener import Listener
from tests.contract.brokers import (
    ALPHA,
    BRIEF,
    KEY,
    SHORT,
    TOPICS,
    Inbox,
    RabbitLab,
    keys,
    kinds,
    make_topic,
    publish_until_confirmed,
    until,
)
from tests.pause import pause
from tests.ports import free_port

QUEUE_DELETE = b"\x00\x32\x00\x28"
"""Class 50, method 40 (AMQP 0-9-1)."""


class Proxy:
    """Passes bytes on to a server, until told to cut its connections or to hold back what they carry."""

    def __init__(self, host: str, port: int) -> None:
        self.cuts = 0
        self._target = (host, port)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.holds = asyncio.Event()
        self._hold_at: bytes | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._listener = Listener(self._accept, port=free_port())

    async def open(self) -> None:
        await self._listener.open()

    def url(self, original: str) -> str:
        return str(URL(original).with_host("127.0.0.1").with_port(self._listener.port))

    def hold(self) -> None:
        self._flowing.clear()

    def hold_at(self, marker: bytes) -> None:
        """Hold back what has the marker in it, and all that comes after."""
        self._hold_at = marker

    def flow(self) -> None:
        self._flowing.set()

    async def close(self) -> None:
        """Cut all connections and refuse new ones, until opened again."""
        await self.cut()
        await self._listener.close()

    async def cut(self) -> None:
        self.cuts += len(self._writers)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._pumps)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection(*self._target)
        self._writers |= {writer, onward}
        pumps = {asyncio.create_task(self._pump(*pair)) for pair in ((reader, onward), (there, writer))}
        self._pumps |= pumps
        try:
            await asyncio.gather(*pumps)
        finally:
            self._pumps -= pumps
            self._writers -= {writer, onward}
            onward.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                if self._hold_at is not None and self._hold_at in data:
                    self._hold_at = None
                    self.hold()
                if not self._flowing.is_set():
                    self.holds.set()
                await self._flowing.wait()
                target.write(data)
                await target.drain()
        target.transport.abort()


@pytest.fixture
async def proxy(rabbit: RabbitLab) -> AsyncIterator[Proxy]:
    url = URL(rabbit.url)
    made = Proxy(url.host or "", url.port or 0)
    await made.open()
    try:
        yield made
    finally:
        made.flow()
        await made.close()


@pytest.fixture
async def publisher(rabbit: RabbitLab, proxy: Proxy) -> AsyncIterator[RabbitPublisher]:
    """A publisher whose connection runs through the proxy."""
    made = RabbitPublisher(proxy.url(rabbit.url), rabbit.exchange, TOPICS, timeout=SHORT)
    await made.open()
    try:
        yield made
    finally:
        proxy.flow()
        await made.close()


async def attached(consumer: Consumer, *, wanted: bool) -> bool:
    return all(is_attached is wanted for is_attached in (await consumer.consuming()).values())


@pytest.mark.parametrize("how", ["refuses", "is silent"])
@pytest.mark.parametrize("side", ["publisher", "consumer"])
async def test_a_broker_that_is_away_is_unavailable_in_bounded_time(proxy: Proxy, how: str, side: str) -> None:
    url = proxy.url("amqp://guest:secret-word@localhost/")
    if how == "refuses":
        await proxy.close()
    else:
        proxy.hold()
    publisher = RabbitPublisher(url, "test.away", TOPICS, timeout=BRIEF)
    consumer = RabbitConsumer(url, "test.away", [ALPHA], graceful=BRIEF, timeout=BRIEF)
    async with asyncio.timeout(4):
        with pytest.raises(BrokerUnavailable) as caught:
            await (publisher.open() if side == "publisher" else consumer.start(Inbox()))
        assert "secret-word" not in str(caught.value)
        assert await consumer.consuming() == {"alpha": False}
        assert kinds(await publisher.publish("alpha", keys(2))) == [BrokerUnavailable] * 2
        for question in (publisher.depth("alpha"), publisher.version()):
            with pytest.raises(BrokerUnavailable):
                await question
        await consumer.close()
        await publisher.close()


async def test_publishing_goes_on_after_the_connection_was_cut(proxy: Proxy, publisher: RabbitPublisher) -> None:
    await proxy.close()
    assert proxy.cuts
    await proxy.open()
    await publish_until_confirmed(publisher, "alpha", KEY)
    assert await publisher.version()
    assert (await publisher.depth("alpha")).ready >= 1


async def test_refusals_that_come_together_cost_no_connection(publisher: RabbitPublisher) -> None:
    for _ in range(20):
        beside = asyncio.create_task(publisher.publish("alpha", keys(20)))
        answers = await asyncio.gather(*(publisher.depths(["alpha", "no-such-queue"]) for _ in range(20)))
        assert all(answer.keys() == {"alpha"} for answer in answers)
        assert await beside == [None] * 20


async def test_what_is_under_way_when_the_connection_is_cut_is_unconfirmed(
    rabbit: RabbitLab, proxy: Proxy, publisher: RabbitPublisher
) -> None:
    proxy.hold()
    under_way = asyncio.create_task(publisher.publish("alpha", keys(5)))
    asked = asyncio.create_task(publisher.depth("alpha"))
    async with asyncio.timeout(10):
        await proxy.holds.wait()
    await asyncio.gather(proxy.close(), release(proxy))
    answers = await under_way
    assert set(kinds(answers)) == {BrokerUnavailable}
    with pytest.raises(BrokerUnavailable):
        await asked
    await proxy.open()
    await publish_until_confirmed(publisher, "alpha", KEY)


async def release(proxy: Proxy) -> None:
    proxy.flow()


async def test_a_silent_connection_confirms_nothing_and_loses_no_queue(rabbit: RabbitLab, proxy: Proxy) -> None:
    publisher = RabbitPublisher(proxy.url(rabbit.url), rabbit.exchange, TOPICS, timeout=BRIEF, repair_after=1)
    await publisher.open()
    assert list(await rabbit.publisher.publish("alpha", [KEY])) == [None]
    proxy.hold()
    for _ in range(2):
        async with asyncio.timeout(3):
            assert kinds(await publisher.publish("alpha", keys(150))) == [BrokerUnavailable] * 150
            with pytest.raises(BrokerUnavailable):
                await publisher.version()
    assert (await rabbit.publisher.depth("alpha")).ready == 1
    proxy.flow()
    await publish_until_confirmed(publisher, "beta", KEY)
    await publisher.close()


class BackAgain(RabbitPublisher):
    """A publisher whose RabbitMQ is back by the time that it's asked whether it answers."""

    proxy: Proxy

    async def version(self) -> str:
        await self.proxy.open()

        async def back() -> bool:
            return self._link.connected

        await until(back)
        return await super().version()


async def test_an_outage_that_ends_loses_no_queue(rabbit: RabbitLab, proxy: Proxy) -> None:
    publisher = BackAgain(proxy.url(rabbit.url), rabbit.exchange, TOPICS, timeout=BRIEF, repair_after=1)
    publisher.proxy = proxy
    await publisher.open()
    assert list(await publisher.publish("alpha", [KEY])) == [None]
    await proxy.close()

    async def timed_out() -> bool:
        (end,) = await publisher.publish("alpha", [KEY])
        assert isinstance(end, BrokerUnavailable)
        return isinstance(end.__cause__, TimeoutError)

    await until(timed_out)
    assert (await rabbit.publisher.depth("alpha")).ready == 1
    await publisher.close()


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


async def test_a_consumer_comes_back_where_rabbitmq_does_not_close_its_channel(rabbit: RabbitLab) -> None:
    """aiormq gives a channel up after a call without answer, as where a queue has no leader, and asks for its end."""
    consumer = RabbitConsumer(rabbit.url, rabbit.exchange, [ALPHA], graceful=BRIEF)
    inbox = Inbox()
    await consumer.start(inbox)
    subscription = consumer._subscriptions["alpha"]
    raw = subscription._raw
    assert raw is not None
    for tag in tuple(raw.consumers):
        await raw.basic_cancel(tag)
    raw._Channel__close_event.set()  # type: ignore[attr-defined]
    with pytest.raises(ChannelInvalidStateError):
        await raw.basic_qos(prefetch_count=1)
    assert not await subscription.check()
    await until(partial(attached, consumer, wanted=True))
    await rabbit.publisher.publish("alpha", [KEY])
    delivery = await inbox.next()
    await delivery.ack()
    await consumer.close()


async def test_a_consumer_comes_back_after_its_connection_was_cut(rabbit: RabbitLab, proxy: Proxy) -> None:
    consumer = RabbitConsumer(proxy.url(rabbit.url), rabbit.exchange, [ALPHA, make_topic("beta")], graceful=BRIEF)
    inbox = Inbox()
    await consumer.start(inbox)
    await rabbit.publisher.publish("alpha", [KEY])
    delivery = await inbox.next()
    await proxy.close()
    await until(partial(attached, consumer, wanted=False))
    with pytest.raises(BrokerUnavailable):
        await delivery.ack()
    await proxy.open()
    await until(partial(attached, consumer, wanted=True))
    again = await inbox.next()
    assert again.key == KEY
    await again.ack()
    assert await rabbit.publisher.depth("alpha") == Depth(0, 1)
    await consumer.close()
    assert inbox.arrived.empty()


async def test_a_consumer_stopped_while_the_broker_is_away_does_not_come_back(rabbit: RabbitLab, proxy: Proxy) -> None:
    consumer = RabbitConsumer(proxy.url(rabbit.url), rabbit.exchange, [ALPHA], graceful=BRIEF, timeout=BRIEF)
    await consumer.start(Inbox())
    await proxy.close()
    await until(partial(attached, consumer, wanted=False))
    await consumer.stop()
    await proxy.open()
    await rabbit.publisher.publish("alpha", [KEY])
    await consumer.close()
    assert await rabbit.publisher.depth("alpha") == Depth(1, 0)


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
