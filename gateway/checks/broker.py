"""Checks of RabbitMQ: address, virtual host, rights, every topic's queue, and one delivery from end to end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

from bridge.domain.messages import joined, message
from gateway.checks.check import Check, run_in_turn, without_login
from gateway.checks.finding import Finding, fault, good
from gateway.wiring import Gateway

PART: Final = "rabbitmq"


def _address(gateway: Gateway) -> str:
    return without_login(gateway.settings.rabbitmq_url.get_secret_value())


async def _queues(gateway: Gateway) -> Sequence[Finding]:
    depths = await gateway.publisher.depths(gateway.topics.names)
    queues = "; ".join(f"{topic}: {d.ready} ready, {d.consumers} consumers" for topic, d in depths.items())
    faults = gateway.publisher.faults()
    silent = [topic for topic in gateway.topics.names if topic not in depths and topic not in faults]
    if faults or silent:
        no_answer = [message("broker.no_answer", operation=f"depth of the queue of {topic}") for topic in silent]
        says = f"{_address(gateway)}; {queues}; not usable: {joined([*faults.values(), *no_answer])}"
        change = "the text says it of each queue; the other topics are worked meanwhile"
        return (fault(PART, "rabbitmq.queue", says, change),)
    version = await gateway.publisher.version()
    return (good(PART, "; ".join(part for part in (f"{_address(gateway)}: RabbitMQ {version}", queues) if part)),)


async def _delivery(gateway: Gateway) -> Sequence[Finding]:
    await gateway.publisher.try_delivery()
    return (good("delivery", "a message was published, consumed and acknowledged"),)


_FIRST: Final = Check("delivery", _delivery, _address)
_REST: Final = (Check(PART, _queues, _address),)


async def _opened(gateway: Gateway) -> Sequence[Finding]:
    async with AsyncExitStack() as stack:
        await gateway.publisher.open()
        stack.push_async_callback(gateway.publisher.close)
        return await run_in_turn(gateway, _FIRST, _REST)


async def check_broker(gateway: Gateway) -> Sequence[Finding]:
    """Connect and declare as a start does, and run the checks of RabbitMQ; end the connection."""
    return await Check(PART, _opened, _address, within=30).findings(gateway)
