"""Which part listens where: one base port, and a fixed layout behind it."""

from dataclasses import dataclass

DEFAULT_BASE = 18080
WIDTH = 8
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """The ports of one sandbox. Two sandboxes stand side by side when their bases are eight or more apart."""

    base: int = DEFAULT_BASE

    def __post_init__(self) -> None:
        if not 1024 <= self.base <= 65535 - WIDTH + 1:
            raise ValueError(f"the base port must be between 1024 and {65535 - WIDTH + 1}, not {self.base}")

    @property
    def engine(self) -> int:
        """Camunda's REST API and Cockpit."""
        return self.base

    @property
    def store(self) -> int:
        """MongoDB's wire protocol."""
        return self.base + 1

    @property
    def broker(self) -> int:
        """AMQP."""
        return self.base + 2

    @property
    def distribution(self) -> int:
        """The Erlang distribution of the broker."""
        return self.base + 3

    @property
    def otlp_grpc(self) -> int:
        """Traces into Jaeger by gRPC."""
        return self.base + 4

    @property
    def otlp_http(self) -> int:
        """Traces into Jaeger by HTTP."""
        return self.base + 5

    @property
    def query(self) -> int:
        """Traces out of Jaeger."""
        return self.base + 6

    @property
    def names(self) -> int:
        """The broker's own epmd, so that no other Erlang node of the machine is met or disturbed."""
        return self.base + 7

    def env(self) -> dict[str, str]:
        """The addresses, under the names that the gateway's settings read."""
        here = f"http://{LOOPBACK}"
        return {
            "CAMUNDA_URL": f"{here}:{self.engine}/engine-rest",
            "MONGODB_URI": f"mongodb://{LOOPBACK}:{self.store}/",
            "MONGODB_DATABASE": "worker_gateway",
            "RABBITMQ_URL": f"amqp://guest:guest@{LOOPBACK}:{self.broker}/",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"{here}:{self.otlp_grpc}",
            "JAEGER_QUERY_URL": f"{here}:{self.query}",
            "COCKPIT_URL": f"{here}:{self.engine}/camunda/app/cockpit/",
        }
