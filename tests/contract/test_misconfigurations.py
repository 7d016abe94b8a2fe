"""Misconfigurations, each really made: a start and `gateway doctor` name it by its code, and say what to change."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aio_pika
import pytest

from bridge.domain.errors import StoreUnavailable
from gateway.checks.causes import cause_of
from gateway.settings import Settings
from gateway.settings_file import NAMED_BY
from sandbox import Part, Sandbox
from tests.certificates import Certificates
from tests.conftest import base_port
from tests.contract.misconfigured import Ground, new_name
from tests.faults.broker import rabbitmqctl
from tests.guarded import GuardedEngine

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
"""MongoDB's driver leaves sockets to the collector where its monitor is cancelled while it connects."""

SETUP: Final = "setup"
"""The code of a text that says by itself what to change."""


@dataclass(frozen=True)
class Case:
    """Settings, by name; {names} are places of the ground. `code` and `told`, a pattern, are what must be found."""

    name: str
    part: str
    env: Mapping[str, str]
    code: str
    told: str
    file: str | None = None
    before: str | None = None


def of_settings(name: str, told: str, code: str = SETUP, file: str | None = None, **env: str) -> Case:
    return Case(name, "settings", env, code, told, file)


SETTINGS: Final = [
    of_settings("misspelt", "LOCK_DURTION .* did you mean LOCK_DURATION", "settings.unknown", file="LOCK_DURTION=30"),
    of_settings("unknown", "MY_KEY .* `.env.gateway.example` has all", "settings.unknown", file="MY_KEY=1"),
    of_settings("misspelt outside", "MONGODB_URL .* did you mean MONGODB_URI", "settings.unknown", MONGODB_URL="x"),
    of_settings("no secret", "did you mean CAMUNDA_URL", "settings.unknown", file="CAMUNDA_URL_FILE=x"),
    of_settings("no file", "GATEWAY_ENV_FILE: .*none can't be read", GATEWAY_ENV_FILE="{folder}/none"),
    of_settings("broken line", "line 2: write NAME=value, and close each quote", file="PORT=1\nX='a"),
    of_settings("milliseconds", "LOCK_DURATION.* for 60000 milliseconds write 60", LOCK_DURATION="60000"),
    of_settings("hours", "if milliseconds are meant, write 60", "settings.milliseconds", TASK_TIMEOUT="60000"),
    of_settings("no time", "TASK_TIMEOUT: .*greater than 0", TASK_TIMEOUT="0"),
    of_settings("a unit", "TASK_TIMEOUT: .*the number of seconds alone, without a unit", TASK_TIMEOUT="5m"),
    of_settings("bad boolean", "DEBUG: .*write true or false", DEBUG="maybe"),
    of_settings("bad number", "FETCH_SIZE: .*write a number", FETCH_SIZE="many"),
    of_settings("bad word", "LOG_LEVEL: .*'DEBUG', 'INFO'", LOG_LEVEL="chatty"),
    of_settings("out of range", "PORT: .*less than or equal to 65535", PORT="70000"),
    of_settings("long claim", "CLAIM_DURATION must not exceed LOCK_DURATION", CLAIM_DURATION="120"),
    of_settings("long delay", "RETRY_DELAY must not exceed RETRY_DELAY_MAX", RETRY_DELAY="900"),
    of_settings("short lock", "runs twice.* raise LOCK_DURATION", "settings.short_lock", LOCK_DURATION="21"),
    of_settings("time zone", "ENGINE_TIMEZONE: .*America/Sao_Paulo", ENGINE_TIMEZONE="Brasilia"),
    of_settings("no scheme", "CAMUNDA_URL: must start with http://", CAMUNDA_URL="camunda:8080/engine-rest"),
    of_settings("login in address", "put them into CAMUNDA_USERNAME", CAMUNDA_URL="http://a:b@camunda/engine-rest"),
    of_settings("long path", "end it with", "settings.engine_path", CAMUNDA_URL="http://c/engine-rest/task"),
    of_settings("wrong scheme", "RABBITMQ_URL: it must start with amqp://", RABBITMQ_URL="http://broker"),
    of_settings("raw password", "RABBITMQ_URL: .*percent-encode", RABBITMQ_URL="amqp://u:s3/cret@broker/"),
    of_settings("option", "Unknown option: repl", "settings.mongodb_option", MONGODB_URI="mongodb://h/?replSet=a"),
    of_settings("secret's file", "RABBITMQ_URL_FILE: /nowhere can't", RABBITMQ_URL_FILE="/nowhere"),
    of_settings("empty secret", "CAMUNDA_TOKEN_FILE: .*is empty", CAMUNDA_TOKEN_FILE="{folder}/empty"),
    of_settings("secret twice", "set one of them, not both", CAMUNDA_TOKEN_FILE="{folder}/empty", CAMUNDA_TOKEN="x"),
    of_settings("CA's file", "CAMUNDA_CA_FILE: /nowhere can't", CAMUNDA_CA_FILE="/nowhere", CAMUNDA_URL="https://x"),
    of_settings("CA in vain", "must begin with https://", CAMUNDA_CA_FILE="{ca}"),
    of_settings("half a login", "CAMUNDA_USERNAME and CAMUNDA_PASSWORD: set both", CAMUNDA_USERNAME="bridge"),
    of_settings("open login", "use https://", "settings.login_in_clear", CAMUNDA_TOKEN="x", CAMUNDA_URL="http://camunda/x"),
    of_settings(
        "admin's password", "GATEWAY_ADMIN_PASSWORD: .*12", "settings.admin_password",
        GATEWAY_ADMIN_USER="ana", GATEWAY_ADMIN_PASSWORD="short",
    ),
    of_settings("half a provider", "OIDC_ISSUER needs OIDC_CLIENT_ID", OIDC_ISSUER="https://login.example.com"),
    Case("no package", "topics", {"TOPICS_PACKAGE": "no_such_topics"}, "topic.package_missing", "no_such_topics"),
    Case("broken topic", "topics", {"TOPICS_PACKAGE": "broken_topics"}, "topic.invalid", "bad.*NameError: .*nowhere"),
    Case("no topic", "topics", {"TOPICS_PACKAGE": "empty_topics"}, "topic.invalid", "declares no topic: decorate"),
    Case("unknown topic", "topics", {"SUPPORTED_TOPICS": "nope"}, "topic.invalid", "names nope.*known:"),
]  # fmt: skip


def of_engine(name: str, address: str, code: str, told: str, **env: str) -> Case:
    return Case(name, "engine", {"CAMUNDA_URL": address, "POLL_WAIT": "1", **env}, code, told)


def of_store(name: str, address: str, code: str, told: str, before: str | None = None, **env: str) -> Case:
    return Case(name, "store", {"MONGODB_URI": address, **env}, code, told, before=before)


def of_broker(name: str, address: str, code: str, told: str, before: str | None = None, **env: str) -> Case:
    return Case(name, "broker", {"RABBITMQ_URL": address, **env}, code, told, before=before)


REST: Final = "http://{engine}/engine-rest"
SERVERS: Final = [
    of_engine("host", "http://no-such-host.invalid/engine-rest", "engine.host_unknown", "spelling in CAMUNDA_URL"),
    of_engine("port", "http://{closed}/engine-rest", "engine.refused", "nothing listens.*CAMUNDA_URL"),
    of_engine("path", "http://{engine}", "engine.path", "http://HOST:8080/engine-rest"),
    of_engine("engine's name", f"{REST}/engine/nope", "engine.refuses", "CAMUNDA_URL/engine/NAME: check NAME"),
    of_engine("protocol", "http://{broker}/engine-rest", "engine.protocol", "does not speak HTTP"),
    of_engine("TLS to a plain port", "https://{engine}/engine-rest", "tls.none", "the address's scheme"),
    of_engine("plain to a TLS port", "http://{engine_by_tls}/engine-rest", "engine.protocol", "write https://"),
    of_engine("CA", "https://{engine_by_tls}/x", "tls.not_trusted", "CAMUNDA_CA_FILE", CAMUNDA_CA_FILE="{ca}"),
    of_engine("no history", "http://{engine_without_history}", "engine.history_level", "history level to full"),
    of_engine("poll not held", "http://{engine_without_history}", "engine.poll_not_held", "asyncResponseTimeout"),
    of_engine("poll cut", "http://{engine_behind_a_short_proxy}", "engine.poll_cut", "raise the time-out of the proxy"),
    of_store("host", "mongodb://no-such-host.invalid/", "mongodb.host_unknown", "spelling in MONGODB_URI"),
    of_store("port", "mongodb://{closed}/", "mongodb.refused", "nothing listens.*MONGODB_URI"),
    of_store("protocol", "mongodb://{broker}/", "mongodb.protocol", "27017"),
    of_store("plain to a TLS port", "mongodb://{store_by_tls}/", "mongodb.protocol", "add `tls=true`"),
    of_store("unknown CA", "mongodb://{store_by_tls}/?tls=true", "tls.not_trusted", "in MONGODB_CA_FILE"),
    of_store("replica set's name", "mongodb://{store}/?replicaSet=rs9", "mongodb.replica_set", "check `replicaSet`"),
    of_store("no replica set", "mongodb://{store}/", "mongodb.no_replica_set", "use a replica set"),
    of_store("password", "mongodb://u:p@{store_with_password}/", "mongodb.login", "authSource"),
    of_store("right", "mongodb://{store_without_right}/", "mongodb.right", "Least rights"),
    of_store("clock", "mongodb://{store_ahead}/", "mongodb.clock", "differ by 30\\d.* set both by NTP"),
    of_store("database", "mongodb://{store}/", "mongodb.database_name", "MONGODB_DATABASE", MONGODB_DATABASE="a.b"),
    of_store("older gateway's index", "mongodb://{store}/", "store.foreign_index", "set MONGODB_DATABASE", "index"),
    of_store("older tasks", "mongodb://{store}/", "store.foreign_documents", "set MONGODB_DATABASE", "documents"),
    of_store("newer schema", "mongodb://{store}/", "store.too_new", "start a newer version", "schema"),
    of_store(
        "another's exchange", "mongodb://{store}/", "rabbitmq.other_exchange",
        "exchange a of the virtual host v, others .* the exchange b of the virtual host /.*same RABBITMQ_EXCHANGE",
        "process",
        RABBITMQ_EXCHANGE="a", RABBITMQ_URL="amqp://guest:guest@broker/v",
    ),
    of_broker("host", "amqp://no-such-host.invalid/", "rabbitmq.host_unknown", "spelling in RABBITMQ_URL"),
    of_broker("port", "amqp://{closed}/", "rabbitmq.refused", "nothing listens.*RABBITMQ_URL"),
    of_broker("vhost", "amqp://guest:guest@{broker}/nowhere", "rabbitmq.virtual_host", "add_vhost"),
    of_broker("password", "amqp://guest:wrong@{broker}/", "rabbitmq.login", "check user and password"),
    of_broker("protocol", "amqp://{engine}/", "rabbitmq.protocol", "15672 is the management page"),
    of_broker("TLS to a plain port", "amqps://{broker}/", "tls.none", "the address's scheme"),
    of_broker("plain to a TLS port", "amqp://{broker_by_tls}/", "rabbitmq.protocol", "write amqps://"),
    of_broker("exchange", "amqp://guest:guest@{broker}/", "rabbitmq.queue", "delete it", "exchange"),
    Case("taken port", "http", {"PORT": "{taken}", "HOST": "127.0.0.1"}, "http.port", "choose another PORT"),
    Case("foreign host", "http", {"HOST": "192.0.2.1"}, "http.port", "set HOST to an address of this machine"),
    Case(
        "issuer", "provider",
        {
            "OIDC_ISSUER": "http://{other_issuer}", "OIDC_CLIENT_ID": "gateway", "OIDC_ADMINS": "admins",
            "PUBLIC_URL": "https://gateway.example.com",
        },
        "provider.other_issuer", "see OIDC_ISSUER",
    ),
    Case("traces", "traces", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://{closed}"}, "traces.away", "collector's address"),
]  # fmt: skip
RIGHTS: Final = ["configure", "write", "read"]


@pytest.fixture
async def ground(
    servers: dict[str, str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Ground]:
    for name in [*Settings.model_fields, "otel_exporter_otlp_endpoint"]:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "empty").touch()
    for package, text in (("broken_topics", "nowhere()"), ("empty_topics", "")):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
        (tmp_path / package / "bad.py").write_text(text)
    made = Ground(servers, tmp_path, Certificates(tmp_path_factory.mktemp("certificates")))
    async with made.stack:
        yield made


async def make(ground: Ground, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the case's settings, and make what they name."""
    env = {"CAMUNDA_URL": ground.servers["CAMUNDA_URL"], "MONGODB_DATABASE": new_name(), **case.env}
    if case.file is not None:
        env[NAMED_BY] = str(ground.folder / "settings")
        (ground.folder / "settings").write_text(case.file)
    for name, value in env.items():
        places = {place: await ground.place(place) for place in re.findall(r"\{(\w+)\}", value)}
        ground.env[name] = value.format(**places)
        monkeypatch.setenv(name, ground.env[name])
    if case.part == "store" and case.before is not None:
        await ground.prepared(case.before)


def named(case: Case) -> str:
    return f"{case.part}: {case.name}"


@pytest.mark.parametrize("case", [*SETTINGS, *SERVERS], ids=named)
async def test_it_is_named_with_what_to_change(ground: Ground, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    await make(ground, case, monkeypatch)
    if case.before == "exchange":
        monkeypatch.setenv("RABBITMQ_EXCHANGE", new_name())
        await _declare_another_exchange(ground)
    found = await ground.findings(case.part)
    one = next((one for one in found if one.code == case.code), None)
    assert one is not None, found
    assert re.search(case.told, f"{one.says}: {one.change}", re.DOTALL), one
    assert "s3/cret" not in f"{one.says}{one.change}"


async def _declare_another_exchange(ground: Ground) -> None:
    connection = await aio_pika.connect(ground.servers["RABBITMQ_URL"])
    async with connection:
        channel = await connection.channel()
        await channel.declare_exchange(f"{os.environ['RABBITMQ_EXCHANGE']}.dead", aio_pika.ExchangeType.TOPIC)


def test_each_word_of_the_driver_for_a_connection_that_was_closed_is_known() -> None:
    """It depends on when the other side closes it: another protocol's server does so as soon as it has read."""
    for said in ("connection closed", "connection is already closed", "connection reset by peer"):
        assert (
            cause_of("mongodb", StoreUnavailable(f"MongoDB did not answer (open): {said}")).code == "mongodb.protocol"
        )


async def test_nothing_is_found_where_nothing_is_wrong(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    good = {name: ground.servers[name] for name in ("MONGODB_URI", "RABBITMQ_URL")}
    await make(
        ground, Case("good", "all", {**good, "RABBITMQ_EXCHANGE": new_name(), "POLL_WAIT": "1"}, "", ""), monkeypatch
    )
    for part in ("settings", "engine", "store", "broker", "http", "provider", "traces"):
        wrong = {one.code for one in await ground.findings(part)} - {"", "mongodb.no_replica_set"}
        assert wrong == set(), part


async def test_no_file_and_no_server_is_named(ground: Ground) -> None:
    (one,) = [one for one in await ground.findings("settings") if one.code == "settings.no_file"]
    assert "GATEWAY_ENV_FILE" in one.change


async def test_an_engine_that_refuses_the_login_or_lacks_rights_is_named(
    ground: Ground, guarded_engine: GuardedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await guarded_engine.add_user()
    env = {"CAMUNDA_URL": guarded_engine.url, "CAMUNDA_USERNAME": "nobody", "CAMUNDA_PASSWORD": "no", "POLL_WAIT": "0"}
    await make(ground, Case("login", "engine", env, "", ""), monkeypatch)
    assert [one.code for one in await ground.findings("engine")] == ["engine.login"]
    monkeypatch.setenv("CAMUNDA_USERNAME", name)
    monkeypatch.setenv("CAMUNDA_PASSWORD", name)
    (one,) = [one for one in await ground.findings("engine") if not one.ok]
    assert (one.part, one.code) == ("rights", "engine.right_missing")
    assert "READ_HISTORY" in one.says


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A broker of this module's own, whose users are made here: one without each right, and one with the least."""
    sandbox = Sandbox(tmp_path_factory.mktemp("broker"), base_port=base_port(400))
    try:
        sandbox.up((Part.BROKER,))
        asyncio.run(_add_users(sandbox))
        yield sandbox
    finally:
        sandbox.down()


async def _add_users(sandbox: Sandbox) -> None:
    for user in [*RIGHTS, "least"]:
        await rabbitmqctl(sandbox, "add_user", user, user)
        patterns = ["^$" if right == user else "^limited" for right in RIGHTS]
        await rabbitmqctl(sandbox, "set_permissions", "-p", "/", user, *patterns)


@pytest.mark.parametrize("user", [*RIGHTS, "least"])
async def test_a_right_that_the_brokers_user_lacks_is_named_and_the_least_suffice(
    ground: Ground, own_broker: Sandbox, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = own_broker.env()["RABBITMQ_URL"].replace("guest:guest", f"{user}:{user}")
    case = Case(user, "broker", {"RABBITMQ_URL": address, "RABBITMQ_EXCHANGE": "limited"}, "", "")
    await make(ground, case, monkeypatch)
    found = await ground.findings("broker")
    assert [one.code for one in found if not one.ok] == ([] if user == "least" else ["rabbitmq.right"])
    assert all("set_permissions" in one.change for one in found if not one.ok)
