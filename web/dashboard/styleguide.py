"""A page that shows every macro with made-up data: for work on the components, and for their tests."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any, Final

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from bridge.domain.access import Scope
from bridge.domain.redaction import MASK
from bridge.domain.task import State
from web.auth.guard import needs
from web.components.charts import histogram, lines, sparkline, stacked
from web.components.flash import Flash
from web.components.page import pages_of, render

HOSTILE: Final = '<script>alert("x")</script> {{ 7 * 7 }} <img src=x onerror=alert(1)>'
_STACK: Final = """Traceback (most recent call last):
  File "/app/bridge/flow/handle/run.py", line 98, in _call
    return await handler(given, context)
  File "/app/topics/nova_publicacao.py", line 87, in store
    response = await client.post(address, json=publication.model_dump(mode="json"))
  File "/opt/gateway/lib/python3.11/site-packages/httpx/_client.py", line 1859, in post
    return await self.request("POST", url, content=content)
httpx.ConnectTimeout: the court's server did not answer within 30 s"""


def _rows(now: datetime) -> list[dict[str, Any]]:
    states = [*State, "incident"]
    topics = ("nova_publicacao", "charge_card", "say_hello")
    errors = ("ConnectTimeout: the court's server did not answer within 30 s", HOSTILE, "ValueError: amount_cents < 0")
    return [
        {
            "id": f"{0x3F1C9A7E + 7919 * i:08x}-5d2a-11f0-9c41-0242ac1200{i:02x}",
            "state": state,
            "topic": topics[i % 3],
            "key": f"0001234-{50 + i}.2026.8.26.0100",
            "attempts": i % 4 + 1,
            "updated": now - timedelta(seconds=3 + 911 * i * i),
            "error": errors[i % 3] if state in {"failed", "incident", "retrying"} else None,
        }
        for i, state in enumerate(states)
    ]


def samples(now: datetime) -> dict[str, Any]:
    """Return what the page shows, as if it were `now`."""
    minutes = [now.replace(second=0, microsecond=0) - timedelta(minutes=59 - i) for i in range(60)]
    wave = [120 + 40 * math.sin(i / 7) + 13 * math.sin(i * 2.3) for i in range(60)]
    failed = [max(0.0, 16 * math.sin(i / 5 - 2)) + (38 if 41 <= i <= 44 else 0) for i in range(60)]
    p50 = [None if 20 <= i <= 22 else 0.18 + 0.05 * math.sin(i / 6) for i in range(60)]
    p95 = [None if value is None else value * 4 + (1.1 if 40 <= i <= 46 else 0.1) for i, value in enumerate(p50)]
    return {
        "rows": _rows(now),
        "states": [*State, "incident", "paused", "up", "down", "stale", "stuck", "unknown"],
        "hostile": HOSTILE,
        "stack": _STACK,
        "variables": {
            "publication": {"court": "TJSP", "process": "0001234-56.2026.8.26.0100", "pages": [1, 2, 3]},
            "amount_cents": 12_990,
            "api_key": MASK,
            "urgent": True,
            "note": None,
            "hostile": HOSTILE,
        },
        "throughput": stacked(minutes, {"completed": [round(v) for v in wave], "failed": [round(v) for v in failed]}),
        "times": lines(minutes, {"p50": p50, "p95": p95}),
        "nothing": stacked(minutes, {"completed": [0] * 60}),
        "durations": histogram([0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30], [12, 88, 310, 522, 290, 104, 31, 8, 2]),
        "spark": sparkline(wave[-30:]),
        "spark_failed": sparkline(failed[-30:]),
        "flash": Flash("Your settings are saved."),
    }


def styleguide_routes() -> tuple[HTTPRouteHandler, ...]:
    """Return the route of the page; it is mounted where DEBUG is set."""

    @get("/styleguide", opt=needs(Scope.READ))
    async def styleguide(request: Request[Any, Any, Any]) -> Response[str]:
        return render(request, "styleguide.html", **samples(pages_of(request).now()))

    return (styleguide,)
