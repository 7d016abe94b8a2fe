"""The engine, the store and the broker by TLS: real servers behind real handshakes, as the settings say."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from bridge.adapters.camunda.client import unguarded
from bridge.domain.errors import BrokerUnavailable, EngineUnavailable, GatewayError, StoreUnavailable, TokenUnavailable
from bridge.registry import Registry
from gateway import adapters
from gateway.doctor import diagnose
from gateway.settings import Settings, read_settings
from tests.certificates import HOST, Certificates, alerting_server, tls_relay
from tests.contract.token_server import CLIENT, SECRET, token_server

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
"""MongoDB's driver leaves the socket of a handshake that failed to the garbage collector."""

Ask = Callable[[Settings], Awaitable[str]]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    yield
    gc.collect()


@asynccontextmanager
async def engine(settings: Settings) -> AsyncIterator[Any]:
    made = adapters.camunda_engine(
        settings,
        headers=dict,
        observe=lambda _operation, _status, _seconds: None,
        foreign=lambda _operation, _error: None,
        guard=unguarded,
        on_token_not_renewed=lambda _why: None,
        on_string_limit=lambda _limit: None,
        on_unreadable_row=lambda _operation, _row: None,
    )
    await made.open()
    try:
        yield made
    finally:
        await made.close()


async def ask_engine(settings: Settings) -> str:
    async with engine(settings) as made:
        return str(await made.version())


async def ask_store(settings: Settings) -> str:
    async with adapters.mongo_access_store(settings) as store:
        return await store.version()


async def ask_broker(settings: Settings) -> str:
    publisher = adapters.rabbit_publisher(settings, Registry({}), lambda _topic, _error: None)
    await publisher.open()
    await publisher.close()
    return "connected"


@dataclass(frozen=True)
class Way:
    """How one server is reached: the setting of its address, the scheme with TLS, and what becomes of a failure."""

    setting: str
    prefix: str
    scheme: str
    ask: Ask
    error: type[GatewayError]

    def settings(self, address: str, **files: str) -> Settings:
        """Return the settings for an address by TLS, with the files that are set."""
        return read_settings(
            **{self.setting: address}, **{f"{self.prefix}_{name}": path for name, path in files.items()}
        )

    def address(self, port: int, real: str | None = None) -> str:
        """Return the address of the port, with the path and the user of the real server's."""
        url = URL(real or f"{self.scheme}://x:1/").with_host(HOST).with_port(port)
        return str(url).replace(url.scheme, self.scheme, 1) + ("?tls=true" if self.scheme == "mongodb" else "")


WAYS: Mapping[str, Way] = {
    "engine": Way("camunda_url", "camunda", "https", ask_engine, EngineUnavailable),
    "store": Way("mongodb_uri", "mongodb", "mongodb", ask_store, StoreUnavailable),
    "broker": Way("rabbitmq_url", "rabbitmq", "amqps", ask_broker, BrokerUnavailable),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]


@pytest.mark.parametrize("key", [None, "key_file"])
async def test_a_server_with_a_private_ca_that_asks_for_a_certificate(
    way: Way, key: str | None, certificates: Certificates, servers: dict[str, str]
) -> None:
    real = servers[way.setting.upper()]
    target = URL(real)
    assert target.host is not None
    assert target.port is not None
    files = {"ca_file": certificates.ca_file, "cert_file": certificates.pair_file}
    if key is not None:
        files |= {"cert_file": certificates.cert_file, "key_file": certificates.key_file}
    async with tls_relay(certificates.server(wants_client=True), (target.host, target.port)) as port:
        assert await way.ask(way.settings(way.address(port, real), **files))


@pytest.mark.parametrize(
    ("server", "ca", "fault"),
    [
        ({}, None, "the server's certificate is not trusted .*: name the CA that signed it in {}_CA_FILE"),
        ({}, "other_ca_file", "the server's certificate is not trusted .*: name the CA that signed it in {}_CA_FILE"),
        ({"name": "elsewhere.example"}, "ca_file", "for another name .*not valid for 'localhost'"),
        ({"is_expired": True}, "ca_file", "certificate has expired, the server's: have it renewed"),
        (None, "ca_file", "the server does not speak TLS at this port"),
    ],
)
async def test_a_handshake_that_fails_says_what_to_change(
    way: Way, server: dict[str, Any] | None, ca: str | None, fault: str, certificates: Certificates
) -> None:
    files = {} if ca is None else {"ca_file": getattr(certificates, ca)}
    async with tls_relay(None if server is None else certificates.server(**server)) as port:
        with pytest.raises(way.error, match=fault.format(way.prefix.upper())):
            await way.ask(way.settings(way.address(port), **files))


async def test_a_server_that_asks_for_a_certificate_in_vain_says_so(certificates: Certificates) -> None:
    way = WAYS["engine"]
    text = "the server wants a certificate of the gateway's: set CAMUNDA_CERT_FILE"
    with alerting_server(certificates.server(wants_client=True)) as port, pytest.raises(EngineUnavailable, match=text):
        await way.ask(way.settings(way.address(port), ca_file=certificates.ca_file))


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_the_token_endpoint_may_have_a_ca_of_its_own(is_trusted: bool, certificates: Certificates) -> None:
    async with token_server() as server:
        target = URL(server.url)
        async with tls_relay(certificates.server(), ("127.0.0.1", target.port or 0)) as port:
            settings = read_settings(
                camunda_url="http://127.0.0.1:9",
                camunda_oauth_token_url=f"https://{HOST}:{port}/token",
                camunda_oauth_client_id=CLIENT,
                camunda_oauth_client_secret=SECRET,
                camunda_oauth_ca_file=certificates.ca_file if is_trusted else certificates.other_ca_file,
            )
            wanted = EngineUnavailable if is_trusted else TokenUnavailable
            text = "Connect" if is_trusted else "the server's certificate is not trusted .* CAMUNDA_OAUTH_CA_FILE"
            with pytest.raises(wanted, match=text):
                await ask_engine(settings)
            assert len(server.asked) == is_trusted


async def test_the_doctor_tells_of_each_server(certificates: Certificates, tmp_path: Path) -> None:
    async with tls_relay(certificates.server(is_expired=True)) as port:
        addresses = {way.setting: way.address(port) for way in WAYS.values()}
        files = {f"{way.prefix}_ca_file": certificates.ca_file for way in WAYS.values()}
        found = await diagnose(read_settings(**addresses, **files), Registry({}))
    told = {finding.part: finding.says for finding in found}
    assert [part for part in ("engine", "mongodb", "rabbitmq") if "certificate has expired" not in told[part]] == []
    missing = read_settings(**{**addresses, **files, "camunda_ca_file": str(tmp_path / "none.pem")})
    assert [(one.part, one.ok, one.says) for one in await diagnose(missing, Registry({}))] == [
        ("settings", False, f"CAMUNDA_CA_FILE: {tmp_path}/none.pem can't be read: No such file or directory")
    ]
