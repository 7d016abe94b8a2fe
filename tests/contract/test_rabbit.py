"""What only a real RabbitMQ can show: what stands on the wire, refusals, and connections that are lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from functools import partial

import aio_pika
import orjson
import pytest
from yarl import URL

from bridge.adapters.rabbit_consumer import RabbitConsumer
from bridge.adapters.rabbit_publisher import RabbitPublisher
from bridge.adapters.rabbit_topology import QueueRules, Topology
from bridge.errors import BrokerUnavailable, SetupError
from bridge.ports import Consumer, Depth
from bridge.task import TaskKey
from tests.contract.brokers import (
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

ALPHA = make_topic("alpha")
KEY = TaskKey("task", 3, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
BRIEF = timedelta(milliseconds=300)


class Proxy:
    """Passes bytes on to a server, until told to cut its connections or to hold back what they carry."""

    def __init__(self, host: str, port: int) -> None:
        self.cuts = 0
        self._target = (host, port)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def url(self, original: str) -> str:
        return str(URL(original).with_host("127.0.0.1").with_port(self._port))

    def hold(self) -> None:
        self._flowing.clear()

    def flow(self) -> None:
        self._flowing.set()

    async def close(self) -> None:
        """Cut all connections and refuse new ones, until opened again."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

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
        await asyncio.gather(*pumps)
        self._pumps -= pumps
        self._writers -= {writer, onward}

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                await self._flowing.wait()
                target.write(data)
                await target.drain()
        target.transport.abort()


@pytest.fixture
async def lab(servers: dict[str, str]) -> AsyncIterator[RabbitLab]:
    made = RabbitLab(servers["RABBITMQ_URL"])
    await made.open()
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def proxy(lab: RabbitLab) -> AsyncIterator[Proxy]:
    url = URL(lab.url)
    made = Proxy(url.host or "", url.port or 0)
    await made.open()
    try:
        yield made
    finally:
        made.flow()
        await made.close()


@pytest.fixture
async def publisher(lab: RabbitLab, proxy: Proxy) -> AsyncIterator[RabbitPublisher]:
    """A publisher whose connection runs through the proxy."""
    made = RabbitPublisher(proxy.url(lab.url), lab.exchange, TOPICS, timeout=SHORT)
    await made.open()
    try:
        yield made
    finally:
        proxy.flow()
        await made.close()


async def attached(consumer: Consumer, *, wanted: bool) -> bool:
    return all(is_attached is wanted for is_attached in (await consumer.consuming()).values())


async def fetch(lab: RabbitLab, queue: str, into: asyncio.Queue[aio_pika.abc.AbstractIncomingMessage]) -> None:
    """Take the next message of a queue, waiting for it."""

    async def take(channel: aio_pika.abc.AbstractChannel) -> None:
        source = await channel.get_queue(queue, ensure=False)

        async def taken() -> bool:
            message = await source.get(no_ack=True, fail=False)
            if message is not None:
                into.put_nowait(message)
            return message is not None

        await until(taken)

    await lab.admin(take)


async def inspect(lab: RabbitLab, queue: str) -> aio_pika.abc.AbstractIncomingMessage:
    into: asyncio.Queue[aio_pika.abc.AbstractIncomingMessage] = asyncio.Queue()
    await fetch(lab, f"{lab.exchange}.{queue}", into)
    return into.get_nowait()


async def arrive(inbox: Inbox, wanted: set[TaskKey]) -> None:
    """Acknowledge what comes until all has come; some may come twice."""
    while wanted:
        delivery = await inbox.next()
        wanted.discard(delivery.key)
        with suppress(BrokerUnavailable):
            await delivery.ack()


async def delete_and_redeclare(exchange: str, channel: aio_pika.abc.AbstractChannel) -> None:
    await channel.queue_delete(f"{exchange}.alpha")
    await Topology(exchange).declare(channel, ["alpha"])


async def test_a_message_is_persistent_and_carries_the_key_alone(lab: RabbitLab) -> None:
    await lab.publisher.publish("alpha", [KEY])
    message = await inspect(lab, "alpha")
    assert orjson.loads(message.body) == {"id": "task", "epoch": 3}
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert (message.content_type, message.message_id) == ("application/json", "task:3")
    headers = {name: value for name, value in message.headers.items() if name != "x-delivery-count"}  # RabbitMQ's own
    assert headers == {"traceparent": KEY.trace}
    assert (message.app_id, message.correlation_id, message.reply_to, message.timestamp) == (None,) * 4


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"epoch": 1}', "no id"),
        (b'{"id": 7, "epoch": 1}', "no id"),
        (b'{"id": "task"}', "no epoch"),
        (b'{"id": "task", "epoch": true}', "no epoch"),
        (b'{"id": "task", "epoch": 0}', "no epoch"),
        (b'{"id": "task", "epoch": 99999999999999999999}', "no epoch"),
    ],
)
async def test_an_undecodable_message_goes_to_the_dead_letters(lab: RabbitLab, body: bytes, reason: str) -> None:
    inbox = Inbox()
    await lab.consumer(ALPHA).start(inbox)

    async def send(channel: aio_pika.abc.AbstractChannel) -> None:
        exchange = await channel.get_exchange(lab.exchange)
        await exchange.publish(aio_pika.Message(body, content_type="application/json"), "alpha")

    await lab.admin(send)
    topic, told = await lab.undecodable.get()
    assert topic == "alpha"
    assert reason in told
    assert (await inspect(lab, "dead")).body == body
    await lab.publisher.publish("alpha", [KEY])
    assert (await inbox.next()).key == KEY
    assert inbox.arrived.empty()


async def test_a_message_given_back_too_often_goes_to_the_dead_letters(lab: RabbitLab) -> None:
    rules = QueueRules(delivery_limit=2)
    await lab.publisher.close()
    await lab.admin(lab.remove)
    publisher = RabbitPublisher(lab.url, lab.exchange, TOPICS, timeout=SHORT, rules=rules)
    consumer = RabbitConsumer(lab.url, lab.exchange, [ALPHA], graceful=SHORT, rules=rules)
    inbox = Inbox()
    await publisher.open()
    await consumer.start(inbox)
    await publisher.publish("alpha", [KEY])
    for _ in range(3):
        await (await inbox.next()).requeue()
    assert orjson.loads((await inspect(lab, "dead")).body) == {"id": "task", "epoch": 3}
    await consumer.close()
    await publisher.close()


@pytest.mark.parametrize("side", ["publisher", "consumer"])
async def test_a_queue_with_other_arguments_is_a_clear_error(lab: RabbitLab, side: str) -> None:
    rules = QueueRules(delivery_limit=7)
    publisher = RabbitPublisher(lab.url, lab.exchange, TOPICS, timeout=SHORT, rules=rules)
    consumer = RabbitConsumer(lab.url, lab.exchange, [ALPHA], graceful=SHORT, rules=rules)
    with pytest.raises(SetupError) as caught:
        await (publisher.open() if side == "publisher" else consumer.start(Inbox()))
    text = str(caught.value)
    for part in (f"{lab.exchange}.alpha", "x-delivery-limit", "7", "50", "delete_queue"):
        assert part in text
    assert list(await lab.publisher.publish("alpha", [KEY])) == [None]


def test_a_topic_may_not_run_longer_than_its_delivery_lasts() -> None:
    topic = make_topic("alpha", timeout=3600)
    rules = QueueRules(consumer_timeout=timedelta(hours=1))
    with pytest.raises(SetupError, match="alpha"):
        RabbitConsumer("amqp://localhost", "any", [topic], graceful=SHORT, rules=rules)
    RabbitConsumer("amqp://localhost", "any", [topic], graceful=SHORT)


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
    lab: RabbitLab, proxy: Proxy, publisher: RabbitPublisher
) -> None:
    proxy.hold()
    under_way = asyncio.create_task(publisher.publish("alpha", keys(5)))
    asked = asyncio.create_task(publisher.depth("alpha"))
    await asyncio.sleep(0)
    await asyncio.gather(proxy.close(), release(proxy))
    answers = await under_way
    assert set(kinds(answers)) == {BrokerUnavailable}
    with pytest.raises(BrokerUnavailable):
        await asked
    await proxy.open()
    await publish_until_confirmed(publisher, "alpha", KEY)


async def release(proxy: Proxy) -> None:
    proxy.flow()


async def test_a_silent_connection_confirms_nothing_and_loses_no_queue(lab: RabbitLab, proxy: Proxy) -> None:
    publisher = RabbitPublisher(proxy.url(lab.url), lab.exchange, TOPICS, timeout=BRIEF, repair_after=1)
    await publisher.open()
    assert list(await lab.publisher.publish("alpha", [KEY])) == [None]
    proxy.hold()
    for _ in range(2):
        async with asyncio.timeout(3):
            assert kinds(await publisher.publish("alpha", keys(150))) == [BrokerUnavailable] * 150
            with pytest.raises(BrokerUnavailable):
                await publisher.version()
    assert (await lab.publisher.depth("alpha")).ready == 1
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


async def test_an_outage_that_ends_loses_no_queue(lab: RabbitLab, proxy: Proxy) -> None:
    publisher = BackAgain(proxy.url(lab.url), lab.exchange, TOPICS, timeout=BRIEF, repair_after=1)
    publisher.proxy = proxy
    await publisher.open()
    assert list(await publisher.publish("alpha", [KEY])) == [None]
    await proxy.close()

    async def timed_out() -> bool:
        (end,) = await publisher.publish("alpha", [KEY])
        assert isinstance(end, BrokerUnavailable)
        return isinstance(end.__cause__, TimeoutError)

    await until(timed_out)
    assert (await lab.publisher.depth("alpha")).ready == 1
    await publisher.close()


async def test_a_consumer_comes_back_after_its_connection_was_cut(lab: RabbitLab, proxy: Proxy) -> None:
    consumer = RabbitConsumer(proxy.url(lab.url), lab.exchange, [ALPHA, make_topic("beta")], graceful=BRIEF)
    inbox = Inbox()
    await consumer.start(inbox)
    await lab.publisher.publish("alpha", [KEY])
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
    assert await lab.publisher.depth("alpha") == Depth(0, 1)
    await consumer.close()
    assert inbox.arrived.empty()


async def test_a_consumer_stopped_while_the_broker_is_away_does_not_come_back(lab: RabbitLab, proxy: Proxy) -> None:
    consumer = RabbitConsumer(proxy.url(lab.url), lab.exchange, [ALPHA], graceful=BRIEF, timeout=BRIEF)
    await consumer.start(Inbox())
    await proxy.close()
    await until(partial(attached, consumer, wanted=False))
    await consumer.stop()
    await proxy.open()
    await lab.publisher.publish("alpha", [KEY])
    await consumer.close()
    assert await lab.publisher.depth("alpha") == Depth(1, 0)


async def test_a_consumer_works_on_after_its_queue_was_repaired(lab: RabbitLab) -> None:
    consumer, inbox = lab.consumer(ALPHA, make_topic("beta")), Inbox()
    await consumer.start(inbox)
    await lab.publisher.publish("alpha", keys(2))
    for delivery in await inbox.take(2):
        await delivery.ack()
    await lab.publisher.repair("alpha")
    # More than the prefetch, so that what is delivered to nobody shows.
    assert set(await lab.publisher.publish("alpha", keys(10, "later"))) == {None}
    await arrive(inbox, set(keys(10, "later")))


async def test_a_consumer_that_is_left_without_deliveries_connects_anew(lab: RabbitLab) -> None:
    consumer = RabbitConsumer(lab.url, lab.exchange, [ALPHA], graceful=BRIEF, stalled_after=BRIEF)
    inbox = Inbox()
    await consumer.start(inbox)
    # Declared again so soon, the queue keeps its consumer in RabbitMQ 3.10, which is sent nothing any more.
    await lab.admin(partial(delete_and_redeclare, lab.exchange))
    assert set(await lab.publisher.publish("alpha", keys(10))) == {None}
    arrivals = asyncio.create_task(arrive(inbox, set(keys(10))))

    async def arrived() -> bool:
        await consumer.consuming()
        return arrivals.done()

    await until(arrived)
    await arrivals
    assert await consumer.consuming() == {"alpha": True}
    await consumer.close()
