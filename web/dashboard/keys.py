"""The API keys, for admins: list, create and revoke."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from bridge.domain.access import ApiKey, Principal, Scope, is_prefix, new_prefix
from web.auth.guard import GivenPrincipal, needs, require
from web.components.flash import Flash
from web.components.forms import read_form, read_repeated
from web.components.page import go_on, missing, render
from web.dashboard.access_changes import CHANGE, REASON, TOLD_ONCE, Answers, Change, Changes
from web.dashboard.topic_names import FIELD, fault_of, read_topics
from web.dependencies import AccessDependencies
from web.i18n.texts import msg

PATH: Final = "/dashboard/settings/keys"
LABEL: Final = 100
REVOKED: Final = 20
"""How many of the revoked keys are listed."""

_MADE: Final = {"prefix": 12, "label": 200, "topics": FIELD, "reason": REASON}

Prefix = Annotated[str, PathParameter(min_length=1, max_length=64)]


@dataclass(frozen=True, slots=True)
class Draft:
    """The form of a new key, and its faults by field. The prefix is chosen when the form is shown.

    So the same form sent twice makes one key: the second time there is a key of that prefix already.
    """

    prefix: str
    label: str = ""
    scopes: Sequence[str] = ()
    topics: str = ""
    reason: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The topics that were typed."""
        return read_topics(self.topics)


def faults_of(draft: Draft) -> dict[str, str]:
    """Return what is wrong with what was typed, by field."""
    errors: dict[str, str] = {}
    if not draft.label or len(draft.label) > LABEL or not draft.label.isprintable():
        errors["label"] = msg("Say which program uses it, in at most 100 characters.")
    if not draft.scopes or not set(draft.scopes) <= set(Scope):
        errors["scopes"] = msg("Select at least one: a key without permissions can do nothing.")
    if (fault := fault_of(draft.names)) is not None:
        errors["topics"] = fault
    elif draft.names and Scope.ADMIN in draft.scopes:
        errors["topics"] = msg("A key with full access can't be limited to topics.")
    return errors


class KeysPages:
    """The list, and one key."""

    def __init__(self, access: AccessDependencies) -> None:
        self._accounts = access.accounts
        self._changes = Changes(access)

    async def listed(
        self, request: Request[Any, Any, Any], draft: Draft | None = None, made: tuple[ApiKey, str] | None = None
    ) -> Response[str]:
        """Show the keys; `made` is one that was just made, with the text that is shown this once."""
        keys = await self._accounts.keys()
        revoked = sorted(
            (key for key in keys if key.revoked_at is not None), key=lambda key: str(key.revoked_at), reverse=True
        )
        return render(
            request,
            "keys.html",
            status=422 if draft else 200,
            keys=[key for key in keys if key.revoked_at is None],
            revoked=revoked[:REVOKED],
            revoked_count=len(revoked),
            scopes=[*Scope],
            draft=draft or Draft(new_prefix()),
            made=made,
            most_reason=REASON,
            most_label=LABEL,
        )

    async def create(self, request: Request[Any, Any, Any], principal: Principal) -> Response[Any]:
        """Make a key."""
        fields = await read_form(request, _MADE, {"scope": 16})
        scopes = list(dict.fromkeys(await read_repeated(request, "scope")))
        prefix = fields["prefix"] if is_prefix(fields["prefix"]) else new_prefix()
        draft = Draft(prefix, fields["label"].strip(), scopes, fields["topics"], fields["reason"])
        if await self._accounts.key(prefix) is not None:
            return go_on(request, f"{PATH}/{prefix}", Flash(_MADE_ALREADY, level="note"))
        errors = faults_of(draft)
        if errors:
            return await self.listed(request, Draft(prefix, draft.label, scopes, draft.topics, draft.reason, errors))
        made: list[tuple[ApiKey, str]] = []

        async def make() -> None:
            topics = draft.names or None
            made.append(await self._accounts.create_key(draft.label, map(Scope, scopes), topics, prefix=prefix))

        after = {"label": draft.label, "scopes": sorted(scopes), **({"topics": draft.names} if draft.names else {})}
        change = Change("key.create", f"key:{prefix}", make, draft.reason, after=after)
        if not await self._changes.make(request, principal, change):
            return go_on(request, f"{PATH}/{prefix}", Flash(_MADE_ALREADY, level="note"))
        return await self.listed(request, made=made[0])

    async def one(self, request: Request[Any, Any, Any], prefix: str) -> Response[str]:
        """Show a key."""
        key = await self._accounts.key(prefix)
        if key is None:
            return missing(request, msg("No such key"), msg("There is no key with this prefix."), back=PATH)
        return render(request, "key.html", key=key, most_reason=REASON)

    async def revoke(self, request: Request[Any, Any, Any], principal: Principal, prefix: str) -> Response[Any]:
        """Revoke a key."""
        reason = (await read_form(request, {"reason": REASON}))["reason"]
        key = await self._accounts.key(prefix)
        if key is None:
            return await self.one(request, prefix)
        path, already = f"{PATH}/{prefix}", Flash(msg("The key was already revoked."), level="note")
        change = Change(
            "key.revoke", f"key:{prefix}", lambda: self._accounts.revoke_key(prefix), reason,
            before={"revoked": False}, after={"revoked": True},
        )  # fmt: skip
        refused = already if key.revoked_at is not None else change.unexplained
        done = Flash(msg("Key revoked: requests with it are refused from now on."))
        return await self._changes.make_and_go_on(request, principal, change, path, Answers(refused, done, already))


_MADE_ALREADY: Final = msg(
    "This key was already created and shown once. If no one has it, revoke it and create another."
)


def keys_routes(access: AccessDependencies) -> tuple[HTTPRouteHandler, ...]:
    """Return the routes of the list, of a key, and of what begins and ends one."""
    pages = KeysPages(access)

    @get("/settings/keys", opt=needs(Scope.ADMIN))
    async def keys(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Response[str]:
        require(principal, Scope.ADMIN)
        return await pages.listed(request)

    @post("/settings/keys", **TOLD_ONCE)
    async def create(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Response[Any]:
        require(principal, Scope.ADMIN)
        return await pages.create(request, principal)

    @get("/settings/keys/{prefix:str}", opt=needs(Scope.ADMIN))
    async def key(request: Request[Any, Any, Any], principal: GivenPrincipal, prefix: Prefix) -> Response[str]:
        require(principal, Scope.ADMIN)
        return await pages.one(request, prefix)

    @post("/settings/keys/{prefix:str}/revoke", **CHANGE)
    async def revoke(request: Request[Any, Any, Any], principal: GivenPrincipal, prefix: Prefix) -> Response[Any]:
        require(principal, Scope.ADMIN)
        return await pages.revoke(request, principal, prefix)

    return keys, create, key, revoke
