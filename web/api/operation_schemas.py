"""What the API takes and gives of bulk operations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bridge.domain.operation import (
    Item,
    Operation,
    OperationKind,
    OperationState,
    Preview,
    Result,
    Row,
    Totals,
)
from bridge.domain.redaction import mask_start
from bridge.domain.task import State
from bridge.operations.bulk import MOST_RATE
from bridge.search.grammar import MAX_LENGTH
from web.api.schemas import LONGEST_ERROR, Answer
from web.i18n.messages import translate_result
from web.i18n.texts import ENGLISH

RATE: Final = 20
MOST_REASON: Final = 500
MOST_PLACE: Final = 1_000_000
_ID: Final = "01JZZZZZZZZZZZZZZZZZZZZZZZ"
_ID_PATTERN: Final = "^[0-9A-HJKMNP-TV-Z]{26}$"

_Reason = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MOST_REASON,
        pattern=r"\S",
        description="Why; it is kept in the audit.",
        examples=["the bank is back"],
    ),
]


class StartRequest(BaseModel):
    """A retry of all failed tasks that a search finds, confirmed by their number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    query: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_LENGTH,
            description="The search, as in the preview.",
            examples=["state:failed topic:charge_card"],
        ),
    ]
    expected: Annotated[
        int,
        Field(
            ge=1, le=MOST_PLACE, description="`eligible` of the preview: 409 where it is another by now.", examples=[12]
        ),
    ]
    reason: _Reason
    rate: Annotated[int, Field(ge=1, le=MOST_RATE, description="Tasks a second.", examples=[RATE])] = RATE
    id: Annotated[
        str | None,
        Field(
            pattern=_ID_PATTERN,
            description="A ULID of the client's: the same request sent again then starts nothing anew.",
            examples=[_ID],
        ),
    ] = None

    @field_validator("expected", "rate", mode="before")
    @classmethod
    def _whole(cls, value: object) -> object:
        """Take 12.0 for 12, which JSON Schema does as well."""
        return int(value) if isinstance(value, float) and value.is_integer() else value


class ReasonRequest(BaseModel):
    """Why an operation is changed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    reason: _Reason


class TotalsEntry(Answer):
    """How far an operation is: `total` is always requeued + skipped + failed + pending."""

    total: Annotated[int, Field(examples=[12])]
    requeued: Annotated[int, Field(description="Handed over to be tried again.", examples=[8])]
    skipped: Annotated[int, Field(description="No longer as they had been confirmed.", examples=[1])]
    failed: Annotated[int, Field(description="The engine or the gateway refused them.", examples=[0])]
    pending: Annotated[int, Field(description="Not done yet.", examples=[3])]
    waiting: Annotated[int, Field(description="Requeued, and without an outcome yet.", examples=[2])]
    outcomes: Annotated[dict[str, int], Field(description="How the requeued ended.", examples=[{"completed": 6}])]

    @classmethod
    def of(cls, totals: Totals) -> TotalsEntry:
        """Describe `totals`."""
        return cls(
            total=totals.total,
            requeued=totals.requeued,
            skipped=totals.skipped,
            failed=totals.failed,
            pending=totals.pending,
            waiting=totals.waiting,
            outcomes=dict(totals.outcomes),
        )


class OperationEntry(Answer):
    """A bulk operation."""

    id: Annotated[str, Field(examples=[_ID])]
    kind: OperationKind
    state: OperationState
    query: Annotated[str, Field(description="The search that named its tasks.", examples=["state:failed"])]
    reason: str
    by: Annotated[str, Field(description="Who started it: a person, or a key's label.")]
    rate: Annotated[int, Field(description="Tasks a second, at most.", examples=[RATE])]
    ineligible: Annotated[int, Field(description="Tasks that the search found and that could not be tried again.")]
    created_at: Annotated[datetime, Field(description="UTC.")]
    ended_at: Annotated[datetime | None, Field(description="UTC; null while it goes on.")]
    totals: TotalsEntry

    @classmethod
    def of(cls, operation: Operation) -> OperationEntry:
        """Describe `operation`."""
        return cls(
            id=operation.id,
            kind=operation.kind,
            state=operation.state,
            query=operation.query,
            reason=operation.reason,
            by=operation.by,
            rate=operation.rate,
            ineligible=operation.ineligible,
            created_at=operation.created_at,
            ended_at=operation.ended_at,
            totals=TotalsEntry.of(operation.totals),
        )


class OperationList(Answer):
    """A page of operations, newest first."""

    operations: list[OperationEntry]
    next: Annotated[str | None, Field(description="Pass it as `after` to get the next page; null at the end.")]


class ItemEntry(Answer):
    """What the operation did to one task."""

    place: Annotated[int, Field(description="Its place in the operation, from 0.", examples=[0])]
    task_id: str
    result: Result
    detail: Annotated[str | None, Field(description="Why it was skipped, or failed.")]
    outcome: Annotated[str | None, Field(description="The state that it then ended in; `gone`: no longer kept.")]

    @classmethod
    def of(cls, place: int, item: Item) -> ItemEntry:
        """Describe the item at a place."""
        detail = None if not item.detail else mask_start(translate_result(ENGLISH, item.detail), LONGEST_ERROR)
        return cls(place=place, task_id=item.task_id, result=item.result, detail=detail, outcome=item.outcome)


class ItemList(Answer):
    """A page of an operation's tasks, in their order."""

    items: list[ItemEntry]
    next: Annotated[int | None, Field(description="Pass it as `after` to get the next page; null at the end.")]


class SampleEntry(Answer):
    """One of the tasks that an operation would change."""

    task_id: str
    topic: str
    status: State
    error_type: str | None

    @classmethod
    def of(cls, row: Row) -> SampleEntry:
        """Describe `row`."""
        return cls(task_id=row.id, topic=row.topic, status=row.state, error_type=row.error_type)


class PreviewEntry(Answer):
    """What an operation on this search would change; nothing is changed yet."""

    found: Annotated[int, Field(description="Tasks that the search finds.", examples=[14])]
    eligible: Annotated[
        int, Field(description="Those that would be tried again: pass it as `expected`.", examples=[12])
    ]
    ineligible: Annotated[int, Field(description="Those that can't: only failed ones can.", examples=[2])]
    capped: Annotated[bool, Field(description="Whether there are more than an operation may have.")]
    by_status: Annotated[dict[str, int], Field(examples=[{"failed": 12, "completed": 2}])]
    by_topic: Annotated[dict[str, int], Field(examples=[{"charge_card": 14}])]
    by_error: Annotated[dict[str, int], Field(examples=[{"ConnectTimeout": 12, "": 2}])]
    samples: Annotated[list[SampleEntry], Field(description="Some of them.")]

    @classmethod
    def of(cls, preview: Preview) -> PreviewEntry:
        """Describe `preview`."""
        return cls(
            found=preview.total,
            eligible=preview.eligible,
            ineligible=preview.ineligible,
            capped=preview.capped,
            by_status={state.value: count for state, count in preview.by_state.items()},
            by_topic=dict(preview.by_topic),
            by_error=dict(preview.by_error),
            samples=[SampleEntry.of(row) for row in preview.samples],
        )
