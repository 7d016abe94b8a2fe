"""What only RabbitMQ's own tool can do to the sandbox's node: raise a disk alarm, or shorten its time_limit."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from sandbox import Part, Sandbox
from sandbox.tools import BROKER

NODE = "sandbox@localhost"


async def rabbitmqctl(sandbox: Sandbox, *arguments: str) -> str:
    """Run `rabbitmqctl` against the sandbox's own node; return what it printed."""
    home = sandbox.directory / "data" / Part.BROKER
    env = {
        **os.environ,
        "HOME": str(home),  # the node's cookie is there
        "ERL_EPMD_PORT": str(sandbox.choices.ports.names),
        "RABBITMQ_CONF_ENV_FILE": str(home / "rabbitmq-env.conf"),
    }
    program = Path(BROKER.require()).with_name("rabbitmqctl")
    process = await asyncio.create_subprocess_exec(
        str(program), "-n", NODE, *arguments, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode(errors="replace")
    return output.decode(errors="replace")


async def raise_disk_alarm(sandbox: Sandbox) -> None:
    """Set a limit that no disk has, and see that the alarm is on."""
    await rabbitmqctl(sandbox, "set_disk_free_limit", "100000GB")
    assert "disk" in await rabbitmqctl(sandbox, "eval", "rabbit_alarm:get_alarms().")


async def end_disk_alarm(sandbox: Sandbox) -> None:
    await rabbitmqctl(sandbox, "set_disk_free_limit", "50MB")


async def set_ack_timeout(sandbox: Sandbox, millis: int, look_every: int) -> None:
    """Set after how long a delivery without an acknowledgement closes its channel; channels opened later have it."""
    text = (
        f"application:set_env(rabbit, consumer_timeout, {millis}),"
        f"application:set_env(rabbit, channel_tick_interval, {look_every})."
    )
    await rabbitmqctl(sandbox, "eval", text)
