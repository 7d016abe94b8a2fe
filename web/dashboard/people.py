"""The people who may log in, for admins: list, add and change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from bridge.domain.access import Principal, Role, Scope, User, is_name, new_password
from web.auth.guard import GivenPrincipal, needs, require
from web.components.flash import Flash
from web.components.forms import read_form
from web.components.page import go_on, missing, render
from web.dashboard.access_changes import CHANGE, REASON, TOLD_ONCE, Answers, Change, Changes
from web.dashboard.topic_names import FIELD, fault_of, read_topics, write_topics
from web.dependencies import AccessDependencies
from web.i18n.texts import msg

PATH: Final = "/dashboard/settings/people"
_ADDED: Final = {"name": 100, "role": 16, "topics": FIELD, "reason": REASON}
_YOURS: Final = msg("Nothing was changed: this is your own account, and another admin has to do it.")

_ALREADY_SO: Final = msg("Nothing was changed: it was already so.")
_CLAIMED: Final = msg("Nothing was changed: this comes from the company account, at each sign-in.")

UserName = Annotated[str, PathParameter(min_length=1, max_length=64)]


@dataclass(frozen=True, slots=True)
class Draft:
    """The form of a new person, and its faults by field."""

    name: str = ""
    role: str = Role.VIEWER.value
    topics: str = ""
    reason: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)


class PeoplePages:
    """The list, and one person."""

    def __init__(self, access: AccessDependencies) -> None:
        self._accounts = access.accounts
        self._session_service = access.session_service
        self._changes = Changes(access)

    async def listed(
        self, request: Request[Any, Any, Any], draft: Draft | None = None, made: tuple[User, str] | None = None
    ) -> Response[str]:
        """Show all people; `made` is the person just added, with the password that is shown this once."""
        return render(
            request,
            "people.html",
            status=422 if draft else 200,
            people=await self._accounts.users(),
            roles=[*Role],
            draft=draft or Draft(),
            made=made,
            most_reason=REASON,
        )

    async def add(self, request: Request[Any, Any, Any], principal: Principal) -> Response[str]:
        """Add a person with a generated password."""
        fields = await read_form(request, _ADDED)
        name, role = fields["name"].strip().lower(), fields["role"]
        errors: dict[str, str] = {}
        if not is_name(name):
            errors["name"] = msg("Use only lowercase letters, digits and _ . @ -, at most 64.")
        elif await self._accounts.user(name) is not None:
            errors["name"] = msg("This name is already taken.")
        if role not in set(Role):
            errors["role"] = msg("Select a role.")
        topics, reason = read_topics(fields["topics"]), fields["reason"]
        if (fault := _fault_of(role, topics)) is not None:
            errors["topics"] = fault
        draft = Draft(fields["name"], role, fields["topics"], reason, errors)
        if errors:
            return await self.listed(request, draft)
        password = new_password()
        change = Change(
            "user.add", f"user:{name}", lambda: self._accounts.add_user(name, Role(role), password, topics or None),
            reason, after={"role": role, **({"topics": topics} if topics else {})},
        )  # fmt: skip
        if not await self._changes.make(request, principal, change):
            taken = {"name": msg("This name is already taken.")}
            return await self.listed(request, replace(draft, errors=taken))
        user = await self._accounts.user(name)
        return await self.listed(request, made=None if user is None else (user, password))

    async def one(
        self, request: Request[Any, Any, Any], principal: Principal, name: str, password: str | None = None
    ) -> Response[str]:
        """Show a person; `password` is a new one that is shown this once."""
        user = await self._accounts.user(name)
        if user is None:
            return missing(request, msg("No such person"), msg("There is no one with this name."), back=PATH)
        return render(
            request,
            "person.html",
            path=f"{PATH}/{name}",
            user=user,
            sessions=await self._session_service.sessions(name),
            company=user.account is not None,
            yours=user.name == principal.name,
            roles=[*Role],
            typed_topics=write_topics(user.topics),
            password=password,
            most_reason=REASON,
        )

    async def set_role(self, request: Request[Any, Any, Any], principal: Principal, name: str) -> Response[Any]:
        """Give a person another role."""
        fields = await read_form(request, {"role": 16, "reason": REASON})
        user, role = await self._accounts.user(name), fields["role"]
        if user is None or role not in set(Role):
            return await self.one(request, principal, name)
        change = Change(
            "user.role", f"user:{name}", lambda: self._accounts.set_role(name, Role(role)), fields["reason"],
            before={"role": user.role.value}, after={"role": role},
        )  # fmt: skip
        refused = _refusal(principal, user, change, claimed=True)
        if refused is None and user.role == role:
            refused = Flash(msg("Nothing was changed: that is already the role."), level="note")
        if refused is None and (fault := _fault_of(role, sorted(user.topics or ()))) is not None:
            refused = Flash(fault, level="error")
        done = Flash(msg("Role changed, effective immediately."))
        return await self._changes.make_and_go_on(request, principal, change, f"{PATH}/{name}", Answers(refused, done))

    async def set_topics(self, request: Request[Any, Any, Any], principal: Principal, name: str) -> Response[Any]:
        """Limit a person to topics, or to none."""
        fields = await read_form(request, {"topics": FIELD, "reason": REASON})
        user, topics = await self._accounts.user(name), read_topics(fields["topics"])
        if user is None:
            return await self.one(request, principal, name)
        change = Change(
            "user.topics", f"user:{name}", lambda: self._accounts.set_topics(name, topics or None), fields["reason"],
            before={"topics": sorted(user.topics or ())}, after={"topics": sorted(topics)},
        )  # fmt: skip
        refused = _refusal(principal, user, change, claimed=True)
        if refused is None and (fault := _fault_of(user.role, topics)) is not None:
            refused = Flash(fault, level="error")
        if refused is None and frozenset(topics) == (user.topics or frozenset()):
            refused = Flash(_ALREADY_SO, level="note")
        done = Flash(msg("Topics changed, effective immediately."))
        return await self._changes.make_and_go_on(request, principal, change, f"{PATH}/{name}", Answers(refused, done))

    async def set_password(self, request: Request[Any, Any, Any], principal: Principal, name: str) -> Response[Any]:
        """Set a generated password."""
        fields = await read_form(request, {"reason": REASON})
        user = await self._accounts.user(name)
        if user is None:
            return await self.one(request, principal, name)
        password, accounts = new_password(), self._accounts
        change = Change(
            "user.password", f"user:{name}", lambda: accounts.set_password(name, password), fields["reason"]
        )
        if (refused := _refusal(principal, user, change, claimed=True)) is not None:
            return go_on(request, f"{PATH}/{name}", refused)
        done = await self._changes.make(request, principal, change)
        return await self.one(request, principal, name, password if done else None)

    async def switch(
        self, request: Request[Any, Any, Any], principal: Principal, name: str, *, disabled: bool
    ) -> Response[Any]:
        """Disable a person, or enable them."""
        fields = await read_form(request, {"reason": REASON})
        user = await self._accounts.user(name)
        if user is None:
            return await self.one(request, principal, name)
        accounts = self._accounts
        change = Change(
            "user.disable" if disabled else "user.enable", f"user:{name}",
            lambda: accounts.disable(name) if disabled else accounts.enable(name), fields["reason"],
            before={"disabled": not disabled}, after={"disabled": disabled},
        )  # fmt: skip
        refused = _refusal(principal, user, change, explained=disabled)
        if refused is None and (user.disabled_at is not None) is disabled:
            refused = Flash(_ALREADY_SO, level="note")
        gone = msg("%(name)s is disabled and signed out everywhere.")
        done = Flash(gone if disabled else msg("%(name)s is enabled again."), {"name": name})
        return await self._changes.make_and_go_on(request, principal, change, f"{PATH}/{name}", Answers(refused, done))


def _refusal(
    principal: Principal, user: User, change: Change, *, claimed: bool = False, explained: bool = True
) -> Flash | None:
    """Return why the change is refused: admins can't lock themselves out, and an `explained` change needs a reason.

    A `claimed` field comes from the identity provider, where the person signs in with the company's account.
    """
    if user.name == principal.name:
        return Flash(_YOURS, level="error")
    if claimed and user.account is not None:
        return Flash(_CLAIMED, level="error")
    return change.unexplained if explained else None


def _fault_of(role: str, topics: Sequence[str]) -> str | None:
    if topics and role == Role.ADMIN:
        return msg("An admin can't be limited to topics.")
    return fault_of(topics)


def people_routes(access: AccessDependencies) -> tuple[HTTPRouteHandler, ...]:
    """Return the routes of the list, of a person, and of what changes about one."""
    pages = PeoplePages(access)

    @get("/settings/people", opt=needs(Scope.ADMIN))
    async def people(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Response[str]:
        require(principal, Scope.ADMIN)
        return await pages.listed(request)

    @post("/settings/people", **TOLD_ONCE)
    async def add(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Response[str]:
        require(principal, Scope.ADMIN)
        return await pages.add(request, principal)

    @get("/settings/people/{name:str}", opt=needs(Scope.ADMIN))
    async def person(request: Request[Any, Any, Any], principal: GivenPrincipal, name: UserName) -> Response[str]:
        require(principal, Scope.ADMIN)
        return await pages.one(request, principal, name)

    @post("/settings/people/{name:str}/role", **CHANGE)
    async def set_role(request: Request[Any, Any, Any], principal: GivenPrincipal, name: UserName) -> Response[Any]:
        require(principal, Scope.ADMIN)
        return await pages.set_role(request, principal, name)

    @post("/settings/people/{name:str}/topics", **CHANGE)
    async def set_topics(request: Request[Any, Any, Any], principal: GivenPrincipal, name: UserName) -> Response[Any]:
        require(principal, Scope.ADMIN)
        return await pages.set_topics(request, principal, name)

    @post("/settings/people/{name:str}/password", **TOLD_ONCE)
    async def set_password(request: Request[Any, Any, Any], principal: GivenPrincipal, name: UserName) -> Response[Any]:
        require(principal, Scope.ADMIN)
        return await pages.set_password(request, principal, name)

    @post("/settings/people/{name:str}/disable", **CHANGE)
    async def disable(request: Request[Any, Any, Any], principal: GivenPrincipal, name: UserName) -> Response[Any]:
        require(principal, Scope.ADMIN)
        return await pages.switch(request, principal, name, disabled=True)

    @post("/settings/people/{name:str}/enable", **CHANGE)
    async def enable(request: Request[Any, Any, Any], principal: GivenPrincipal, name: UserName) -> Response[Any]:
        require(principal, Scope.ADMIN)
        return await pages.switch(request, principal, name, disabled=False)

    return people, add, person, set_role, set_topics, set_password, disable, enable
