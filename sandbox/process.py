"""A started part as processes: known by id and start time, ended by id, never mistaken for a stranger."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil

# In the environment of every process of a part, and so also of those that it starts and loses (epmd, port programs).
MARK = "GATEWAY_SANDBOX_MARK"

_GONE = (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied)


@dataclass(frozen=True)
class Started:
    """What is remembered of a started part: id, start and boot, as an id alone is soon given to somebody else."""

    pid: int
    ticks: int
    boot: str
    mark: str

    def leader(self) -> psutil.Process | None:
        """The process itself while it lives; None when it's gone, even if its id lives on in another."""
        # Not by the mark: a process that is just executing its next program shows no environment.
        if start_ticks(self.pid) != self.ticks or boot_id() != self.boot:
            return None
        with suppress(*_GONE):
            process = psutil.Process(self.pid)
            if process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    def family(self) -> list[psutil.Process]:
        """Every living process of the part: the leader, its children, and children that lost their parent."""
        leader = self.leader()
        return [*([leader] if leader else []), *(process for process in self._marked() if process != leader)]

    def _marked(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with suppress(*_GONE):
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    yield process

    def paused(self) -> bool:
        """True after SIGSTOP."""
        leader = self.leader()
        return leader is not None and leader.status() == psutil.STATUS_STOPPED

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole family."""
        for process in self.family():
            with suppress(*_GONE):
                process.send_signal(number)

    def end(self, time_limit: float) -> None:
        """Ask the leader to finish and give it time; then make sure that nothing of the part is left."""
        leader = self.leader()
        if leader is not None:
            with suppress(*_GONE):
                leader.send_signal(signal.SIGTERM)
                self.signal(signal.SIGCONT)  # a paused process hears SIGTERM only when it goes on
            _wait(lambda: self.leader() is None, time_limit)
        self.kill()

    def kill(self, time_limit: float = 10.0) -> None:
        """SIGKILL to the whole family, until none is left."""

        def none_left() -> bool:
            self.signal(signal.SIGKILL)  # each time anew: one may have been born while the others died
            return not self.family()

        # Twice, as one that is just executing another program is overlooked.
        if not (_wait(none_left, time_limit) and _wait(none_left, time_limit)):
            raise TimeoutError(f"still alive after SIGKILL: {[process.pid for process in self.family()]}")
        # Ours to bury when this process started it; somebody else's when an earlier command did.
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)


def _wait(condition: Callable[[], bool], time_limit: float) -> bool:
    # Not psutil.wait_procs: that waits for zombies too, which stay where the first process of a container is no init.
    deadline = time.monotonic() + time_limit
    while time.monotonic() <= deadline:
        time.sleep(0.02)
        if condition():
            return True
    return False


def spawn(command: tuple[str, ...], env: dict[str, str], log: Path) -> Started:
    """Start a command in a session of its own, which outlives this process; its output goes to the log."""
    mark = uuid4().hex
    # posix_spawn and not Popen: the latter warns when it's dropped while its process lives, which is the point here.
    pid = os.posix_spawnp(
        command[0],
        command,
        {**env, MARK: mark},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
    )
    ticks = start_ticks(pid)
    if ticks is None:
        raise ProcessLookupError(f"{command[0]} ended as soon as it started")
    return Started(pid, ticks, boot_id(), mark)


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot: unlike wall time it doesn't move when the clock is set."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # Field 22; the second, the name, is in brackets and may hold blanks and brackets itself.
    return int(stat.rpartition(")")[2].split()[19])


def boot_id() -> str:
    """Which start of the machine this is: ticks begin anew with each."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
