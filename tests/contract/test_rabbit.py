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

from bridge.adapters.rabbitmq.consumer import RabbitConsumer
from bridge.adapters.rabbitmq.messages import BODY_LIMIT
from bridge.adapters.rabbitmq.publisher import RabbitPublisher
from bridge.adapters.rabbitmq.topology import QueueRules, Topology
from bridge.domain.dead_letter import DeadMessage
from bridge.domain.errors import BrokerUnavailable, SetupError, StoreUnavailable
from bridge.domain.task import TaskKey
from bridge.ports.broker import Depth
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
from tests.contract.hostile_publisher import HOSTILE, Hostile, publish_hostile


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


async def ready(rabbit: RabbitLab, queue: str) -> int:
    """Return how many messages of a queue are ready."""
    counts: list[int] = []

    async def count(channel: aio_pika.abc.AbstractChannel) -> None:
        raw = await channel.get_underlay_channel()
        counts.append((await raw.queue_declare(f"{rabbit.exchange}.{queue}", passive=True)).message_count or 0)

    await rabbit.admin(count)
    return counts[0]


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
        (orjson.dumps({"id": "x" * 65, "epoch": 1}), "an id of 65 characters"),
        (orjson.dumps({"id": "x" * 9_000_000, "epoch": 1}), "9000019 bytes"),
        (b"[" * 100_000, "100000 bytes"),
    ],
    ids=lambda part: str(part)[:30],
)
async def test_an_undecodable_message_is_handed_over_and_acknowledged(
    rabbit: RabbitLab, body: bytes, reason: str
) -> None:
    inbox = Inbox()
    await rabbit.consumer(ALPHA).start(inbox)
    await rabbit.admin(partial(publish_hostile, rabbit.exchange, Hostile("the body", body)))
    message = await rabbit.undecodable.get()
    assert (message.topic, message.key, message.body) == ("alpha", None, body[:BODY_LIMIT])
    assert reason in message.reason
    await rabbit.publisher.publish("alpha", [KEY])
    await (await inbox.next()).ack()
    assert inbox.arrived.empty()


@pytest.mark.parametrize("message", HOSTILE, ids=str)
async def test_a_hostile_message_costs_itself_alone(rabbit: RabbitLab, message: Hostile) -> None:
    """More of them than the prefetch: each is out of the way, on the connection that it came by."""
    inbox = Inbox()
    consumer = rabbit.consumer(ALPHA)
    await consumer.start(inbox)
    for _ in range(ALPHA.concurrency + 1):
        await rabbit.admin(partial(publish_hostile, rabbit.exchange, message))
    for _ in range(ALPHA.concurrency + 1):
        if message.is_readable:
            await (await inbox.next()).ack()
        else:
            assert message.reason in (await rabbit.undecodable.get()).reason
    await rabbit.publisher.publish("alpha", [KEY])
    await (await inbox.next()).ack()
    assert await consumer.consuming() == {"alpha": True}
    assert await ready(rabbit, "dead") == 0, "RabbitMQ had none to dead-letter"


async def test_an_undecodable_message_that_cannot_be_kept_yet_stays_until_it_is(rabbit: RabbitLab) -> None:
    kept: list[DeadMessage] = []
    answers: list[Exception | None] = [StoreUnavailable("away"), StoreUnavailable("away"), None]
    done = asyncio.Event()

    async def keep(message: DeadMessage) -> None:
        if (answer := answers.pop(0)) is not None:
            raise answer
        kept.append(message)
        done.set()

    consumer = RabbitConsumer(rabbit.url, rabbit.exchange, [ALPHA], graceful=SHORT, on_undecodable=keep)
    await consumer.start(Inbox())
    await rabbit.admin(partial(publish_hostile, rabbit.exchange, Hostile("the body", b"junk")))
    async with asyncio.timeout(20):
        await done.wait()
    await consumer.close()
    assert [message.body for message in kept] == [b"junk"]
    assert answers == []
    assert [await ready(rabbit, queue) for queue in ("alpha", "dead")] == [0, 0]


async def test_a_hostile_dead_letter_is_kept_short_and_holds_up_no_other(rabbit: RabbitLab) -> None:
    """Sent to the dead letters' exchange itself: any routing key, and headers as RabbitMQ's own would be."""
    long = "t" * 50_000
    deaths = [{"queue": "q", "reason": long, "exchange": "e", "count": 1, "routing-keys": [long]}]
    messages = [
        *HOSTILE,
        Hostile("an id of 9 MB", orjson.dumps({"id": "x" * 9_000_000, "epoch": 1})),
        Hostile("a long death", orjson.dumps({"id": "task", "epoch": 1}), {"x-death": deaths}),
    ]
    for message in messages:
        await rabbit.admin(partial(publish_hostile, rabbit.exchange, message, to_the_dead=True))
    found: list[DeadMessage] = []

    async def examine(message: DeadMessage) -> None:
        found.append(message)

    letters = rabbit.publisher.dead_letters()

    async def all_taken() -> bool:
        await letters.take(100, examine)
        return len(found) == len(messages)

    await until(all_taken)
    for letter in found:
        assert len(letter.topic) <= 255
        assert len(letter.reason) <= 300
        assert len(letter.body) <= BODY_LIMIT
        assert letter.key is None or len(letter.key.id) <= 64


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
