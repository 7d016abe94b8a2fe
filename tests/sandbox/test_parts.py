"""How the parts are run: on the loopback only, durable unless asked otherwise."""

from pathlib import Path

import pytest

from sandbox.parts import Choices, Launch, Part, launch

DURABLE = Choices(base=20000)
HOME = Path("/somewhere/data")


def described(part: Part, choices: Choices = DURABLE) -> Launch:
    return launch(part, choices, HOME, Path("/a/program"))


def test_no_two_parts_share_a_port() -> None:
    ports = [port for part in Part for port in described(part).ports]
    assert sorted(ports) == list(range(20000, 20008))


def test_engine_and_store_are_durable_by_default() -> None:
    engine = " ".join(described(Part.ENGINE).command)
    assert f"--sandbox.database=file:{HOME}/engine;WRITE_DELAY=0" in engine
    assert "--sandbox.history=full" in engine
    assert described(Part.STORE).command[-1] == str(HOME / "store.mv")


def test_in_memory_nothing_is_written() -> None:
    choices = Choices(base=20000, memory=True, history="none")
    engine = " ".join(described(Part.ENGINE, choices).command)
    assert "--sandbox.database=mem:" in engine
    assert "--sandbox.history=none" in engine
    assert described(Part.STORE, choices).command[-1] == "memory"
    assert all("-Xmx2g" in described(part, choices).command for part in (Part.ENGINE, Part.STORE))


def test_the_engine_is_as_it_is_in_the_field() -> None:
    choices = Choices(base=20000, timezone="America/Sao_Paulo", authorization=True, query_limit=1000, ids="simple")
    engine = described(Part.ENGINE, choices).command
    assert engine.index("-Duser.timezone=America/Sao_Paulo") < engine.index("-jar")
    assert {"--sandbox.authorization=true", "--sandbox.query-limit=1000", "--sandbox.ids=simple"} < set(engine)
    plain = " ".join(described(Part.ENGINE).command)
    assert "--sandbox.authorization=false" in plain
    assert not [word for word in ("timezone", "query-limit", "AUTO_SERVER") if word in plain]


def test_two_nodes_open_one_database() -> None:
    first = described(Part.ENGINE, Choices(base=20000, shared=True)).command
    second = described(Part.ENGINE, Choices(base=20010, node_of="/another")).command
    assert f"--sandbox.database=file:{HOME}/engine;WRITE_DELAY=0;AUTO_SERVER=TRUE" in first
    assert "--sandbox.database=file:/another/data/engine/engine;WRITE_DELAY=0;AUTO_SERVER=TRUE" in second
    with pytest.raises(ValueError, match="in memory"):
        Choices(base=20000, memory=True, shared=True)


def test_the_broker_is_a_node_of_its_own() -> None:
    env = described(Part.BROKER).env
    assert env["HOME"] == str(HOME)
    assert (env["RABBITMQ_NODE_IP_ADDRESS"], env["ERL_EPMD_ADDRESS"]) == ("127.0.0.1", "127.0.0.1")
    assert (env["RABBITMQ_NODE_PORT"], env["RABBITMQ_DIST_PORT"], env["ERL_EPMD_PORT"]) == ("20002", "20003", "20007")


def test_jaeger_listens_nowhere_but_on_the_loopback() -> None:
    listeners = [word for word in described(Part.JAEGER).command if "host-port" in word]
    assert listeners
    assert all("=127.0.0.1:" in word for word in listeners)


def test_a_kind_of_engine_is_in_the_table() -> None:
    assert Choices(base=20000, engine="operaton-1.0").engine == "operaton-1.0"
    with pytest.raises(ValueError, match=r"camunda-7\.24, .*operaton-1\.0.* none of them"):
        Choices(base=20000, engine="../7.23.0")


@pytest.mark.parametrize("base", [80, 70000])
def test_a_base_out_of_range_is_no_choice(base: int) -> None:
    with pytest.raises(ValueError, match="base port"):
        Choices(base=base)
