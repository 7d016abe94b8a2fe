"""Failures of one cause together, as the dashboard's page has them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Annotated

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter
from pydantic import Field

from bridge.domain.access import Scope, may
from bridge.domain.errors import StoreUnavailable
from bridge.domain.failure_groups import FailureOrder, failures_within, is_new, ordered
from bridge.domain.redaction import mask_start
from bridge.domain.statistics import FailureGroup, Range
from web.api.filters import read_choice
from web.api.openapi import SECURITY
from web.api.parameters import MAX_LIMIT, REFUSED, GivenDependencies, Limit
from web.api.problems import problem_responses
from web.api.schemas import LONGEST_ERROR, TOPIC_PATTERN, Answer
from web.auth.guard import GivenPrincipal, needs, require


class FailureEntry(Answer):
    """Failures of one cause."""

    fp: Annotated[
        str, Field(description="The group: `fp:…` in a search finds its tasks.", examples=["0123456789abcdef"])
    ]
    topic: Annotated[str, Field(examples=["charge_card"])]
    error: Annotated[str, Field(description="The exception.", examples=["ConnectTimeout"])]
    sample: Annotated[str, Field(description="What one of them said; secrets in it are `***`.")]
    count: Annotated[int, Field(description="Failed runs in the range.", examples=[12])]
    new: Annotated[bool, Field(description="Whether the first one ever was in the range.")]
    first_seen: Annotated[datetime, Field(description="UTC.")]
    last_seen: Annotated[datetime, Field(description="UTC.")]

    @classmethod
    def of(cls, group: FailureGroup, wanted: Range, now: datetime, also: Collection[str]) -> FailureEntry:
        """Describe `group`; `also` names what its topic keeps secret."""
        return cls(
            fp=group.fingerprint,
            topic=group.topic,
            error=group.error,
            sample=mask_start(group.sample, LONGEST_ERROR, also),
            count=failures_within(group, wanted, now),
            new=is_new(group, wanted, now),
            first_seen=group.first_seen,
            last_seen=group.last_seen,
        )


class FailureList(Answer):
    """The groups that failed in a range of time."""

    range: Annotated[Range, Field(description="How far back they were counted.")]
    failures: list[FailureEntry]


@get(
    "/failures",
    opt=needs(Scope.READ),
    security=SECURITY,
    tags=("Tasks",),
    summary="Failures by their cause",
    description="Which causes failed in the last hour, 6 hours, day or 7 days, and how often. A failure is counted "
    "some seconds after its task shows it.",
    response_description="At most `limit` groups.",
    responses=problem_responses(400, *REFUSED, StoreUnavailable),
)
async def failures(
    *,
    dependencies: GivenDependencies,
    principal: GivenPrincipal,
    range_: Annotated[
        str, QueryParameter(name="range", description="How far back.", schema_extra={"enum": [*Range]})
    ] = Range.DAY,
    sort: Annotated[
        str,
        QueryParameter(
            description="`count`: the most frequent first, `last`: the latest, `new`: those that began latest.",
            schema_extra={"enum": [*FailureOrder]},
        ),
    ] = FailureOrder.COUNT,
    topic: Annotated[
        str | None, QueryParameter(pattern=TOPIC_PATTERN, description="Only failures of this topic.")
    ] = None,
    limit: Limit = 50,
) -> FailureList:
    """List the groups; raises `Forbidden` for a topic that `principal` may not read."""
    wanted, order, now = (
        read_choice("range", range_, Range),
        read_choice("sort", sort, FailureOrder),
        dependencies.now(),
    )
    if topic is not None:
        require(principal, Scope.READ, topic)
    now = dependencies.now()
    found = await dependencies.store.failure_groups(now - wanted.span, now, topic, MAX_LIMIT)
    visible = [group for group in found if may(principal, Scope.READ, group.topic)]
    groups = ordered(visible, order, wanted, now, most=limit)
    secrets_of = dependencies.secrets_of
    return FailureList(
        range=wanted, failures=[FailureEntry.of(group, wanted, now, secrets_of(group.topic)) for group in groups]
    )


def failure_routes() -> tuple[HTTPRouteHandler, ...]:
    """Return the route."""
    return (failures,)
