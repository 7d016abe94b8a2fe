"""Whether the engine keeps the log of external tasks, which needs its history level `full`.

No call of the REST interface tells the level. Source: Camunda 7.24, "History Configuration" and "External Task Log".
"""

from __future__ import annotations

from urllib.parse import quote

from bridge.adapters.camunda.answers import rows
from bridge.adapters.camunda.client import CamundaClient


async def log_is_kept(client: CamundaClient) -> bool | None:
    """Return whether an open task has a log; None where no task is open. Without READ_HISTORY none has one."""
    tasks = await client.ask(
        "keeps_log", "GET", f"{client.external_task_base_url}?maxResults=1", read=rows(lambda row: str(row["id"]))
    )
    if not tasks:
        return None
    url = f"{client.base_url}/history/external-task-log?externalTaskId={quote(tasks[0], safe='')}&maxResults=1"
    return bool(await client.ask("keeps_log", "GET", url, read=rows(lambda row: str(row["id"]))))
