"""The operators' desk on MongoDB."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar

from beanie import Document

from bridge.adapters.mongo.audit import AUDIT_KEPT, LedgerStore
from bridge.adapters.mongo.changes import MarkStore
from bridge.adapters.mongo.operations import OperationStore
from bridge.adapters.mongo.search import SearchStore
from bridge.adapters.mongo.statistics import StatisticsStore


class MongoDesk(SearchStore, StatisticsStore, LedgerStore, OperationStore, MarkStore):
    """`bridge.ports.dashboard.Desk` and `Changes` on MongoDB, with its own connections: no search holds up tasks.

    The tasks' collection and its indexes are made by the store; `open` makes those of the desk. Entries of the audit
    are deleted after `audit_kept`.
    """

    models: ClassVar[Sequence[type[Document]]] = (
        *SearchStore.models,
        *StatisticsStore.models,
        *LedgerStore.models,
        *OperationStore.models,
    )

    def __init__(
        self,
        uri: str,
        database: str,
        *,
        pool_size: int = 16,
        timeout: timedelta = timedelta(seconds=10),
        patience: timedelta = timedelta(seconds=5),
        audit_kept: timedelta = AUDIT_KEPT,
    ) -> None:
        super().__init__(uri, database, pool_size=pool_size, timeout=timeout, patience=patience)
        self._audit_kept = audit_kept
