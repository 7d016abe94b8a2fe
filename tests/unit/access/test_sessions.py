"""People: the sessions they have and what ends them, and the topics that they are limited to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.domain.access import MOST_SESSIONS, Role, Scope, Session, digest, may
from bridge.domain.errors import Refusal
from tests.web.auth.access_lab import LIFETIME, PASSWORD, AccessLab

WHO = {"address": "10.0.0.1", "agent": "test"}


@pytest.fixture
def lab() -> AccessLab:
    return AccessLab()


async def test_a_new_password_ends_every_session_however_many_there_are(lab: AccessLab) -> None:
    secret = await lab.session(Role.VIEWER, "ada")
    kept = Session("e" * 64, "ada", lab.clock.now(), lab.clock.now() + LIFETIME)
    for number in range(1100):  # as a version without a bound may have left them
        await lab.store.add_session(replace(kept, id=f"{number:064x}"))
    other = await lab.session_service.login("ada", PASSWORD, **WHO)
    await lab.session_service.change_password("ada", PASSWORD, PASSWORD + "!", keep=other.session.id)
    assert await lab.session_service.by_session(secret) is None
    assert await lab.session_service.by_session(other.secret) is not None, "the browser that changed it stays"
    assert [session.id for session in await lab.store.sessions("ada")] == [other.session.id]


async def test_a_login_with_the_old_password_that_ends_after_the_change_opens_nothing(lab: AccessLab) -> None:
    await lab.accounts.add_user("ada", Role.VIEWER, PASSWORD)
    verify = lab.passwords.verify

    async def change_meanwhile(kept: str | None, password: str) -> bool:
        await lab.accounts.set_password("ada", PASSWORD + "!")
        return await verify(kept, password)

    lab.passwords.verify = change_meanwhile  # type: ignore[method-assign]
    late = await lab.session_service.login("ada", PASSWORD, **WHO)
    assert late.session.id in {session.id for session in await lab.store.sessions("ada")}
    assert await lab.session_service.by_session(late.secret) is None


async def test_a_person_has_so_many_sessions_and_the_oldest_ends(lab: AccessLab) -> None:
    await lab.accounts.add_user("ada", Role.VIEWER, PASSWORD)
    opened = []
    for _ in range(MOST_SESSIONS + 2):
        opened.append(await lab.session_service.login("ada", PASSWORD, **WHO))
        lab.clock.pass_(seconds=1)
    valid = [await lab.session_service.by_session(one.secret) is not None for one in opened]
    assert valid == [False] * 2 + [True] * MOST_SESSIONS


async def test_which_sessions_have_ended_is_told_for_many_at_once(lab: AccessLab) -> None:
    first, second, third = [await lab.session(Role.VIEWER, name) for name in ("ada", "bob", "eve")]
    ids = [digest(secret) for secret in (first, second, third)]
    assert await lab.session_service.ended(ids) == frozenset()
    await lab.accounts.disable("ada")
    await lab.accounts.set_password("bob", PASSWORD + "!")
    assert await lab.session_service.ended([*ids, "unknown"]) == {ids[0], ids[1], "unknown"}
    lab.clock.moment += LIFETIME
    assert await lab.session_service.ended(ids) == set(ids)
    assert await lab.session_service.ended([]) == frozenset()


async def test_a_person_who_is_limited_to_topics_may_nothing_elsewhere(lab: AccessLab) -> None:
    await lab.accounts.add_user("ana", Role.OPERATOR, PASSWORD, ["ship"])
    opened = await lab.session_service.login("ana", PASSWORD, **WHO)
    found = await lab.session_service.by_session(opened.secret)
    assert found is not None
    assert [may(found, Scope.OPERATE, topic) for topic in ("ship", "mail", None)] == [True, False, False]
    await lab.accounts.set_topics("ana", None)
    found = await lab.session_service.by_session(opened.secret)
    assert found is not None
    assert may(found, Scope.OPERATE)
    assert [values["topics"] for event, values in lab.journal.told if "topics" in values] == [["ship"], None]


async def test_who_can_not_be_limited(lab: AccessLab) -> None:
    await lab.accounts.add_user("ana", Role.OPERATOR, PASSWORD, ["ship"])
    await lab.accounts.add_user("root", Role.ADMIN, PASSWORD)
    for change in (
        lab.accounts.add_user("eve", Role.ADMIN, PASSWORD, ["ship"]),
        lab.accounts.set_topics("root", ["ship"]),
        lab.accounts.set_role("ana", Role.ADMIN),
        lab.accounts.set_topics("ana", []),
        lab.accounts.set_topics("nobody", ["ship"]),
    ):
        with pytest.raises(Refusal):
            await change
    kept = [(user.name, user.role, user.topics) for user in await lab.accounts.users()]
    assert kept == [("ana", Role.OPERATOR, {"ship"}), ("root", Role.ADMIN, None)]
