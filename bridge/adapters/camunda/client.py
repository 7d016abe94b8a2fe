"""The transport to Camunda 7: the client library's protocol over pooled connections."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import orjson
from aiohttp.abc import AbstractStreamWriter
from camunda.client.async_external_task_client import AsyncExternalTaskClient
from yarl import URL

from bridge.adapters.camunda.answers import Answer, Read, interpret
from bridge.adapters.camunda.bounds import SMALL_ANSWER, AnswerLimit, read_bounded
from bridge.adapters.camunda.call_slots import LONG_CALLS, CallSlots
from bridge.domain.errors import (
    AnswerTooLarge,
    CallCut,
    CallNotMade,
    EngineTimeout,
    EngineUnavailable,
    ForeignAnswer,
    SetupError,
    TokenUnavailable,
)
from bridge.domain.messages import message
from bridge.domain.tls_faults import tls_fault
from bridge.ports.engine import TopicPoll
from bridge.runtime.own_threads import OwnThreads

# Below the 20 s after which the engine's Tomcat drops an idle connection: a request on one just dropped fails.
_KEEP_ALIVE: Final = 15.0
_POLLS_AT_ONCE: Final = 8
# Each call has its own deadline; aiohttp's timers would only add to its cost.
_UNTIMED: Final = aiohttp.ClientTimeout(total=None)
_TIMED_OUT: Final = frozenset({408, 504})
# A call that a dead engine doesn't take ends sooner.
_HELD: Final = 1.0

T = TypeVar("T")

Observe = Callable[[str, int | None, float], None]
Headers = Callable[[], Mapping[str, str]]


Foreign = Callable[[str, ForeignAnswer], None]


class Guard(Protocol):
    """Makes a call, or refuses it by `EngineUnavailable`."""

    async def __call__(self, call: Callable[[], Awaitable[T]]) -> T: ...


class Tokens(Protocol):
    """Gives bearer tokens that end after some time."""

    async def current(self) -> str:
        """Return a token that is good as far as is known. Raises `TokenUnavailable`."""
        ...

    async def replace(self, refused: str) -> str | None:
        """Return another token than the one that was refused; None where there is none. Raises `TokenUnavailable`."""
        ...

    async def close(self) -> None:
        """End what is under way."""
        ...


async def unguarded(call: Callable[[], Awaitable[T]]) -> T:
    """Make the call, without a guard."""
    return await call()


class _Content(aiohttp.BytesPayload):
    """A request's body that knows whether it was sent."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content, content_type="application/json")
        self.sent = False

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await super().write_with_length(writer, content_length)
        self.sent = True


class CamundaClient(AsyncExternalTaskClient):  # type: ignore[misc]  # the package has no types
    """The client library's URLs, headers and request shape, over pooled connections.

    The library opens a connection for every call, hides the status of an error and logs its configuration with the
    credentials in it; so the transport is ours, and credentials stay out of that configuration. Polls have connections
    of their own, so that waiting ones never hold up a completion.
    """

    def __init__(
        self,
        base_url: str,
        *,
        credentials: str | None,
        tokens: Tokens | None,
        fixed_headers: Mapping[str, str],
        connections: int,
        timeout: timedelta,
        tls: ssl.SSLContext | bool,
        headers: Headers,
        observe: Observe,
        foreign: Foreign,
        guard: Guard,
    ) -> None:
        if urlsplit(base_url).username is not None:
            raise SetupError("CAMUNDA_URL has credentials in it: put them into CAMUNDA_USERNAME and CAMUNDA_PASSWORD")
        super().__init__(
            worker_id="bridge",
            engine_base_url=base_url,
            config={
                "httpTimeoutMillis": millis(timeout),
                "includeExtensionProperties": False,
                "deserializeValues": False,
                "usePriority": True,
                "sorting": [{"sortBy": "createTime", "sortOrder": "asc"}],
            },
        )
        self.base_url = base_url
        self._credentials = credentials
        self._tokens = tokens
        self._fixed_headers = fixed_headers
        self._connections = connections
        self._tls = tls
        self._call_headers = headers
        self._observe = observe
        self._foreign = foreign
        self._guard = guard
        self._slots = CallSlots(connections)
        self._poll_slots = CallSlots(_POLLS_AT_ONCE)
        self._counting = OwnThreads("answer", 1)
        self._calls: aiohttp.ClientSession | None = None
        self._polls: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the pools; connections are opened as they are needed."""
        if self._calls is None:
            self._calls = self._pool(self._connections + LONG_CALLS)
            self._polls = self._pool(_POLLS_AT_ONCE)

    async def close(self) -> None:
        """Close all connections. Polls must have returned, or the engine locks tasks that no process works."""
        pools, self._calls, self._polls = (self._calls, self._polls), None, None
        for pool in pools:
            if pool is not None:
                await pool.close()
        if self._tokens is not None:
            await self._tokens.close()
        self._counting.close()

    def _pool(self, connections: int) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            proxy=_proxy_of(self.base_url),
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=_KEEP_ALIVE, ssl=self._tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._get_headers(),
        )

    def _get_headers(self) -> dict[str, str]:
        """Return what each call has; a call's own come on top of that."""
        headers = {**self._fixed_headers, "Content-Type": "application/json", "Accept": "application/json"}
        if self._credentials is not None:
            headers["Authorization"] = self._credentials
        return headers

    def fetch_body(self, worker_id: str, max_tasks: int, topics: Sequence[TopicPoll], wait: timedelta) -> Any:
        """Return the body of a fetchAndLock for all topics at once."""
        return {
            "workerId": worker_id,
            "maxTasks": max_tasks,
            "topics": [self._topic(topic) for topic in topics],
            "asyncResponseTimeout": millis(wait),
            "usePriority": self.config["usePriority"],
            "sorting": self.config["sorting"],
        }

    def _topic(self, poll: TopicPoll) -> dict[str, Any]:
        (body,) = self._get_topics(poll.topic, None, None if poll.variables is None else list(poll.variables))
        body["lockDuration"] = millis(poll.lock)
        if poll.process_definition_keys is not None:
            body["processDefinitionKeyIn"] = list(poll.process_definition_keys)
        if poll.tenant_ids is not None:
            body["tenantIdIn"] = list(poll.tenant_ids)
        return {**body, **_narrowed(poll)}

    async def ask(
        self,
        operation: str,
        method: str,
        url: str,
        body: Any = None,
        *,
        read: Read[T],
        wait: timedelta | None = None,
        deadline: timedelta | None = None,
        limit: AnswerLimit = SMALL_ANSWER,
    ) -> T:
        """Make one call and return what `read` takes from its answer.

        `wait` is how long the engine may hold a poll, `deadline` how long this call may take instead of the usual time,
        `limit` how much is read of the answer, counted after decompression: beyond it `AnswerTooLarge` is raised.

        `operation` names the call for the observer. Raises as `ports.engine.Engine` says, and `CallCut` for a long one
        that ended while it was held. The answer is read within the guard: what isn't the engine's is none there either.
        """

        async def call() -> T:
            began = time.monotonic()
            try:
                answer = await self._send(operation, method, url, body, wait, most=deadline, limit=limit)
                return interpret(operation, answer, read)
            except (AnswerTooLarge, TokenUnavailable):
                raise
            except EngineUnavailable as error:
                took = time.monotonic() - began
                if (wait and _is_cut(error, took)) or (deadline and took >= self.http_timeout_seconds):
                    raise CallCut(error.message) from error
                if isinstance(error, ForeignAnswer):
                    self._foreign(operation, error)
                raise

        return await self._guard(call)

    async def ask_past_guard(self, operation: str, url: str, *, read: Read[T]) -> T:
        """Make a GET that the guard itself needs; raises as `ask`; foreign answers are not reported."""
        return interpret(operation, await self._send(operation, "GET", url, None, None), read)

    async def _send(
        self,
        operation: str,
        method: str,
        url: str,
        body: Any,
        wait: timedelta | None,
        *,
        most: timedelta | None = None,
        limit: AnswerLimit = SMALL_ANSWER,
    ) -> Answer:
        """Make one call; once more with a new token where the first is refused: a 401 changed nothing in the engine."""
        send = partial(self._send_once, operation, method, url, body, wait, most=most, limit=limit)
        if self._tokens is None or self._calls is None:
            return await send()
        token = await self._tokens.current()
        answer = await send(token=token)
        if answer.is_login_refused and (another := await self._tokens.replace(token)) is not None:
            return await send(token=another)
        return answer

    async def _send_once(
        self,
        operation: str,
        method: str,
        url: str,
        body: Any,
        wait: timedelta | None,
        *,
        most: timedelta | None,
        limit: AnswerLimit,
        token: str | None = None,
    ) -> Answer:
        pool, slots = (self._calls, self._slots) if wait is None else (self._polls, self._poll_slots)
        if pool is None:
            raise EngineUnavailable(message("engine.closed", operation=operation))
        content = None if body is None else _Content(orjson.dumps(body))
        headers = self._call_headers()
        if token is not None:
            headers = {**headers, "Authorization": f"Bearer {token}"}
        usual = self.http_timeout_seconds + (0.0 if wait is None else wait.total_seconds())
        deadline = usual if most is None else most.total_seconds()
        started, status = time.perf_counter(), None
        try:
            async with (
                asyncio.timeout(deadline),
                slots.slot(usual if most else None),
                pool.request(
                    method, url, data=content, headers=headers, allow_redirects=False, timeout=_UNTIMED
                ) as response,
            ):
                status = response.status
                answer = await read_bounded(operation, response, limit, self._counting)
                told = response.headers
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            status = None
            raise _no_answer(operation, error, deadline, content) from error
        finally:
            self._observe(operation, status, time.perf_counter() - started)
        return Answer(
            status,
            answer,
            told.get("Content-Type", ""),
            told.get("Content-Disposition", ""),
            told.get("Date"),
            0 if content is None else content.size or 0,
        )


def _narrowed(poll: TopicPoll) -> dict[str, Any]:
    """Return what a topic's entry has only where the topic asks for it."""
    options = {
        "localVariables": poll.local_variables or None,
        "includeExtensionProperties": poll.include_extension_properties or None,
        "businessKey": poll.business_key,
        "processVariables": poll.process_variables,
        "processDefinitionIdIn": poll.process_definition_ids,
        "processDefinitionVersionTag": poll.process_definition_version_tag,
        "withoutTenantId": poll.without_tenant_id or None,
    }
    return {name: value for name, value in options.items() if value is not None}


def millis(duration: timedelta) -> int:
    """Return the duration as the engine takes it, in whole milliseconds."""
    return duration // timedelta(milliseconds=1)


def _is_cut(error: EngineUnavailable, seconds: float) -> bool:
    """Return whether a poll of so many seconds was held, and ended by the way to the engine."""
    if isinstance(error, ForeignAnswer):
        return error.status in _TIMED_OUT or (error.status >= 500 and seconds >= _HELD)
    return seconds >= _HELD


def _proxy_of(address: str) -> URL | None:
    """Return the proxy that the environment names for the address (HTTP_PROXY, HTTPS_PROXY, NO_PROXY).

    aiohttp's own `trust_env` would also take logins for the engine from the file ~/.netrc. Raises `SetupError` for a
    proxy of another kind.
    """
    parts = urlsplit(address)
    named = getproxies().get(parts.scheme)
    if not named or proxy_bypass(parts.hostname or ""):
        return None
    proxy = URL(named if "://" in named else f"http://{named}")
    if proxy.scheme not in {"http", "https"}:
        raise SetupError(f"{parts.scheme.upper()}_PROXY names a proxy of the kind {proxy.scheme}, not http")
    return proxy


def _no_answer(operation: str, error: Exception, deadline: float, content: _Content | None) -> EngineUnavailable:
    """Tell a request that the engine has, and may be at work on, from one that never reached it."""
    if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
        if content is not None and content.sent:
            return EngineTimeout(message("engine.timeout", operation=operation, seconds=f"{deadline:g}"))
        return CallNotMade(message("engine.timeout", operation=operation, seconds=f"{deadline:g}"))
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return CallNotMade(message("engine.no_proxy", operation=operation, error=error))
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return CallNotMade(message("engine.no_proxy", operation=operation, error=f"HTTP {error.status}"))
    no_answer = CallNotMade if isinstance(error, aiohttp.ClientConnectorError) else EngineUnavailable
    said = tls_fault(str(error), "CAMUNDA") or str(error) or type(error).__name__
    return no_answer(message("engine.no_answer", operation=operation, error=said))
