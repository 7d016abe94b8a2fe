"""An engine as careful operators run it: users log in, have rights one by one, and can't ask for unbounded lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aiohttp
from pydantic import SecretStr

from bridge.adapters.camunda.login import authorization
from bridge.domain.rights import ANY, GRANTS, Resource, Right
from sandbox.parts import ADMIN

QUERY_LIMIT = 1000
_GRANT = 1


def login(name: str) -> str | None:
    """Return the header of a user whose password is their name."""
    return authorization(name, SecretStr(name))


@dataclass(frozen=True)
class GuardedEngine:
    """Where it is, and what its admin does there."""

    url: str

    @property
    def admin(self) -> dict[str, str]:
        """The headers of one who may do everything."""
        return {"Authorization": login(ADMIN) or ""}

    async def add_user(self) -> str:
        """Create a user without rights; return their name, which is their password too."""
        name = f"u{uuid4().hex[:12]}"
        profile = {"id": name, "firstName": name, "lastName": name}
        await self._ask("POST", "/user/create", {"profile": profile, "credentials": {"password": name}})
        return name

    async def grant(self, user: str, *rights: Right, definition: str = ANY) -> None:
        """Grant what is documented first for each right, for one process definition or all, beside what they have."""
        of_definitions = Resource.PROCESS_DEFINITION.number
        query = f"userIdIn={user}&resourceType={of_definitions}&resourceId={definition}&maxResults=1"
        had = await self._ask("GET", f"/authorization?{query}")
        kept = had[0]["permissions"] if had else []
        body = {
            "type": _GRANT,
            "permissions": [*kept, *(GRANTS[right][0].permission for right in rights)],
            "userId": user,
            "resourceType": of_definitions,
            "resourceId": definition,
        }
        if had:
            await self._ask("PUT", f"/authorization/{had[0]['id']}", body)
        else:
            await self._ask("POST", "/authorization/create", body)

    async def _ask(self, method: str, path: str, body: object = None) -> Any:
        async with (
            aiohttp.ClientSession(headers=self.admin) as session,
            session.request(method, self.url + path, json=body) as answer,
        ):
            assert answer.status < 300, await answer.text()
            return await answer.json() if answer.status == 200 else None
