"""The port layout and the addresses made of it."""

import pytest

from sandbox.ports import WIDTH, Ports


def test_the_layout_is_fixed_behind_the_base() -> None:
    ports = Ports(20000)
    assert [ports.engine, ports.store, ports.broker, ports.distribution] == [20000, 20001, 20002, 20003]
    assert [ports.otlp_grpc, ports.otlp_http, ports.query, ports.names] == [20004, 20005, 20006, 20007]
    assert ports.names == ports.base + WIDTH - 1


@pytest.mark.parametrize("base", [0, 80, 1023, 65529, 70000])
def test_a_base_out_of_range_is_refused(base: int) -> None:
    with pytest.raises(ValueError, match="base port"):
        Ports(base)


def test_the_addresses_follow_the_base() -> None:
    assert Ports(20000).env() == {
        "CAMUNDA_URL": "http://127.0.0.1:20000/engine-rest",
        "MONGODB_URI": "mongodb://127.0.0.1:20001/",
        "MONGODB_DATABASE": "worker_gateway",
        "RABBITMQ_URL": "amqp://guest:guest@127.0.0.1:20002/",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:20004",
        "JAEGER_QUERY_URL": "http://127.0.0.1:20006",
        "COCKPIT_URL": "http://127.0.0.1:20000/camunda/app/cockpit/",
    }
