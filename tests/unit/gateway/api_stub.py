"""An HTTP server that answers as a test says, for commands that call the API."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PROBLEM = "application/problem+json"
Answer = tuple[int, str, str]


def problem(status: int, slug: str, detail: str = "no", **more: Any) -> Answer:
    """Return a problem as the API answers it."""
    document = {
        "type": f"urn:problem-type:worker-api-gateway:{slug}",
        "status": status,
        "detail": detail,
        "code": "c.d",
    }
    return status, PROBLEM, json.dumps(document | more)


def document(**fields: Any) -> Answer:
    """Return a good answer."""
    return 200, "application/json", json.dumps(fields)


@dataclass
class ApiStub:
    """What was asked, and what is answered: by `answer`, from the method, the path, the parameters and the body."""

    answer: Callable[[str, str, dict[str, str], Any], Answer]
    url: str = ""
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)


@contextmanager
def serving(stub: ApiStub) -> Iterator[ApiStub]:
    """Serve the stub on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            params = {name: values[0] for name, values in parse_qs(address.query, keep_blank_values=True).items()}
            asked = (self.command, address.path, params, json.loads(body) if body else None)
            stub.asked.append(asked)
            stub.keys.append(self.headers.get("X-Api-Key"))
            status, kind, text = stub.answer(*asked)
            self.send_response(status)
            self.send_header("Location" if status // 100 == 3 else "Content-Type", kind)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET  # noqa: N815 - as the library names it

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
