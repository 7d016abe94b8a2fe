"""The four servers as frozen descriptions: what to run, with what around it, and how to see that it answers."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal, TypedDict, assert_never

from sandbox import probes
from sandbox.kinds import DEFAULT_KIND, kind
from sandbox.ports import LOOPBACK, Ports

# The folder of the parts' data, in a sandbox's own.
DATA = "data"


class Part(StrEnum):
    """A server of the sandbox."""

    ENGINE = "engine"
    STORE = "store"
    BROKER = "broker"
    JAEGER = "jaeger"


Ids = Literal["strong", "simple"]

# The users of an engine with authorization: one may do everything, the other nothing. Each is their own password.
ADMIN = "demo"
GUEST = "guest"


class Options(TypedDict, total=False):
    """The choices beside the base port; None keeps what is remembered. `Choices` says what each means."""

    memory: bool | None
    history: str | None
    timezone: str | None
    authorization: bool | None
    query_limit: int | None
    ids: Ids | None
    shared: bool | None
    node_of: str | None
    engine: str | None


@dataclass(frozen=True)
class Choices:
    """What the user of a sandbox may choose; remembered, so that a restart is the same again.

    All but the first two are the engine's: its history level; the time zone of its JVM ("" is the machine's);
    authorization with basic authentication on its REST API (users ADMIN and GUEST); the largest query that it answers
    (`queryMaxResultsLimit`, 0 is no limit); how it makes ids; whether another engine may open its database (H2's
    AUTO_SERVER); the folder of another sandbox, with a shared database, of which this engine is a second node; and the
    kind of engine, a name of `sandbox.kinds`.
    """

    base: int
    memory: bool = False
    history: str = "full"
    timezone: str = ""
    authorization: bool = False
    query_limit: int = 0
    ids: Ids = "strong"
    shared: bool = False
    node_of: str = ""
    engine: str = DEFAULT_KIND

    def __post_init__(self) -> None:
        _ = self.ports  # refuses a base out of range
        if self.memory and (self.shared or self.node_of):
            raise ValueError("a database in memory can't be shared: take --durable")
        kind(self.engine)  # refuses a kind that isn't in the table

    @property
    def ports(self) -> Ports:
        """The port layout behind the base."""
        return Ports(self.base)


@dataclass(frozen=True)
class Launch:
    """All that it takes to run a part."""

    command: tuple[str, ...]
    ports: tuple[int, ...]
    probe: probes.Probe
    env: dict[str, str] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()
    files: dict[Path, str] = field(default_factory=dict)
    # Six seconds on a machine that has nothing else to do; some have.
    time_limit: float = 300.0


def launch(part: Part, choices: Choices, home: Path, program: Path) -> Launch:
    """Describe how `part` runs with its data in `home`, from the built or installed `program`."""
    match part:
        case Part.ENGINE:
            return _engine(choices, home, program)
        case Part.STORE:
            return _store(choices, home, program)
        case Part.BROKER:
            return _broker(choices, home, program)
        case Part.JAEGER:
            return _jaeger(choices, program)
        case _:
            assert_never(part)


def _engine(choices: Choices, home: Path, jar: Path) -> Launch:
    temporary = home / "tmp"
    flags = [f"-Djava.io.tmpdir={temporary}", f"-Dh2.bindAddress={LOOPBACK}"]
    if choices.timezone:
        flags.append(f"-Duser.timezone={choices.timezone}")
    chosen = {
        "server.port": choices.ports.engine,
        "sandbox.database": _database(choices, home),
        "sandbox.history": choices.history,
        "sandbox.authorization": str(choices.authorization).lower(),
        "sandbox.ids": choices.ids,
        **({"sandbox.query-limit": choices.query_limit} if choices.query_limit else {}),
    }
    return Launch(
        command=(
            "java",
            _heap(choices),
            *flags,
            "-jar",
            str(jar),
            *(f"--{name}={value}" for name, value in chosen.items()),
        ),
        ports=(choices.ports.engine,),
        probe=probes.http(choices.ports.engine, "/engine-rest/version", auth=(ADMIN, ADMIN)),
        folders=(temporary,),
    )


def _database(choices: Choices, home: Path) -> str:
    """Return H2's name for the engine's database."""
    if choices.memory:
        return "mem:engine;DB_CLOSE_DELAY=-1;DB_CLOSE_ON_EXIT=FALSE"
    folder = Path(choices.node_of) / DATA / Part.ENGINE if choices.node_of else home
    # WRITE_DELAY=0: by H2's default a SIGKILL takes the last half second of what was acknowledged with it.
    durable = f"file:{folder / 'engine'};WRITE_DELAY=0"
    # H2 takes the two only one without the other.
    return f"{durable};{'AUTO_SERVER=TRUE' if choices.shared or choices.node_of else 'DB_CLOSE_ON_EXIT=FALSE'}"


def _store(choices: Choices, home: Path, jar: Path) -> Launch:
    place = "memory" if choices.memory else str(home / "store.mv")
    return Launch(
        command=("java", _heap(choices), "-jar", str(jar), str(choices.ports.store), place),
        ports=(choices.ports.store,),
        probe=probes.mongodb(choices.ports.store),
    )


def _heap(choices: Choices) -> str:
    """Return the heap's bound: a server in memory keeps all its data there."""
    return "-Xmx2g" if choices.memory else "-Xmx512m"


def _broker(choices: Choices, home: Path, server: Path) -> Launch:
    ports = choices.ports
    configuration = home / "rabbitmq.conf"
    plugins = home / "enabled_plugins"
    overrides = home / "rabbitmq-env.conf"
    env = {
        "HOME": str(home),  # where Erlang keeps the cookie
        "ERL_EPMD_PORT": str(ports.names),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        # The scripts then become the Erlang VM by exec instead of waiting for it: one process id from start to end.
        "RUNNING_UNDER_SYSTEMD": "true",
        # Not made of the port: the name is part of the data, which may come up again on another base.
        "RABBITMQ_NODENAME": "sandbox@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
        "RABBITMQ_NODE_PORT": str(ports.broker),
        "RABBITMQ_DIST_PORT": str(ports.distribution),
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_CONF_ENV_FILE": str(overrides),
        "RABBITMQ_CONFIG_FILE": str(configuration),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        # No busy waiting of idle schedulers: the machine has few cores and other work.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
        ),
    }
    # An epmd that the VM started itself would leave its session; this one stays in it and ends with it.
    script = 'epmd -port "$ERL_EPMD_PORT" -address "$ERL_EPMD_ADDRESS" & exec "$0"'
    return Launch(
        command=("sh", "-c", script, str(server)),
        ports=(ports.broker, ports.distribution, ports.names),
        probe=probes.amqp(ports.broker),
        env=env,
        folders=(home / "mnesia", home / "log"),
        files={configuration: "disk_free_limit.absolute = 50MB\n", plugins: "[].\n", overrides: ""},
    )


def _jaeger(choices: Choices, program: Path) -> Launch:
    ports = choices.ports
    listeners = {
        "collector.otlp.grpc.host-port": ports.otlp_grpc,
        "collector.otlp.http.host-port": ports.otlp_http,
        "query.http-server.host-port": ports.query,
        # Not asked for, but not to be switched off either: any free port will do.
        "query.grpc-server.host-port": 0,
        "collector.http-server.host-port": 0,
        "collector.grpc-server.host-port": 0,
        "admin.http.host-port": 0,
        "http-server.host-port": 0,
        "processor.jaeger-binary.server-host-port": 0,
        "processor.jaeger-compact.server-host-port": 0,
        "processor.zipkin-compact.server-host-port": 0,
    }
    return Launch(
        command=(
            str(program),
            "--memory.max-traces=20000",
            *(f"--{name}={LOOPBACK}:{port}" for name, port in listeners.items()),
        ),
        ports=(ports.otlp_grpc, ports.otlp_http, ports.query),
        probe=probes.http(ports.query, "/api/services"),
        env={"SPAN_STORAGE_TYPE": "memory"},
    )
