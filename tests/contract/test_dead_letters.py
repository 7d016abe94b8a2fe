"""The real broker's dead letters are read back, and those that lead nowhere are kept by the real store."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import aio_pika

from bridge.domain.dead_letter import DeadLetter, DeadMessage
from bridge.domain.errors import StoreUnavailable
from tests.contract.brokers import RabbitLab, until
from tests.contract.stores import NOW, mongo_store
from tests.pause import pause


async def send(lab: RabbitLab, body: bytes) -> None:
    async def publish(channel: aio_pika.abc.AbstractChannel) -> None:
        exchange = await channel.get_exchange(f"{lab.exchange}.dead")
        await exchange.publish(aio_pika.Message(body), routing_key="alpha")

    await lab.admin(publish)


async def test_what_nobody_can_read_is_handed_to_the_examination(rabbit: RabbitLab) -> None:
    await send(rabbit, b"\xff not ours")
    found: list[DeadMessage] = []

    async def examine(message: DeadMessage) -> None:
        found.append(message)

    letters = rabbit.publisher.dead_letters()

    async def arrived() -> bool:
        return await letters.take(10, examine) > 0

    await until(arrived)
    (message,) = found
    assert (message.topic, message.key, message.body) == ("alpha", None, b"\xff not ours")
    assert "JSON" in message.reason
    assert await letters.take(10, examine) == 0


async def test_a_letter_whose_examination_fails_stays(rabbit: RabbitLab) -> None:
    await send(rabbit, b"{}")
    letters = rabbit.publisher.dead_letters()
    struck: list[DeadMessage] = []

    async def fail(message: DeadMessage) -> None:
        struck.append(message)
        raise StoreUnavailable("away")

    async def failed() -> bool:
        try:
            await letters.take(10, fail)
        except StoreUnavailable:
            return True
        return False

    await until(failed)
    seen: list[DeadMessage] = []

    async def examine(message: DeadMessage) -> None:
        seen.append(message)

    async def came_again() -> bool:
        return await letters.take(10, examine) > 0

    await until(came_again)
    assert [message.body for message in seen] == [message.body for message in struck] == [b"{}"]


async def test_an_examination_may_take_longer_than_rabbitmq(servers: dict[str, str]) -> None:
    """A slow store is not RabbitMQ's silence: the letters are handled all the same."""
    bound = timedelta(seconds=4)
    lab = RabbitLab(servers["RABBITMQ_URL"], timeout=bound)
    await lab.open()
    try:
        for _ in range(2):
            await send(lab, b"{}")
        letters = lab.publisher.dead_letters()
        loop, examined = asyncio.get_running_loop(), 0

        async def examine(_: DeadMessage) -> None:
            nonlocal examined
            slow = loop.time() + (2 * bound.total_seconds() if examined == 0 else 0)
            while loop.time() < slow:
                await pause()
            examined += 1

        taken = 0

        async def all_taken() -> bool:
            nonlocal taken
            taken += await letters.take(10, examine)
            return taken == 2

        await until(all_taken)
        assert examined == 2
    finally:
        await lab.close()


async def test_the_store_keeps_letters_once_and_shows_the_latest(servers: dict[str, str]) -> None:
    async with mongo_store(servers["MONGODB_URI"]) as store:
        old = DeadLetter("a", "alpha", "why", "body", None, NOW)
        await store.keep_dead_letter(old)
        await store.keep_dead_letter(old)
        new = DeadLetter("b", "alpha", "why", "body", "t1", NOW + timedelta(seconds=1))
        await store.keep_dead_letter(new)
        assert list(await store.dead_letters(10)) == [new, old]
        assert list(await store.dead_letters(1)) == [new]
