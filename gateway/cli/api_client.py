"""The HTTP API as the command line calls it: who answers, what is refused, and with which code a command then ends."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer

from bridge.domain.errors import GatewayError
from gateway.cli.failure import ExitCode, fail
from gateway.version import gateway_version

DEFAULT_URL: Final = "http://localhost:8000"
SECONDS: Final = 30
"""How long an answer may take."""
PAGE: Final = 200
"""How many tasks the API gives at once, at most."""
_PROBLEM: Final = "urn:problem-type:worker-api-gateway:"
_MOST_KEY: Final = 1000


class CallFailed(GatewayError):
    """A call of the API did not succeed; `code` is how the command ends."""

    def __init__(self, message: str, code: ExitCode, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.problem = problem or {"detail": message}


Url = Annotated[
    str, typer.Option("--url", envvar="GATEWAY_URL", help="Where the gateway is, with the path that a proxy adds.")
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", help="A file with the API key; else GATEWAY_KEY_FILE names it, or GATEWAY_KEY has it."),
]
CaFile = Annotated[
    Path | None,
    typer.Option("--ca-file", envvar="GATEWAY_CA_FILE", help="Certificates to trust (PEM) besides the system's."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class ApiClient:
    """Calls the API of one gateway."""

    def __init__(self, http: httpx.Client, url: str) -> None:
        self._http = http
        self._url = url

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """Return an answer; parameters that are None are left out. Raises `CallFailed`."""
        return self._call("GET", path, params={name: value for name, value in params.items() if value is not None})

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Make a change, and return what is answered. Raises `CallFailed`."""
        return self._call("POST", path, json=body)

    def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, f"{self._url}{path}", **options)
        except httpx.TimeoutException:
            raise CallFailed(f"no answer of {self._url} within {SECONDS} s", ExitCode.ERROR) from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise CallFailed(f"{self._url} is no address: {error}", ExitCode.USAGE) from None
        except httpx.TransportError as error:
            raise CallFailed(_no_connection(self._url, error), ExitCode.ERROR) from None
        return _read(answer, self._url)


@contextmanager
def api_client(url: str, key_file: Path | None, ca_file: Path | None) -> Iterator[ApiClient]:
    """Give a client of the gateway there; a call that fails ends the command with its code."""
    try:
        address = httpx.URL(url)
        if address.scheme not in {"http", "https"} or not address.host:
            raise CallFailed(f"{url} must start with http:// or https://, as in {DEFAULT_URL}", ExitCode.USAGE)
        if address.userinfo:
            raise CallFailed("the URL has credentials in it: give a key by GATEWAY_KEY_FILE", ExitCode.USAGE)
        headers = {"User-Agent": f"worker-api-gateway/{gateway_version()}", "Accept": "application/json"}
        key = read_key(key_file)
        if key is not None:
            headers["X-Api-Key"] = key
        with httpx.Client(headers=headers, timeout=SECONDS, verify=_trusted(ca_file)) as http:
            yield ApiClient(http, url.rstrip("/"))
    except httpx.InvalidURL as error:
        fail(CallFailed(f"the URL is no address: {error}", ExitCode.USAGE), ExitCode.USAGE)
    except CallFailed as error:
        fail(error, error.code)


def read_key(key_file: Path | None) -> str | None:
    """Return the API key: of the file, or of the environment. Raises `CallFailed`."""
    named = os.environ.get("GATEWAY_KEY_FILE")
    given = os.environ.get("GATEWAY_KEY")
    if key_file is None and given:
        if named:
            raise CallFailed("GATEWAY_KEY and GATEWAY_KEY_FILE: set one of them, not both", ExitCode.USAGE)
        return _checked(given.strip(), "GATEWAY_KEY")
    path = key_file or (Path(named) if named else None)
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_KEY).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise CallFailed(f"the key's file {path} can't be read: {why}", ExitCode.USAGE) from None
    return _checked(text, str(path))


def _checked(key: str, place: str) -> str:
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise CallFailed(f"{place} has no API key in it: one begins with wag_", ExitCode.USAGE)
    return key


def _trusted(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            raise CallFailed(f"{ca_file} has no certificates that can be read: {error}", ExitCode.USAGE) from None
    return context


def _no_connection(url: str, error: httpx.TransportError) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return f"the certificate of {url} is not trusted: name the file of its authority by --ca-file"
    hint = "is the gateway running there? --url or GATEWAY_URL names another"
    return f"no connection to {url}: {error or type(error).__name__}; {hint}"


def _read(answer: httpx.Response, url: str) -> dict[str, Any]:
    """Return the JSON object of an answer. Raises `CallFailed` for a refusal, and where no gateway has answered."""
    if answer.is_redirect:
        target = answer.headers.get("location", "")
        shown = httpx.URL(target).copy_with(query=None, userinfo=b"") if target.isprintable() else ""
        hint = "a proxy's login, or http where https is wanted"
        raise CallFailed(f"{url} is no API of a gateway: it leads on to {shown} ({hint})", ExitCode.ERROR)
    kind = answer.headers.get("content-type", "").partition(";")[0].strip()
    document: Any = None
    if kind.endswith("json"):
        try:
            document = answer.json()
        except ValueError:
            kind = "broken JSON"
    if not isinstance(document, dict) or (answer.is_error and not str(document.get("type")).startswith(_PROBLEM)):
        what = f"{answer.status_code} with {kind or 'no content'}"
        hint = "a proxy's page, or another program"
        raise CallFailed(f"what answers at {url} is no API of a gateway: {what} ({hint})", ExitCode.ERROR)
    if answer.is_error:
        raise CallFailed(_told(document, answer), _code_of(document, answer.status_code), document)
    return document


def _code_of(problem: Mapping[str, Any], status: int) -> ExitCode:
    match status:
        case 401 | 403:
            return ExitCode.DENIED
        case 404 if problem["type"] != f"{_PROBLEM}no-such-path":
            return ExitCode.NOT_FOUND
        case 409:
            return ExitCode.CONFLICT
        case 400 | 422:
            return ExitCode.USAGE
        case _:
            return ExitCode.ERROR


def _told(problem: Mapping[str, Any], answer: httpx.Response) -> str:
    """Return what a problem says; of a search that can't be read, with a mark below the place."""
    faults = problem.get("errors") or []
    if not faults:
        code = problem.get("code", "")
        hint = "; this gateway may be older than the command" if str(problem["type"]).endswith("no-such-path") else ""
        return f"{problem.get('detail')}{hint} [{code}]"
    return "\n".join(_fault(fault, answer.request) for fault in faults)


def _fault(fault: Mapping[str, Any], request: httpx.Request) -> str:
    said = f"{fault.get('field')}: {fault.get('message')}" + (f" [{fault['code']}]" if fault.get("code") else "")
    query = request.url.params.get("q", "")
    place = fault.get("position")
    if fault.get("field") != "q" or not isinstance(place, int) or not query.isprintable() or len(query) > 200:
        return said
    return f"{said}\n    {query}\n    {' ' * place}^"
