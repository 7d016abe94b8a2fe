"""Why a server can't be used, by what it or its client says; and what to change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from bridge.domain.errors import GatewayError, SetupError
from bridge.domain.messages import Message

ENGINE: Final = "engine"
STORE: Final = "mongodb"
BROKER: Final = "rabbitmq"
_SETTINGS: Final = {ENGINE: "CAMUNDA_URL", STORE: "MONGODB_URI", BROKER: "RABBITMQ_URL"}
_PARTS: Final = {
    "clock": STORE,
    "store": STORE,
    "schema": STORE,
    "dashboard_store": STORE,
    "access": STORE,
    "consumers": BROKER,
    "delivery": BROKER,
    "identity": ENGINE,
}
"""The server that each other step of a start needs."""


@dataclass(frozen=True, slots=True)
class Cause:
    """The cause's code, and what to change; nothing where the error's own text says that."""

    code: str
    change: str


@dataclass(frozen=True, slots=True)
class _Sign:
    """A part's errors whose text matches have this cause. `change` may name the address's setting as {url}."""

    parts: frozenset[str]
    text: re.Pattern[str]
    code: str
    change: str


def _sign(parts: str, text: str, code: str, change: str) -> _Sign:
    return _Sign(frozenset(parts.split()), re.compile(text, re.IGNORECASE), code, change)


_SIGNS: Final = (
    _sign(
        "engine mongodb rabbitmq",
        r"name or service not known|nodename nor servname|no address associated|temporary failure in name|DNS query",
        "host_unknown",
        "no host of this name is known here: check the spelling in {url}, and this machine's or container's DNS",
    ),
    _sign(
        "engine mongodb rabbitmq",
        r"connect call failed|connection refused|Errno 111|Errno 61\b",
        "refused",
        "nothing listens at that host and port: check both in {url}, and that the server runs; in a container "
        "`localhost` is the container itself",
    ),
    _sign(
        "engine mongodb rabbitmq",
        r"Errno 113|Errno 101|no route to host|network is unreachable",
        "unreachable",
        "no network leads to that host from here: check {url}, routes and firewalls",
    ),
    # -- MongoDB
    _sign(
        "mongodb",
        r"no replica set members|replica set name",
        "replica_set",
        "check `replicaSet` in MONGODB_URI: `rs.status().set` in mongosh tells the set's name, and a server that is "
        "alone has none: leave `replicaSet` out then",
    ),
    _sign(
        "mongodb",
        r"authentication failed|no such command: 'saslStart'|AuthenticationFailed",
        "login",
        "check user and password in MONGODB_URI, percent-encoded, and `authSource`, the database in which the user was "
        "created (often `authSource=admin`)",
    ),
    _sign(
        "mongodb",
        r"requires authentication",
        "login_missing",
        "put user and password into MONGODB_URI, as mongodb://user:password@host:27017/?authSource=admin",
    ),
    _sign(
        "mongodb",
        r"not authorized|not allowed to do action|Unauthorized",
        "right",
        "grant the gateway's user what the manual lists under `Least rights`; MongoDB's text names the missing action",
    ),
    _sign(
        "mongodb",
        r"larger than server max message size|connection reset|connection (is already )?closed|unexpected",
        "protocol",
        "what answers there does not speak MongoDB's protocol, or speaks it by TLS alone: check the port in "
        "MONGODB_URI (27017 as a rule), and add `tls=true` where the server wants TLS",
    ),
    _sign(
        "mongodb",
        r"database names? (cannot|can't|must)",
        "database_name",
        'MONGODB_DATABASE is a name without / \\ . space " $ and * in it, as worker_gateway',
    ),
    # -- RabbitMQ
    _sign(
        "rabbitmq",
        r"virtual host",
        "virtual_host",
        "",
    ),
    _sign(
        "rabbitmq",
        r"Login was refused|ProbableAuthentication|could not negotiate",
        "login",
        "check user and password in RABBITMQ_URL, percent-encoded; RabbitMQ lets `guest` in from its own host alone",
    ),
    _sign(
        "rabbitmq",
        r"ACCESS_REFUSED|access to .* refused",
        "right",
        "grant the gateway's user configure, write and read on its names, as the manual says under `Least rights`: "
        "`rabbitmqctl set_permissions -p VHOST USER '^EXCHANGE' '^EXCHANGE' '^EXCHANGE'`",
    ),
    _sign(
        "rabbitmq",
        r"bytes expected|unexpectedly closed|InvalidFrame|IncompatibleProtocol|did not answer in time",
        "protocol",
        "what answers there does not speak AMQP, or speaks it by TLS alone: check the port in RABBITMQ_URL (5672; "
        "15672 is the management page), and write amqps:// and 5671 where the server wants TLS",
    ),
    # -- the engine
    _sign(
        "engine",
        r"wrong path|External task with id version|does not exist|answers 404",
        "path",
        "CAMUNDA_URL is the REST interface's address, as a rule http://HOST:8080/engine-rest, with nothing behind it",
    ),
    _sign(
        "engine",
        r"answers 401|HTTP 401|login",
        "login",
        "check the engine's login: CAMUNDA_USERNAME and CAMUNDA_PASSWORD, CAMUNDA_TOKEN, or the CAMUNDA_OAUTH settings",
    ),
    _sign(
        "engine",
        r"answers 403|HTTP 403",
        "right",
        "grant the engine's user what the manual lists under `Rights in the engine`",
    ),
    _sign(
        "engine",
        r"bad status line|server disconnected|bytes expected|bad http",
        "protocol",
        "what answers there does not speak HTTP, or speaks it by TLS alone: check the port in CAMUNDA_URL, and write "
        "https:// where the server wants TLS",
    ),
    _sign(
        "engine",
        r"token",
        "token",
        "check the CAMUNDA_OAUTH settings: the token endpoint's address, the client's id and its secret",
    ),
)
_ELSE: Final = {
    ENGINE: "check CAMUNDA_URL (it ends with /engine-rest) and the login: CAMUNDA_USERNAME and CAMUNDA_PASSWORD, "
    "CAMUNDA_TOKEN, or the CAMUNDA_OAUTH settings",
    STORE: "check MONGODB_URI, and that a primary answers there",
    BROKER: "check RABBITMQ_URL (user, password, virtual host) and RABBITMQ_EXCHANGE",
}


def cause_of(part: str, error: GatewayError) -> Cause:
    """Return the cause of an error of a part, or of a step of the start that needs it.

    Its code begins with the part's name. An error that says itself what to change keeps its own code.
    """
    server = _PARTS.get(part, part)
    said = error.message
    inner = said.parameters.get("error")
    if isinstance(inner, Message) and inner.code.startswith("tls."):
        return Cause(inner.code, "")
    if isinstance(error, SetupError):
        return Cause(said.code, "")
    for sign in _SIGNS:
        if server in sign.parts and sign.text.search(said):
            return Cause(f"{server}.{sign.code}", sign.change.replace("{url}", _SETTINGS[server]))
    return Cause(said.code, _ELSE.get(server, ""))
