"""Who may log in, by the pages of admins: added, changed and shut out, and all of it in the audit."""

from __future__ import annotations

import html as markup
import re
from typing import Any

import pytest

from bridge.domain.access import Role
from bridge.domain.errors import Forbidden
from bridge.domain.openid import Grant, Identity
from bridge.domain.records import AuditEntry
from tests.web.auth.access_lab import PASSWORD, AccessLab, browser
from tests.web.dashboard.operations_lab import HOSTILE as EVIL
from tests.web.dashboard.operations_lab import (
    OperationsLab,
    Person,
    audited,
    bound_to,
    entries_of,
    form_of,
    person,
    told,
)

PEOPLE = "/dashboard/settings/people"
BOB = f"{PEOPLE}/bob"


@pytest.fixture
async def lab() -> OperationsLab:
    lab = audited()
    await lab.access.session(Role.VIEWER, "bob")
    return lab


@pytest.fixture
async def admin(lab: OperationsLab) -> Person:
    return await person(lab, Role.ADMIN)


async def entries(lab: OperationsLab) -> list[AuditEntry]:
    return await entries_of(lab, "user.")


def secret_of(html: str) -> str:
    """Return what the page shows this once."""
    found = re.search(r'data-level="warning".*?<pre[^>]*>(.*?)</pre>', html, re.S)
    assert found is not None, told(html)
    return markup.unescape(found[1])


async def test_somebody_is_added_and_comes_in_by_the_password_that_is_shown_once(
    lab: OperationsLab, admin: Person
) -> None:
    form = form_of(await admin.get(PEOPLE), PEOPLE)
    shown = await admin.post(PEOPLE, {**form, "name": "Carla@Example.com ", "role": "operator", "reason": "new here"})
    password = secret_of(shown)
    assert len(password) >= 20
    opened = await lab.access.session_service.login("carla@example.com", password, address="10.0.0.2", agent="")
    assert opened.session.user == "carla@example.com"
    assert password not in await admin.get(PEOPLE)
    assert password not in await admin.get("/dashboard/audit")
    (entry,) = await entries(lab)
    assert (entry.action, entry.target, entry.who) == ("user.add", "user:carla@example.com", "admin")
    assert (entry.reason, entry.after, entry.role) == ("new here", {"role": "operator"}, "admin")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "bob"}, "This name is already taken."),
        ({"name": "a b"}, "lowercase letters, digits"),
        ({"name": EVIL}, "lowercase letters, digits"),
        ({"name": ""}, "lowercase letters, digits"),
        ({"name": "eve", "role": "owner"}, "Select a role."),
    ],
)
async def test_what_cannot_be_added_is_shown_as_it_was_typed(
    lab: OperationsLab, admin: Person, fields: dict[str, str], said: str
) -> None:
    shown = await admin.post(PEOPLE, {"role": "viewer", "reason": "because", **fields}, 422)
    assert said in shown
    assert 'value="because"' in shown
    assert "<script>alert" not in shown
    assert await entries(lab) == []
    assert [user.name for user in await lab.access.accounts.users()] == ["admin", "bob"]


async def test_another_role_counts_from_the_next_request_on(lab: OperationsLab, admin: Person) -> None:
    bob = Person(
        lab, (await lab.access.session_service.login("bob", "correct horse battery", address="", agent="")).secret
    )
    await bob.get(PEOPLE, 403)
    form = form_of(await admin.get(BOB), f"{BOB}/role")
    assert "Nothing was changed" in told(await admin.post(f"{BOB}/role", {**form, "role": "admin"}))
    assert "already the role" in told(await admin.post(f"{BOB}/role", {"role": "viewer", "reason": "x"}))
    assert await entries(lab) == []
    shown = await admin.post(f"{BOB}/role", {**form, "role": "admin", "reason": "stands in for me"})
    assert "Role changed" in told(shown)
    await bob.get(PEOPLE)
    (entry,) = await entries(lab)
    assert (entry.action, entry.before, entry.after) == ("user.role", {"role": "viewer"}, {"role": "admin"})


async def test_a_person_is_limited_to_topics_and_the_limit_is_lifted(lab: OperationsLab, admin: Person) -> None:
    secret = (await lab.access.session_service.login("bob", PASSWORD, address="", agent="")).secret
    await lab.parts.failed("t1", topic="ship")
    await lab.parts.failed("t2")
    form = form_of(await admin.get(BOB), f"{BOB}/topics")
    assert form["topics"] == ""
    assert "give a reason" in told(await admin.post(f"{BOB}/topics", {**form, "topics": "ship"}))
    names = 'ship, "two words" "a\\"b"'
    shown = await admin.post(f"{BOB}/topics", {**form, "topics": names, "reason": "their team's"})
    assert "Topics changed" in told(shown)
    kept = await lab.access.accounts.user("bob")
    assert kept is not None
    assert kept.topics == frozenset({"ship", "two words", 'a"b'})
    again = markup.unescape(form_of(await admin.get(BOB), f"{BOB}/topics")["topics"])
    assert "already so" in told(await admin.post(f"{BOB}/topics", {"topics": again, "reason": "x"}))
    bob = Person(lab, secret)
    assert "t1" in await bob.get("/dashboard/tasks/t1")
    await bob.get("/dashboard/tasks/t2", 404)
    assert "two words" in await admin.get(PEOPLE)
    await admin.post(f"{BOB}/topics", {"topics": "", "reason": "all of it"})
    await bob.get("/dashboard/tasks/t2")
    last, first = await entries(lab)
    assert (first.action, first.before, first.after) == (
        "user.topics", {"topics": []}, {"topics": ['a"b', "ship", "two words"]},
    )  # fmt: skip
    assert last.after == {"topics": []}


async def test_an_admin_is_not_limited(lab: OperationsLab, admin: Person) -> None:
    said = "be limited to topics."
    fields = {"name": "eve", "role": "admin", "topics": "ship", "reason": "x"}
    assert said in await admin.post(PEOPLE, fields, 422)
    await admin.post(PEOPLE, {**fields, "role": "operator"})
    eve = f"{PEOPLE}/eve"
    assert said in await admin.post(f"{eve}/role", {"role": "admin", "reason": "x"})
    await lab.access.accounts.add_user("root", Role.ADMIN, PASSWORD)
    assert f"{PEOPLE}/root/topics" not in await admin.get(f"{PEOPLE}/root")
    assert said in await admin.post(f"{PEOPLE}/root/topics", {"topics": "ship", "reason": "x"})
    too_many = " ".join(f"t{number}" for number in range(51))
    assert "at most 50 topics" in await admin.post(f"{eve}/topics", {"topics": too_many, "reason": "x"})
    kept = {user.name: (user.role, user.topics) for user in await lab.access.accounts.users()}
    assert (kept["eve"], kept["root"]) == ((Role.OPERATOR, frozenset({"ship"})), (Role.ADMIN, None))


async def test_what_a_company_account_claims_is_not_changed_here(lab: OperationsLab, admin: Person) -> None:
    identity = Identity("https://login.example", "s1", {}, "")
    await lab.access.session_service.admit(identity, Grant("ada", Role.VIEWER), address="", agent="")
    ada = f"{PEOPLE}/ada"
    page = await admin.get(ada)
    assert "signs in with a company account" in page
    for what, fields in (("role", {"role": "admin"}), ("topics", {"topics": "ship"}), ("password", {})):
        assert f"{ada}/{what}" not in page
        assert "comes from the company account" in told(await admin.post(f"{ada}/{what}", {"reason": "x", **fields}))
    assert await entries(lab) == []
    await admin.post(f"{ada}/disable", {"reason": "left us"})
    with pytest.raises(Forbidden):
        await lab.access.session_service.admit(identity, Grant("ada", Role.ADMIN), address="", agent="")


async def test_another_password_ends_the_sessions(lab: OperationsLab, admin: Person) -> None:
    assert "Nothing was changed" in told(await admin.post(f"{BOB}/password", {"reason": " "}))
    password = secret_of(await admin.post(f"{BOB}/password", {"reason": "he lost it"}))
    assert list(await lab.access.session_service.sessions("bob")) == []
    await lab.access.session_service.login("bob", password, address="", agent="")
    assert password not in await admin.get(BOB)
    (entry,) = await entries(lab)
    assert (entry.action, entry.reason, entry.before, entry.after) == ("user.password", "he lost it", {}, {})


async def test_somebody_is_let_in_no_more_and_again(lab: OperationsLab, admin: Person) -> None:
    assert "Nothing was changed" in told(await admin.post(f"{BOB}/disable", {"reason": ""}))
    shown = await admin.post(f"{BOB}/disable", {"reason": "left us"})
    assert "bob is disabled" in told(shown)
    assert f'action="{BOB}/disable"' not in shown
    assert list(await lab.access.session_service.sessions("bob")) == []
    assert "it was already so" in told(await admin.post(f"{BOB}/disable", {"reason": "again"}))
    assert "disabled" in await admin.get(PEOPLE)
    assert "bob is enabled again" in told(await admin.post(f"{BOB}/enable", {"reason": ""}))
    assert [entry.action for entry in await entries(lab)] == ["user.enable", "user.disable"]
    await lab.access.session_service.login("bob", "correct horse battery", address="", agent="")


@pytest.mark.parametrize("what", ["role", "disable", "password"])
async def test_nobody_shuts_himself_out(lab: OperationsLab, admin: Person, what: str) -> None:
    own = f"{PEOPLE}/admin"
    assert f"{own}/{what}" not in await admin.get(own)
    fields = {"reason": "x", **({"role": "viewer"} if what == "role" else {})}
    assert "your own account" in told(await admin.post(f"{own}/{what}", fields))
    assert await entries(lab) == []
    assert (await lab.access.accounts.user("admin")) is not None
    await admin.get(PEOPLE)


async def test_what_another_was_faster_with_is_told_to_the_audit(
    lab: OperationsLab, admin: Person, monkeypatch: Any
) -> None:
    async def gone(name: str, role: Role) -> bool:
        return False

    monkeypatch.setattr(lab.access.store, "set_role", gone)
    shown = await admin.post(f"{BOB}/role", {"role": "admin", "reason": "x"})
    assert "someone else was faster" in told(shown)
    last, first = await entries(lab)
    assert "not done" in last.after
    assert first.after == {"role": "admin"}


async def test_who_is_not_there(admin: Person) -> None:
    await admin.get(f"{PEOPLE}/nobody", 404)
    for what, fields in (("role", {"role": "viewer"}), ("password", {}), ("disable", {}), ("enable", {})):
        await admin.post(f"{PEOPLE}/nobody/{what}", {"reason": "x", **fields}, 404)


async def test_nobody_but_admins(lab: OperationsLab) -> None:
    operator = await person(lab, Role.OPERATOR)
    assert PEOPLE not in await operator.get("/dashboard/settings")
    for path in (PEOPLE, BOB):
        await operator.get(path, 403)
    await operator.post(f"{BOB}/disable", {"reason": "x"}, 403)
    await operator.post(PEOPLE, {"name": "eve", "role": "admin"}, 403)
    assert [user.name for user in await lab.access.accounts.users()] == ["bob", "operator"]


async def test_an_admin_of_some_topics_sees_to_nobody(lab: OperationsLab, admin: Person) -> None:
    bound_to(lab, "ship")
    await admin.get(PEOPLE, 403)
    await admin.post(f"{BOB}/disable", {"reason": "x"}, 403)


async def test_a_form_of_another_session_changes_nothing(lab: OperationsLab) -> None:
    async with browser(lab.app(), await lab.access.session(Role.ADMIN)) as client:
        refused = await client.post(f"{BOB}/disable", data={"reason": "x", "csrf_token": "0" * 64})
    assert refused.status_code == 403
    assert await entries(lab) == []


async def test_in_portuguese(lab: OperationsLab) -> None:
    admin = await person(lab, Role.ADMIN, **{"accept-language": "pt-BR"})
    assert "Adicionar uma pessoa" in await admin.get(PEOPLE)
    assert "Alguém já tem este nome." in await admin.post(PEOPLE, {"name": "bob", "role": "viewer"}, 422)


async def test_without_an_audit_it_works_all_the_same(stub: Any) -> None:
    access = AccessLab()
    lab = OperationsLab(access)
    admin = await person(lab, Role.ADMIN)
    assert secret_of(await admin.post(PEOPLE, {"name": "eve", "role": "viewer"}))


SETTINGS = "/dashboard/settings"
NEW = "a longer one than that"


async def test_everybody_changes_his_own_password_and_signs_out_elsewhere(lab: OperationsLab) -> None:
    someone = await person(lab, Role.OPERATOR)
    name = "operator"
    elsewhere = await lab.access.session_service.login(name, PASSWORD, address="10.0.0.9", agent="")
    form = form_of(await someone.get(SETTINGS), f"{SETTINGS}/password")
    shown = await someone.post(f"{SETTINGS}/password", {**form, "old": PASSWORD, "new": NEW, "again": NEW})
    assert "Password changed." in shown
    assert "Sessions" in await someone.get(SETTINGS)  # still signed in here
    assert await lab.access.session_service.by_session(elsewhere.secret) is None
    assert (await lab.access.session_service.login(name, NEW, address="10.0.0.9", agent="")).session.user == name
    (entry,) = await entries(lab)
    assert (entry.action, entry.target, entry.who) == ("user.password", f"user:{name}", name)
    assert NEW not in str(entry)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"old": "another one altogether"}, "the current password is wrong"),
        ({"again": f"{NEW}!"}, "the new passwords don't match"),
        ({"new": "short", "again": "short"}, "a password has 12 to 256 characters"),
    ],
)
async def test_a_password_that_can_not_be_changed_stays(lab: OperationsLab, fields: dict[str, str], said: str) -> None:
    someone = await person(lab, Role.OPERATOR)
    form = form_of(await someone.get(SETTINGS), f"{SETTINGS}/password")
    given = {**form, "old": PASSWORD, "new": NEW, "again": NEW, **fields}
    assert said in await someone.post(f"{SETTINGS}/password", given)
    assert await entries(lab) == []
    assert (await lab.access.session_service.login("operator", PASSWORD, address="10.0.0.9", agent="")).session


async def test_guesses_at_the_password_until_now_are_slowed_down_as_at_the_login(lab: OperationsLab) -> None:
    someone = await person(lab, Role.OPERATOR)
    form = form_of(await someone.get(SETTINGS), f"{SETTINGS}/password")
    told_of = [
        await someone.post(f"{SETTINGS}/password", {**form, "old": f"guess {number}", "new": NEW, "again": NEW})
        for number in range(12)
    ]
    assert "Too many attempts" in told_of[-1]
    compared = len(lab.access.passwords.compared)
    await someone.post(f"{SETTINGS}/password", {**form, "old": PASSWORD, "new": NEW, "again": NEW})
    assert len(lab.access.passwords.compared) == compared  # not even looked at
