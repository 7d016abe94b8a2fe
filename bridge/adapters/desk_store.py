"""The operators' desk on MongoDB."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar

from beanie import Document

from bridge.adapters.ledger_store import AUDIT_KEPT, LedgerStore
from bridge.adapters.mark_store import MarkStore
from bridge.adapters.operation_store import OperationStore
from bridge.adapters.search_store import SearchStore
from bridge.adapters.statistics_store import StatisticsStore


class MongoDesk(SearchStore, StatisticsStore, LedgerStore, OperationStore, MarkStore):
    """`bridge.desk.ports.Desk` and `Changes` on MongoDB, with its own connections: no search holds up tasks.

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
