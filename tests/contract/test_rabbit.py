"""What only a real RabbitMQ can show: what stands on the wire, refusals, and repairs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import aio_pika
import aiormq
import aiormq.abc
import orjson
import pytest

from bridge.adapters.rabbit_consumer import RabbitConsumer
from bridge.adapters.rabbit_publisher import RabbitPublisher
from bridge.adapters.rabbit_topology import QueueRules, Topology
from bridge.errors import BrokerUnavailable, SetupError
from bridge.ports import Depth
from bridge.task import TaskKey
from tests.contract.brokers import (
    ALPHA,
    BRIEF,
    KEY,
    SHORT,
    TOPICS,
    Inbox,
    RabbitLab,
    keys,
    make_topic,
    until,
)


async def fetch(rabbit: RabbitLab, queue: str, into: asyncio.Queue[aio_pika.abc.AbstractIncomingMessage]) -> None:
    """Take the next message of a queue, waiting for it."""

    async def take(channel: aio_pika.abc.AbstractChannel) -> None:
        source = await channel.get_queue(queue, ensure=False)

        async def taken() -> bool:
            message = await source.get(no_ack=True, fail=False)
            if message is not None:
                into.put_nowait(message)
            return message is not None

        await until(taken)

    await rabbit.admin(take)


async def inspect(rabbit: RabbitLab, queue: str) -> aio_pika.abc.AbstractIncomingMessage:
    into: asyncio.Queue[aio_pika.abc.AbstractIncomingMessage] = asyncio.Queue()
    await fetch(rabbit, f"{rabbit.exchange}.{queue}", into)
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
    raw = await channel.get_underlay_channel()
    await Topology(exchange).declare(raw, f"{exchange}.alpha")


@pytest.mark.parametrize("name", ["Ação/de cobrança 1", "dead", "é" * 255, " a\tb#*", "x" * 255])
async def test_any_topic_of_a_model_has_its_queue(rabbit: RabbitLab, name: str) -> None:
    publisher = RabbitPublisher(rabbit.url, rabbit.exchange, (name,), timeout=SHORT)
    await publisher.open()
    inbox = Inbox()
    consumer = rabbit.consumer(make_topic(name))
    await consumer.start(inbox)
    try:
        assert list(await publisher.publish(name, [KEY])) == [None]
        delivery = await inbox.next()
        assert (delivery.topic, delivery.key) == (name, KEY)
        await delivery.ack()
        assert (await publisher.depth(name)).consumers == 1
        assert (await publisher.depths([name])).keys() == {name}
    finally:
        await consumer.close()
        await publisher.close()
        await rabbit.admin(partial(_delete, Topology(rabbit.exchange).queue_name(name)))


async def _delete(queue: str, channel: aio_pika.abc.AbstractChannel) -> None:
    await channel.queue_delete(queue)


async def test_a_message_is_persistent_and_carries_the_key_alone(rabbit: RabbitLab) -> None:
    await rabbit.publisher.publish("alpha", [KEY])
    message = await inspect(rabbit, "alpha")
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
async def test_an_undecodable_message_goes_to_the_dead_letters(rabbit: RabbitLab, body: bytes, reason: str) -> None:
    inbox = Inbox()
    await rabbit.consumer(ALPHA).start(inbox)

    async def send(channel: aio_pika.abc.AbstractChannel) -> None:
        exchange = await channel.get_exchange(rabbit.exchange)
        await exchange.publish(aio_pika.Message(body, content_type="application/json"), "alpha")

    await rabbit.admin(send)
    topic, told = await rabbit.undecodable.get()
    assert topic == "alpha"
    assert reason in told
    assert (await inspect(rabbit, "dead")).body == body
    await rabbit.publisher.publish("alpha", [KEY])
    assert (await inbox.next()).key == KEY
    assert inbox.arrived.empty()


async def test_a_message_given_back_too_often_goes_to_the_dead_letters(rabbit: RabbitLab) -> None:
    rules = QueueRules(delivery_limit=2)
    await rabbit.publisher.close()
    await rabbit.admin(rabbit.remove)
    publisher = RabbitPublisher(rabbit.url, rabbit.exchange, TOPICS, timeout=SHORT, rules=rules)
    consumer = RabbitConsumer(rabbit.url, rabbit.exchange, [ALPHA], graceful=SHORT, rules=rules)
    inbox = Inbox()
    await publisher.open()
    await consumer.start(inbox)
    await publisher.publish("alpha", [KEY])
    for _ in range(3):
        await (await inbox.next()).requeue()
    assert orjson.loads((await inspect(rabbit, "dead")).body) == {"id": "task", "epoch": 3}
    await consumer.close()
    await publisher.close()


@pytest.mark.parametrize("side", ["publisher", "consumer"])
async def test_a_queue_with_other_arguments_is_a_clear_error(rabbit: RabbitLab, side: str) -> None:
    rules = QueueRules(delivery_limit=7)
    publisher = RabbitPublisher(rabbit.url, rabbit.exchange, TOPICS, timeout=SHORT, rules=rules)
    consumer = RabbitConsumer(rabbit.url, rabbit.exchange, [ALPHA], graceful=SHORT, rules=rules)
    with pytest.raises(SetupError) as caught:
        await (publisher.open() if side == "publisher" else consumer.start(Inbox()))
    text = str(caught.value)
    for part in (f"{rabbit.exchange}.alpha", "x-delivery-limit", "7", "50", "delete_queue"):
        assert part in text
    assert list(await rabbit.publisher.publish("alpha", [KEY])) == [None]


def test_a_topic_may_not_run_longer_than_its_delivery_lasts() -> None:
    topic = make_topic("alpha", timeout=3600)
    rules = QueueRules(consumer_timeout=timedelta(hours=1))
    with pytest.raises(SetupError, match="alpha"):
        RabbitConsumer("amqp://localhost", "any", [topic], graceful=SHORT, rules=rules)
    RabbitConsumer("amqp://localhost", "any", [topic], graceful=SHORT)


async def test_a_consumer_works_on_after_its_queue_was_repaired(rabbit: RabbitLab) -> None:
    consumer, inbox = rabbit.consumer(ALPHA, make_topic("beta")), Inbox()
    await consumer.start(inbox)
    await rabbit.publisher.publish("alpha", keys(2))
    for delivery in await inbox.take(2):
        await delivery.ack()
    await rabbit.publisher.repair("alpha")
    # More than the prefetch, so that what is delivered to nobody shows.
    assert set(await rabbit.publisher.publish("alpha", keys(10, "later"))) == {None}
    await arrive(inbox, set(keys(10, "later")))


async def test_a_consumer_that_is_left_without_deliveries_connects_anew(rabbit: RabbitLab) -> None:
    consumer = RabbitConsumer(rabbit.url, rabbit.exchange, [ALPHA], graceful=BRIEF, stalled_after=BRIEF)
    inbox = Inbox()
    await consumer.start(inbox)
    # Declared again so soon, the queue keeps its consumer in RabbitMQ 3.10, which is sent nothing any more.
    await rabbit.admin(partial(delete_and_redeclare, rabbit.exchange))
    assert set(await rabbit.publisher.publish("alpha", keys(10))) == {None}
    arrivals = asyncio.create_task(arrive(inbox, set(keys(10))))

    async def arrived() -> bool:
        await consumer.consuming()
        return arrivals.done()

    await until(arrived)
    await arrivals
    assert await consumer.consuming() == {"alpha": True}
    await consumer.close()


async def test_a_queue_that_does_not_answer_stops_its_own_topic_alone(
    rabbit: RabbitLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, declare = asyncio.Event(), Topology.declare

    async def silent(topology: Topology, channel: aiormq.abc.AbstractChannel, name: str) -> None:
        if name.endswith(".beta"):
            await answers.wait()
        await declare(topology, channel, name)

    monkeypatch.setattr(Topology, "declare", silent)
    within = timedelta(seconds=2)
    publisher = RabbitPublisher(rabbit.url, rabbit.exchange, TOPICS, timeout=within)
    topics, inbox = [ALPHA, make_topic("beta")], Inbox()
    consumer = RabbitConsumer(rabbit.url, rabbit.exchange, topics, graceful=BRIEF, timeout=within, repair_after=None)
    await publisher.open()
    await consumer.start(inbox)
    assert await consumer.consuming() == {"alpha": True, "beta": False}
    text = f"declare queue {rabbit.exchange}.beta: RabbitMQ did not answer in time"
    assert (publisher.faults(), consumer.faults()) == ({"beta": text}, {"beta": text})
    assert [str(end) for end in await publisher.publish("beta", [KEY])] == [text]
    assert list(await publisher.publish("alpha", [KEY])) == [None]
    await (await inbox.next()).ack()
    answers.set()

    async def mended() -> bool:
        return not publisher.faults() and not consumer.faults()

    await until(mended)
    assert list(await publisher.publish("beta", [KEY])) == [None]
    assert (await inbox.next()).topic == "beta"
    await consumer.close()
    await publisher.close()


async def test_a_queue_that_tells_no_depth_is_left_out_and_left_alone(
    rabbit: RabbitLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    declare = aiormq.Channel.queue_declare

    async def silent(channel: aiormq.Channel, queue: str = "", **how: Any) -> Any:
        asked.append(queue.removeprefix(f"{rabbit.exchange}."))
        if queue.endswith(".beta"):
            await asyncio.Event().wait()
        return await declare(channel, queue, **how)

    publisher = RabbitPublisher(rabbit.url, rabbit.exchange, TOPICS, timeout=timedelta(seconds=2))
    await publisher.open()
    monkeypatch.setattr(aiormq.Channel, "queue_declare", silent)
    for _ in range(2):
        assert await publisher.depths(TOPICS) == {"alpha": Depth(0, 0)}
    assert sorted(asked) == ["alpha", "alpha", "beta"]
    await publisher.close()
