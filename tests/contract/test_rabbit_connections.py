"""What only a real RabbitMQ can show of connections: refused, silent, cut, and back again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest
from aio_pika.exceptions import ChannelInvalidStateError

from bridge.adapters.rabbitmq.consumer import RabbitConsumer
from bridge.adapters.rabbitmq.publisher import RabbitPublisher
from bridge.domain.errors import BrokerUnavailable
from bridge.ports.broker import Consumer, Depth
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
from tests.contract.rabbit_proxy import Proxy, proxied, release


@pytest.fixture
async def proxy(rabbit: RabbitLab) -> AsyncIterator[Proxy]:
    async with proxied(rabbit.url) as made:
        yield made


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
