"""The engine's identity as MongoDB keeps it."""

from __future__ import annotations

from typing import Final

from beanie import Document
from pymongo.asynchronous.collection import AsyncCollection

from bridge.adapters.mongo.reader import StoreReader, translated
from bridge.documents.raw import Raw
from bridge.domain.engine_identity import EngineIdentity

_ONE: Final = "engine"


class EngineIdentityDocument(Document):
    """The engine whose tasks are kept; there is one."""

    id: str  # type: ignore[assignment]  # Beanie allows any type
    installation: str | None = None
    definitions: list[str]

    class Settings:
        """Read by Beanie."""

        name = "engine_identity"


class IdentityStore(StoreReader):
    """`bridge.ports.store.EngineIdentityStore` on MongoDB."""

    async def engine_identity(self) -> EngineIdentity | None:
        with translated("engine_identity"):
            found = await self._identities.find_one({"_id": {"$eq": _ONE}}, max_time_ms=self._max_time_ms)
        return None if found is None else EngineIdentity(found.get("installation"), tuple(found["definitions"]))

    async def keep_engine_identity(self, identity: EngineIdentity) -> None:
        document = {
            "_id": _ONE,
            "installation": identity.installation,
            "definitions": list(identity.definitions),
        }
        with translated("keep_engine_identity"):
            await self._identities.replace_one({"_id": {"$eq": _ONE}}, document, upsert=True)

    @property
    def _identities(self) -> AsyncCollection[Raw]:
        return self._collection(EngineIdentityDocument.Settings.name)
