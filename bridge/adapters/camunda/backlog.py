"""The engine's own backlog: open tasks by topic, of all workers.

Source: Camunda 7.24 REST reference, "Get External Task Topic Names", "Get List Count" and "Get List".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from bridge.adapters.camunda.answers import document, rows
from bridge.adapters.camunda.client import CamundaClient
from bridge.adapters.camunda.rows import read_row
from bridge.domain.unreadable_row import UnreadableRow
from bridge.ports.engine import EngineTask

_WORKABLE: Final = "active=true&withRetriesLeft=true"


async def count_tasks(client: CamundaClient, topic: str | None, *, workable: bool) -> int:
    """Count open tasks, by one call."""
    filters = [*([] if topic is None else [f"topicName={_quoted(topic)}"]), *([_WORKABLE] if workable else [])]
    url = f"{client.external_task_base_url}/count{'?' if filters else ''}{'&'.join(filters)}"
    return await client.ask("count", "GET", url, read=document(lambda row: int(row["count"])))


async def read_topic_names(client: CamundaClient) -> Sequence[str]:
    """Return the topics with tasks that have retries left.

    Those of suspended tasks are among them: the engine has no filter for these.
    """
    url = f"{client.external_task_base_url}/topic-names?withRetriesLeft=true"
    return await client.ask("topic_names", "GET", url, read=rows(_name))


async def find_oldest(client: CamundaClient, topic: str) -> EngineTask | UnreadableRow | None:
    """Return the row of the oldest workable task without a lock. Engines before 7.21 refuse the order by a 400."""
    query = f"topicName={_quoted(topic)}&{_WORKABLE}&notLocked=true&sortBy=createTime&sortOrder=asc&maxResults=1"
    found = await client.ask("oldest", "GET", f"{client.external_task_base_url}?{query}", read=rows(read_row))
    return found[0] if found else None


def _name(row: Any) -> str:
    if not isinstance(row, str):
        raise TypeError(f"a topic's name is no text: {type(row).__name__}")
    return row


def _quoted(part: str) -> str:
    return quote(part, safe="")
