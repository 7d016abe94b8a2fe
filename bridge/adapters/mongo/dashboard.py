"""The dashboard store on MongoDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any, ClassVar

from beanie import Document

from bridge.adapters.mongo.audit import AUDIT_KEPT, AuditStore
from bridge.adapters.mongo.changes import ChangeTokenStore
from bridge.adapters.mongo.operations import OperationStore
from bridge.adapters.mongo.pauses import PauseStore
from bridge.adapters.mongo.search import SearchStore
from bridge.adapters.mongo.statistics import StatisticsStore
from bridge.adapters.mongo.views import ViewStore


class MongoDashboardStore(
    SearchStore, StatisticsStore, ViewStore, AuditStore, PauseStore, OperationStore, ChangeTokenStore
):
    """`bridge.ports.dashboard.DashboardStore` and `Changes` on MongoDB, on connections of its own.

    The task store makes the tasks' collection and its indexes; `open` makes those of the dashboard. MongoDB deletes
    entries of the audit after `audit_kept`.
    """

    models: ClassVar[Sequence[type[Document]]] = (
        *SearchStore.models,
        *StatisticsStore.models,
        *ViewStore.models,
        *AuditStore.models,
        *PauseStore.models,
        *OperationStore.models,
    )

    def __init__(
        self,
        uri: str,
        database: str,
        *,
        pool_size: int = 16,
        timeout: timedelta = timedelta(seconds=10),
        max_time: timedelta = timedelta(seconds=5),
        audit_kept: timedelta = AUDIT_KEPT,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(uri, database, pool_size=pool_size, timeout=timeout, max_time=max_time, options=options)
        self._audit_kept = audit_kept
