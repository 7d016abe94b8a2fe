"""What a broker does, asked of the one in memory and of a running RabbitMQ alike."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from functools import partial

import pytest

from bridge.domain.errors import BrokerUnroutable, QueueMismatch
from bridge.domain.task import TaskKey
from bridge.ports.broker import Acknowledger, Consumer, Depth
from tests.contract.brokers import SHORT, BrokerLab, Inbox, MemoryBrokerLab, RabbitLab, keys, kinds, make_topic, until

ALPHA, BETA = make_topic("alpha"), make_topic("beta")
KEY = TaskKey("task", 3, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


@pytest.fixture(params=["memory", "rabbit"])
async def lab(request: pytest.FixtureRequest) -> AsyncIterator[BrokerLab]:
    """A broker; the test runs once in memory and once on a real one."""
    made: BrokerLab
    if request.param == "memory":
        made = MemoryBrokerLab()
    else:
        servers: dict[str, str] = request.getfixturevalue("servers")
        made = RabbitLab(servers["RABBITMQ_URL"])
        await made.open()
    try:
        yield made
    finally:
        await made.close()


async def settled(lab: BrokerLab, depth: Depth, topic: str = "alpha") -> None:
    """Return when the topic's depth is this."""

    async def reached() -> bool:
        return await lab.publisher.depth(topic) == depth

    await until(reached)


async def detached(consumer: Consumer) -> bool:
    return not any((await consumer.consuming()).values())


async def test_what_is_published_is_delivered_once_and_acknowledged(lab: BrokerLab) -> None:
    inbox = Inbox()
    await lab.consumer(ALPHA).start(inbox)
    assert list(await lab.publisher.publish("alpha", [KEY])) == [None]
    delivery = await inbox.next()
    assert (delivery.topic, delivery.key) == ("alpha", KEY)
    await delivery.ack()
    await settled(lab, Depth(0, 1))
    assert inbox.arrived.empty()


async def test_a_key_without_a_trace_comes_without_one(lab: BrokerLab) -> None:
    inbox = Inbox()
    await lab.consumer(ALPHA).start(inbox)
    await lab.publisher.publish("alpha", [TaskKey("task", 1)])
    assert (await inbox.next()).key == TaskKey("task", 1)


async def test_a_batch_is_larger_than_what_is_awaited_at_once(lab: BrokerLab) -> None:
    batch = keys(250)
    assert set(await lab.publisher.publish("alpha", batch)) == {None}
    assert await lab.publisher.publish("alpha", []) == []
    inbox = Inbox()
    await lab.consumer(make_topic("alpha", concurrency=250)).start(inbox)
    assert {delivery.key for delivery in await inbox.take(250)} == set(batch)


async def test_the_same_key_twice_is_delivered_at_least_once(lab: BrokerLab) -> None:
    inbox = Inbox()
    await lab.consumer(ALPHA).start(inbox)
    assert list(await lab.publisher.publish("alpha", [KEY, KEY])) == [None, None]
    assert (await inbox.next()).key == KEY


async def test_what_is_given_back_comes_again(lab: BrokerLab) -> None:
    inbox = Inbox()
    await lab.consumer(ALPHA).start(inbox)
    await lab.publisher.publish("alpha", [KEY])
    await (await inbox.next()).requeue()
    again = await inbox.next()
    assert again.key == KEY
    await again.ack()
    await settled(lab, Depth(0, 1))


async def test_only_the_first_acknowledgement_counts(lab: BrokerLab) -> None:
    inbox = Inbox()
    await lab.consumer(ALPHA).start(inbox)
    await lab.publisher.publish("alpha", [KEY])
    delivery = await inbox.next()
    await delivery.ack()
    await delivery.requeue()
    await settled(lab, Depth(0, 1))
    assert inbox.arrived.empty()


async def test_a_handler_that_acknowledges_nothing_gets_the_message_again(lab: BrokerLab) -> None:
    inbox = Inbox()
    await lab.consumer(ALPHA).start(inbox)
    await lab.publisher.publish("alpha", [KEY])
    (await inbox.next()).leave()
    assert (await inbox.next()).key == KEY


async def test_a_handler_that_fails_gets_the_message_again(lab: BrokerLab, caplog: pytest.LogCaptureFixture) -> None:
    inbox = Inbox()
    failures = [ValueError("the handler's own")]

    async def handle(topic: str, key: TaskKey, acknowledger: Acknowledger) -> None:
        if failures:
            raise failures.pop()
        await inbox(topic, key, acknowledger)

    with caplog.at_level(logging.ERROR):
        await lab.consumer(ALPHA).start(handle)
        await lab.publisher.publish("alpha", [KEY])
        assert (await inbox.next()).key == KEY
    assert "the handler's own" in caplog.text


async def test_a_message_without_a_queue_is_unroutable(lab: BrokerLab) -> None:
    assert kinds(await lab.publisher.publish("gamma", keys(2))) == [BrokerUnroutable] * 2
    await lab.unbind("alpha")
    assert kinds(await lab.publisher.publish("alpha", keys(150))) == [BrokerUnroutable] * 150
    assert kinds(await lab.publisher.publish("beta", [KEY])) == [None]


async def test_the_depth_of_a_topic_without_a_queue_is_no_number(lab: BrokerLab) -> None:
    with pytest.raises(BrokerUnroutable, match="gamma"):
        await lab.publisher.depth("gamma")
    assert await lab.publisher.depth("alpha") == Depth(0, 0)


async def test_depths_are_those_of_many_topics_at_once(lab: BrokerLab) -> None:
    await lab.publisher.publish("alpha", keys(3))
    await settled(lab, Depth(3, 0))
    assert await lab.publisher.depths(["alpha", "beta"]) == {"alpha": Depth(3, 0), "beta": Depth(0, 0)}
    assert await lab.publisher.depths(["beta"]) == {"beta": Depth(0, 0)}
    assert await lab.publisher.depths([]) == {}


@pytest.mark.parametrize("asked", [["alpha", "gamma"], ["gamma", "alpha"], ["gamma", "alpha", "delta", "beta"]])
async def test_a_topic_without_a_queue_is_left_out_of_the_depths(lab: BrokerLab, asked: list[str]) -> None:
    await lab.publisher.publish("alpha", keys(2))
    await settled(lab, Depth(2, 0))
    found = await lab.publisher.depths(asked)
    assert found.keys() == set(asked) - {"gamma", "delta"}
    assert found["alpha"] == Depth(2, 0)
    assert await lab.publisher.depths(["gamma"]) == {}


async def test_depths_count_consumers_and_nothing_that_was_delivered(lab: BrokerLab) -> None:
    inbox = Inbox()
    await lab.consumer(make_topic("alpha", concurrency=2)).start(inbox)
    await lab.consumer(ALPHA, BETA).start(inbox)
    await lab.publisher.publish("alpha", keys(4))
    await inbox.take(4)
    await settled(lab, Depth(0, 2))
    assert await lab.publisher.depths(["alpha", "beta"]) == {"alpha": Depth(0, 2), "beta": Depth(0, 1)}


async def test_depths_may_be_asked_for_many_times_at_once(lab: BrokerLab) -> None:
    answers = await asyncio.gather(*(lab.publisher.depths(["alpha", "gamma"]) for _ in range(20)))
    assert answers == [{"alpha": Depth(0, 0)}] * 20


@pytest.mark.parametrize("reserve", [0, 2])
async def test_prefetch_bounds_what_is_unacknowledged(lab: BrokerLab, reserve: int) -> None:
    inbox = Inbox()
    await lab.publisher.publish("alpha", keys(10))
    await lab.consumer(make_topic("alpha", concurrency=3), reserve=reserve).start(inbox)
    first, *_ = await inbox.take(3 + reserve)
    await settled(lab, Depth(7 - reserve, 1))
    assert inbox.arrived.empty()
    await first.ack()
    await inbox.next()
    await settled(lab, Depth(6 - reserve, 1))
    assert inbox.arrived.empty()


async def test_a_full_topic_holds_up_no_other(lab: BrokerLab) -> None:
    inbox = Inbox()
    await lab.consumer(make_topic("alpha", concurrency=1), BETA).start(inbox)
    await lab.publisher.publish("alpha", keys(5))
    assert (await inbox.next()).topic == "alpha"
    await lab.publisher.publish("beta", [KEY])
    assert (await inbox.next()).topic == "beta"


async def test_consumers_share_a_queue(lab: BrokerLab) -> None:
    inboxes = Inbox(), Inbox()
    for inbox in inboxes:
        await lab.consumer(make_topic("alpha", concurrency=2)).start(inbox)
    await settled(lab, Depth(0, 2))
    await lab.publisher.publish("alpha", keys(4))
    shares = [{delivery.key for delivery in await inbox.take(2)} for inbox in inboxes]
    assert shares[0] | shares[1] == set(keys(4))


async def test_stop_ends_deliveries_and_lets_running_handlers_acknowledge(lab: BrokerLab) -> None:
    inbox, other = Inbox(), Inbox()
    consumer = lab.consumer(make_topic("alpha", concurrency=2), BETA)
    await consumer.start(inbox)
    assert await consumer.consuming() == {"alpha": True, "beta": True}
    await lab.publisher.publish("alpha", keys(3))
    acked, requeued = await inbox.take(2)
    await consumer.stop()
    assert await consumer.consuming() == {"alpha": False, "beta": False}
    await acked.ack()
    assert (await lab.publisher.depth("alpha")).ready == 1
    await requeued.requeue()
    await settled(lab, Depth(2, 0))
    assert inbox.arrived.empty()
    await lab.consumer(ALPHA).start(other)
    assert {delivery.key for delivery in await other.take(2)} == {keys(3)[2], requeued.key}


async def test_close_waits_for_running_handlers(lab: BrokerLab) -> None:
    inbox = Inbox()
    consumer = lab.consumer(ALPHA, graceful=SHORT)
    await consumer.start(inbox)
    await lab.publisher.publish("alpha", [KEY])
    delivery = await inbox.next()
    closing = asyncio.create_task(consumer.close())
    await until(partial(detached, consumer))
    assert not closing.done()
    await delivery.ack()
    await closing
    assert await lab.publisher.depth("alpha") == Depth(0, 0)


async def test_what_is_not_acknowledged_when_the_consumer_closes_returns(lab: BrokerLab) -> None:
    inbox, other = Inbox(), Inbox()
    consumer = lab.consumer(ALPHA)
    await consumer.start(inbox)
    await lab.publisher.publish("alpha", [KEY])
    await inbox.next()
    await consumer.close()
    await settled(lab, Depth(1, 0))
    await lab.consumer(ALPHA).start(other)
    assert (await other.next()).key == KEY


async def test_a_consumer_that_never_started_consumes_nothing(lab: BrokerLab) -> None:
    consumer = lab.consumer(ALPHA)
    assert await consumer.consuming() == {"alpha": False}
    await consumer.stop()
    await consumer.close()


async def test_a_consumer_starts_again_after_it_was_closed(lab: BrokerLab) -> None:
    consumer, inbox = lab.consumer(ALPHA), Inbox()
    await consumer.start(Inbox())
    await consumer.close()
    await consumer.start(inbox)
    await lab.publisher.publish("alpha", [KEY])
    assert (await inbox.next()).key == KEY


async def test_version(lab: BrokerLab) -> None:
    version = getattr(lab.publisher, "version")  # noqa: B009 - a probe's, and no part of the port
    assert await version()


async def test_a_queue_with_other_arguments_stops_its_own_topic_alone_until_it_is_mended(lab: BrokerLab) -> None:
    inbox = Inbox()
    await lab.differ("beta")
    consumer = lab.consumer(ALPHA, BETA)
    await consumer.start(inbox)
    assert await consumer.consuming() == {"alpha": True, "beta": False}
    for side in (consumer, lab.publisher):
        (fault,) = side.faults().items()
        assert fault[0] == "beta"
        assert "beta" in fault[1]
    assert kinds(await lab.publisher.publish("beta", [KEY])) == [QueueMismatch]
    assert list(await lab.publisher.publish("alpha", [KEY])) == [None]
    delivery = await inbox.next()
    assert (delivery.topic, delivery.key) == ("alpha", KEY)
    await delivery.ack()
    await lab.agree("beta")

    async def mended() -> bool:
        return not consumer.faults() and not lab.publisher.faults()

    await until(mended)
    assert list(await lab.publisher.publish("beta", [KEY])) == [None]
    assert (await inbox.next()).topic == "beta"
    assert await consumer.consuming() == {"alpha": True, "beta": True}


async def test_where_no_queue_can_be_used_a_consumer_does_not_start(lab: BrokerLab) -> None:
    await lab.differ("beta")
    with pytest.raises(QueueMismatch):
        await lab.consumer(BETA).start(Inbox())
