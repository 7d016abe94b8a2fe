"""Login with a company's account: the claims of an identity provider about a person, and the rights that they grant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.domain.access import Role, is_name
from bridge.domain.errors import Forbidden
from bridge.domain.messages import message

EVERY_TOPIC: Final = "*"
_HIGHEST_FIRST: Final = (Role.ADMIN, Role.OPERATOR, Role.VIEWER)


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """A login that has begun: where the browser goes, and what the answer is checked with.

    `state` binds the answer to the browser, `nonce` the id token to this login (OpenID Connect Core 3.1.2.1), and
    `verifier` the code to who asked for it (RFC 7636).
    """

    url: str
    state: str
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """A person, as the provider's checked id token has them. `subject` is theirs for good; a name may pass on."""

    issuer: str
    subject: str
    claims: Mapping[str, Any]
    id_token: str = field(repr=False)

    @property
    def account(self) -> str:
        """What identifies the person among all providers (OpenID Connect Core 5.7)."""
        return f"{self.issuer} {self.subject}"


@dataclass(frozen=True, slots=True)
class Grant:
    """A person's rights here. `role` None is none, `topics` None every topic."""

    name: str
    role: Role | None
    topics: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class ClaimMapping:
    """Which claims have the name, the role and the topics; `roles` has the values that stand for each role.

    A claim inside another is named with a dot, as in `realm_access.roles`. Without `topics` nobody is limited.
    """

    name: str
    role: str
    roles: Mapping[Role, frozenset[str]]
    topics: str | None = None

    def grant(self, identity: Identity) -> Grant:
        """Return what the claims grant; the highest role counts. Raises `Forbidden` for claims that name nobody."""
        name = _claim(identity.claims, self.name)
        name = name.strip().lower() if isinstance(name, str) else ""
        if not is_name(name):
            raise Forbidden(message("login.claim", claim=self.name))
        if self.name == "email" and identity.claims.get("email_verified") is not True:
            raise Forbidden(message("login.email"))
        given = _texts(_claim(identity.claims, self.role))
        role = next((role for role in _HIGHEST_FIRST if given & self.roles.get(role, frozenset())), None)
        if self.topics is None or role is Role.ADMIN or role is None:
            return Grant(name, role)
        topics = _texts(_claim(identity.claims, self.topics))
        if EVERY_TOPIC in topics:
            return Grant(name, role)
        return Grant(name, role if topics else None, topics)


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """Return a claim; None where there is none. A name with dots, as of a URL, is tried whole before its parts."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _texts(value: object) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset({value})
    return frozenset(item for item in value if isinstance(item, str)) if isinstance(value, list) else frozenset()
