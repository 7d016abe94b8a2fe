"""Tokens for the engine by OAuth 2.0 client credentials (RFC 6749, 4.4), by Authlib."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote_plus

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from pydantic import SecretStr

from bridge.domain.errors import TokenUnavailable
from bridge.domain.messages import Message, message
from bridge.domain.tls_faults import tls_fault

_WITHIN: Final = 10.0
"""Seconds that the token endpoint may take."""
_RENEWED_AFTER: Final = (0.75, 0.9)
"""The share of a token's life after which it is renewed, drawn by chance: replicas don't ask all at once."""
_AGAIN_AFTER: Final = 5.0
"""Seconds after a renewal failed until the next one, while the old token is good."""
_REFUSED_AGAIN_AFTER: Final = 1.0
"""The same where there is no token: calls that come meanwhile get the same failure."""
_YOUNG: Final = 5.0
"""Seconds for which a token that the engine refuses is not replaced: a new one would be refused, too."""


class ClientAuthentication(StrEnum):
    """How the client's secret goes to the token endpoint (RFC 6749, 2.3.1)."""

    BASIC = "client_secret_basic"
    POST = "client_secret_post"


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """The gateway as a client of the token endpoint at `token_url`."""

    token_url: str
    client_id: str
    client_secret: SecretStr
    scope: str | None = None
    audience: str | None = None
    authentication: ClientAuthentication = ClientAuthentication.BASIC


@dataclass(frozen=True, slots=True)
class _Token:
    """A token; `renew_at` and `ends_at` are moments of the monotonic clock, infinite where its life is not told."""

    value: str
    obtained_at: float
    renew_at: float
    ends_at: float


class ClientCredentials:
    """`adapters.camunda.client.Tokens`. One request at a time is made, which all calls that need a token wait for.

    A token is renewed before its end while calls go on with it. `on_failure` gets why that failed: it is tried again
    until the token ends, and only then do calls raise `TokenUnavailable`. `tls` is for an own CA.
    """

    def __init__(
        self,
        client: OAuthClient,
        *,
        tls: ssl.SSLContext | None = None,
        on_failure: Callable[[Message], None] = lambda _why: None,
        monotonic: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self._client = client
        self._tls = tls or ssl.create_default_context()
        self._on_failure = on_failure
        self._monotonic = monotonic
        self._chance = chance or random.Random()  # noqa: S311 - it spreads load, it keeps no secret
        self._token: _Token | None = None
        self._request: asyncio.Task[_Token | Message] | None = None
        self._failure: Message | None = None
        self._failed_at = float("-inf")

    async def current(self) -> str:
        """Return a token that is good as far as is known. Raises `TokenUnavailable`."""
        token, now = self._token, self._monotonic()
        if token is None or now >= token.ends_at:
            return await self._obtain()
        if now >= token.renew_at and self._is_idle and now >= self._failed_at + _AGAIN_AFTER:
            self._begin()
        return token.value

    async def replace(self, refused: str) -> str | None:
        """Return another token than the one that the engine refused; None where that one is new itself.

        Raises `TokenUnavailable`.
        """
        token = self._token
        if token is not None and token.value == refused:
            if self._monotonic() - token.obtained_at < _YOUNG:
                return None
            self._token = None
        return await self.current()

    async def close(self) -> None:
        """End a request that is under way."""
        if self._request is not None:
            self._request.cancel()
            await asyncio.gather(self._request, return_exceptions=True)
            self._request = None

    @property
    def _is_idle(self) -> bool:
        return self._request is None or self._request.done()

    async def _obtain(self) -> str:
        """Wait for a token, by the request that is under way or a new one."""
        request = self._request
        if request is None or request.done():
            if self._failure is not None and self._monotonic() < self._failed_at + _REFUSED_AGAIN_AFTER:
                raise TokenUnavailable(self._failure)
            request = self._begin()
        match await asyncio.shield(request):
            case _Token(value=value):
                return value
            case Message() as refusal:
                raise TokenUnavailable(refusal)

    def _begin(self) -> asyncio.Task[_Token | Message]:
        self._request = asyncio.create_task(self._renew(), name="engine token")
        return self._request

    async def _renew(self) -> _Token | Message:
        found = await self._ask()
        if isinstance(found, Message):
            self._failure, self._failed_at = found, self._monotonic()
            if self._token is not None:
                self._on_failure(found)
        else:
            self._token, self._failure, self._failed_at = found, None, float("-inf")
        return found

    async def _ask(self) -> _Token | Message:
        """Ask the token endpoint, and return what it says."""
        asked_at = self._monotonic()
        try:
            async with asyncio.timeout(_WITHIN), self._http() as http:
                answer = await http.fetch_token(
                    self._client.token_url, grant_type="client_credentials", **self._token_request
                )
            return self._read(answer, asked_at)
        except OAuthError as error:
            said = f"{error.error}: {error.description}" if error.description else str(error.error)
            return message("engine.token.refused", error=self._without_secret(said))
        except httpx2.HTTPStatusError as error:
            return message("engine.token.status", status=error.response.status_code)
        except TimeoutError:
            return message("engine.token.timeout", seconds=f"{_WITHIN:g}")
        except httpx2.HTTPError as error:
            said = tls_fault(str(error), "CAMUNDA_OAUTH") or str(error) or type(error).__name__
            return message("engine.token.no_answer", error=said)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            return message("engine.token.unreadable", error=self._without_secret(str(error)))

    @property
    def _token_request(self) -> dict[str, str]:
        return {} if self._client.audience is None else {"audience": self._client.audience}

    def _http(self) -> Any:
        client, secret = self._client, self._client.client_secret.get_secret_value()
        basic = client.authentication is ClientAuthentication.BASIC
        return AsyncOAuth2Client(
            # RFC 6749, 2.3.1: both are form-encoded in the header, which Authlib leaves to its caller.
            quote_plus(client.client_id) if basic else client.client_id,
            quote_plus(secret) if basic else secret,
            token_endpoint_auth_method=client.authentication.value,
            scope=client.scope,
            verify=self._tls,
            timeout=_WITHIN,
            follow_redirects=False,
        )

    def _read(self, answer: Any, asked_at: float) -> _Token:
        """Return the token (RFC 6749, 5.1). Raises `ValueError` for what is none."""
        value, kind, life = answer.get("access_token"), answer.get("token_type", "Bearer"), answer.get("expires_in")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable() or not value:
            raise ValueError("there is no access_token that can be sent")
        if str(kind).lower() != "bearer":
            raise ValueError(f"token_type is {str(kind)[:40]!r}, and only Bearer is known here")
        seconds = float(life or 0)
        if not seconds > 0:
            seconds = float("inf")
        renew_at = asked_at + seconds * self._chance.uniform(*_RENEWED_AFTER)
        return _Token(value, self._monotonic(), renew_at, asked_at + seconds)

    def _without_secret(self, text: str) -> str:
        return text.replace(self._client.client_secret.get_secret_value(), "***")[:300]
