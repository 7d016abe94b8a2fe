"""The engine's REST API as the demo needs it: deploy, start, and read the history."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from pathlib import Path
from typing import Any

import aiohttp

from gateway.settings import Settings
from sandbox.demo.errors import EngineRefused, EngineUnreachable

TIME_LIMIT = 30.0
_PAGE = 500
_AWAY = frozenset({502, 503, 504})  # a proxy speaks for an engine that is away
DEPLOYMENT = "worker-api-gateway-demo"


class LogKind(Enum):
    """What an entry of an external task's log tells."""

    CREATION = auto()
    FAILURE = auto()
    SUCCESS = auto()
    DELETION = auto()  # also how a BPMN error or a cancelled instance ends an external task


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An entry of the external task log; `retries` are those that were left before it."""

    kind: LogKind
    activity: str
    at: datetime
    retries: int | None


@dataclass(frozen=True, slots=True)
class Instance:
    """A process instance in the history."""

    id: str
    business_key: str
    process: str
    state: str


def authorization(settings: Settings) -> dict[str, str]:
    """Return the header that the settings ask for: a bearer token, a user's password, or none."""
    if settings.camunda_token is not None:
        return {"Authorization": f"Bearer {settings.camunda_token.get_secret_value()}"}
    if settings.camunda_username is None or settings.camunda_password is None:
        return {}
    pair = f"{settings.camunda_username}:{settings.camunda_password.get_secret_value()}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


class EngineApi:
    """Every method raises `EngineUnreachable` where nothing answers, and `EngineRefused` for an answer above 299."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, headers: Mapping[str, str] | None = None) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._headers = dict(headers or {})

    async def deploy(self, files: Iterable[Path], name: str = DEPLOYMENT) -> str:
        """Deploy the files, unless the engine has them just so already; return the deployment's id."""
        form = aiohttp.FormData()
        form.add_field("deployment-name", name)
        form.add_field("deployment-source", name)
        form.add_field("enable-duplicate-filtering", "true")
        for file in files:
            form.add_field(file.name, file.read_bytes(), filename=file.name)
        answer = await self._ask("POST", "/deployment/create", form=form)
        return str(answer["id"])

    async def start(self, process: str, business_key: str, variables: Mapping[str, Any]) -> str:
        """Start an instance of the newest version of a process; return its id."""
        body = {"businessKey": business_key, "variables": dict(variables)}
        answer = await self._ask("POST", f"/process-definition/key/{process}/start", body=body)
        return str(answer["id"])

    async def count(self, business_keys: str, **filters: str) -> int:
        """Count the instances, running or ended, whose business key is LIKE the pattern."""
        query = {"processInstanceBusinessKeyLike": business_keys, **filters}
        answer = await self._ask("GET", "/history/process-instance/count", query=query)
        return int(answer["count"])

    async def instances(self, business_keys: str, **filters: str) -> AsyncIterator[Instance]:
        """List the instances, running or ended, whose business key is LIKE the pattern, page by page."""
        query = {"processInstanceBusinessKeyLike": business_keys, **filters}
        # Keys, unlike start times, differ: no instance slips through between two pages.
        query |= {"sortBy": "businessKey", "sortOrder": "asc", "maxResults": str(_PAGE)}
        first = 0
        while True:
            page = await self._ask("GET", "/history/process-instance", query={**query, "firstResult": str(first)})
            for item in page:
                yield Instance(item["id"], item["businessKey"], item["processDefinitionKey"], item["state"])
            if len(page) < _PAGE:
                return
            first += _PAGE

    async def task_log(self, instance_id: str) -> tuple[LogEntry, ...]:
        """Return what happened to the external tasks of an instance, oldest first."""
        query = {"processInstanceId": instance_id, "sortBy": "timestamp", "sortOrder": "asc"}
        entries: Sequence[Mapping[str, Any]] = await self._ask("GET", "/history/external-task-log", query=query)
        return tuple(
            LogEntry(_kind(entry), entry["activityId"], _moment(entry["timestamp"]), entry["retries"])
            for entry in entries
        )

    async def state(self, instance_id: str) -> str:
        """Return the state of an instance, running or ended."""
        answer = await self._ask("GET", f"/history/process-instance/{instance_id}")
        return str(answer["state"])

    async def ends(self, instance_id: str) -> tuple[str, ...]:
        """Return the end events that an instance itself came to, without those of its subprocesses."""
        query = {"processInstanceId": instance_id, "activityType": "noneEndEvent", "maxResults": str(_PAGE)}
        rows = await self._ask("GET", "/history/activity-instance", query=query)
        return tuple(str(row["activityId"]) for row in rows if row["parentActivityInstanceId"] == instance_id)

    async def values(self, instance_id: str, variable: str) -> tuple[str, ...]:
        """Return the values of a variable in all scopes of an instance, as text."""
        query = {"processInstanceId": instance_id, "variableName": variable, "deserializeValues": "false"}
        rows = await self._ask("GET", "/history/variable-instance", query={**query, "maxResults": str(_PAGE)})
        return tuple(str(row["value"]) for row in rows)

    async def incidents(self, instance_id: str) -> tuple[str, ...]:
        """Return the activity of each open incident of an instance."""
        answer = await self._ask("GET", "/incident", query={"processInstanceId": instance_id})
        return tuple(str(item["activityId"]) for item in answer)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        form: aiohttp.FormData | None = None,
    ) -> Any:
        timeout = aiohttp.ClientTimeout(total=TIME_LIMIT)
        try:
            async with self._session.request(
                method,
                f"{self._base_url}{path}",
                params=query,
                json=body,
                data=form,
                headers=self._headers,
                timeout=timeout,
            ) as response:
                if response.status in _AWAY:
                    raise EngineUnreachable(f"{method} {path} was answered {response.status}: is the engine up?")
                if response.status > 299:
                    raise EngineRefused(f"{method} {path}: {_advice(response.status, await response.text())}")
                return await response.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise EngineUnreachable(
                f"the engine doesn't answer {method} {path} ({type(error).__name__}): see that it runs at CAMUNDA_URL"
            ) from error


def _kind(entry: Mapping[str, Any]) -> LogKind:
    for kind in LogKind:
        if entry[f"{kind.name.lower()}Log"]:
            return kind
    raise EngineRefused(f"the external task log has an entry of no known kind: {entry['id']}")


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")


def _advice(status: int, text: str) -> str:
    if status in {401, 403}:
        return f"the engine answered {status}: set CAMUNDA_USERNAME and CAMUNDA_PASSWORD, or CAMUNDA_TOKEN"
    if status == 404:
        return f"the engine answered 404: see that CAMUNDA_URL ends with /engine-rest; {text[:300]}"
    return f"the engine answered {status}: {text[:300]}"
