"""What processes cost: CPU, memory and connections, of each with all of its children."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress

import psutil

GONE = (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied)

Parts = Mapping[str, Sequence[int]]
"""Names, each with the ids of its processes."""


def _family(pid: int) -> list[psutil.Process]:
    with suppress(*GONE):
        leader = psutil.Process(pid)
        return [leader, *leader.children(recursive=True)]
    return []


def cpu(parts: Parts) -> dict[str, float]:
    """Return the seconds of CPU, user and system, that each part has used so far."""
    return {name: sum(_seconds(process) for pid in pids for process in _family(pid)) for name, pids in parts.items()}


def _seconds(process: psutil.Process) -> float:
    with suppress(*GONE):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def resident(pids: Sequence[int]) -> list[int]:
    """Return the resident memory of each process, in bytes; the dead have none."""
    sizes: list[int] = []
    for pid in pids:
        with suppress(*GONE):
            sizes.append(int(psutil.Process(pid).memory_info().rss))
    return sizes


def connections(pid: int, ports: Mapping[str, int]) -> dict[str, int]:
    """Count a process's open connections to each of the named ports."""
    names = {port: name for name, port in ports.items()}
    found: Counter[str] = Counter()
    with suppress(*GONE):
        for connection in psutil.Process(pid).net_connections("tcp"):
            if connection.raddr and connection.raddr.port in names and connection.status == psutil.CONN_ESTABLISHED:
                found[names[connection.raddr.port]] += 1
    return dict(found)
