"""Ports for processes that are about to listen."""

from __future__ import annotations

import socket

from sandbox.ports import LOOPBACK
from sandbox.probes import free_ports
from tests.ports import free_port


def test_what_is_held_is_passed_over_and_the_others_come_in_turn() -> None:
    first = free_port()
    second = first + 1
    ports = free_ports(range(first, second + 1))
    assert [next(ports) for _ in range(3)] == [first, second, first]
    with socket.create_server((LOOPBACK, second)):
        assert [next(ports) for _ in range(2)] == [first, first]


def test_each_is_another() -> None:
    assert len({free_port() for _ in range(10)}) == 10
