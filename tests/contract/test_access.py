"""People, keys, sessions and login_attempts: the same in memory and on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from bridge.adapters.memory.access import MemoryAccessStore
from bridge.adapters.mongo.access import MongoAccessStore
from bridge.domain.access import ApiKey, LoginAttempts, Role, Scope, Session, User
from bridge.ports.access import AccessStore

NOW = datetime(2126, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)  # the future, because a server deletes what has expired
HOUR = timedelta(hours=1)
ADA = User("ada", Role.VIEWER, "$argon2id$x", NOW)
KEY = ApiKey("aaaabbbbcccc", "0" * 64, "courier", frozenset({Scope.SUBMIT, Scope.READ}), NOW, frozenset({"a.b", "$c"}))
SESSION = Session("f" * 64, "ada", NOW, NOW + HOUR, "10.0.0.1", "browser")
LOGIN_ATTEMPTS = LoginAttempts(1, NOW, NOW + HOUR)
HOSTILE = ('{"$ne": null}', "$where", "a.b", "", "\0", "x" * 500)


@pytest.fixture(params=["memory", "mongodb"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[AccessStore]:
    if request.param == "memory":
        yield MemoryAccessStore()
        return
    servers: dict[str, str] = request.getfixturevalue("servers")
    database = f"test_{uuid4().hex}"
    async with MongoAccessStore(servers["MONGODB_URI"], database) as store:
        try:
            yield store
        finally:
            await store._connected().drop_database(database)


async def test_people(store: AccessStore) -> None:
    assert await store.user("ada") is None
    assert await store.add_user(ADA)
    assert not await store.add_user(replace(ADA, role=Role.ADMIN))
    bob = User("bob", Role.ADMIN, "$argon2id$y", NOW)
    assert await store.add_user(bob)
    assert await store.user("ada") == ADA
    assert list(await store.users()) == [ADA, bob]
    assert await store.set_password("ada", "$argon2id$z")
    assert await store.set_role("ada", Role.OPERATOR)
    assert await store.set_disabled("ada", NOW)
    assert await store.user("ada") == User("ada", Role.OPERATOR, "$argon2id$z", NOW, NOW)
    assert await store.set_disabled("ada", None)
    for topics in (frozenset({"a.b", "$c"}), None):
        assert await store.set_topics("ada", topics)
        found = await store.user("ada")
        assert found is not None
        assert found.topics == topics
    assert await store.user("bob") == bob
    for change in (
        store.set_password("eve", "x"),
        store.set_role("eve", Role.ADMIN),
        store.set_topics("eve", None),
        store.set_disabled("eve", NOW),
    ):
        assert not await change


async def test_a_person_is_found_by_their_account_and_granted_all_at_once(store: AccessStore) -> None:
    company = replace(ADA, account="https://login.example s1", password="", topics=frozenset({"ship"}))
    assert await store.add_user(company)
    assert await store.add_user(replace(ADA, name="bob"))
    assert await store.user_by_account("https://login.example s1") == company
    assert await store.user_by_account("https://login.example s2") is None
    assert await store.set_grant("ada", Role.ADMIN, None)
    assert await store.user("ada") == replace(company, role=Role.ADMIN, topics=None)
    assert not await store.set_grant("eve", Role.ADMIN, None)


async def test_of_many_who_want_a_name_one_gets_it(store: AccessStore) -> None:
    candidates = [replace(ADA, password=str(number)) for number in range(8)]
    won = await asyncio.gather(*(store.add_user(user) for user in candidates))
    assert sum(won) == 1
    assert await store.user("ada") == candidates[won.index(True)]


async def test_keys(store: AccessStore) -> None:
    assert await store.add_key(KEY)
    assert not await store.add_key(replace(KEY, label="other"))
    later = replace(KEY, prefix="dddd", topics=None, scopes=frozenset({Scope.ADMIN}), created_at=NOW + HOUR)
    assert await store.add_key(later)
    assert await store.key(KEY.prefix) == KEY
    assert list(await store.keys()) == [later, KEY]
    assert await store.revoke_key(KEY.prefix, NOW)
    assert not await store.revoke_key(KEY.prefix, NOW + HOUR)
    assert not await store.revoke_key("nope", NOW)
    assert await store.key(KEY.prefix) == replace(KEY, revoked_at=NOW)
    assert await store.key("dddd") == later


async def test_a_use_is_written_once_a_minute(store: AccessStore) -> None:
    await store.add_key(KEY)
    seen = []
    for seconds in (0, 59, 60, 61, 600):
        await store.use_key(KEY.prefix, NOW + timedelta(seconds=seconds))
        key = await store.key(KEY.prefix)
        assert key is not None
        assert key.used_at is not None
        seen.append((key.used_at - NOW).total_seconds())
    assert seen == [0, 0, 60, 60, 600]
    await store.use_key("nope", NOW)
    assert await store.key("nope") is None


async def test_sessions(store: AccessStore) -> None:
    second = replace(SESSION, id="e" * 64, created_at=NOW + HOUR)
    others = replace(SESSION, id="d" * 64, user="bob")
    for session in (SESSION, second, others):
        await store.add_session(session)
    assert await store.session(SESSION.id) == SESSION
    assert list(await store.sessions("ada")) == [second, SESSION]
    assert not await store.end_session("bob", SESSION.id), "nobody ends another's session"
    assert await store.end_session("ada", SESSION.id)
    assert not await store.end_session("ada", SESSION.id)
    assert await store.session(SESSION.id) is None
    assert await store.end_sessions("ada") == 1
    assert await store.end_sessions("ada") == 0
    assert list(await store.sessions("bob")) == [others]


async def test_sessions_but_one_and_the_newest_are_kept(store: AccessStore) -> None:
    mine = [replace(SESSION, id=f"{number:064x}", created_at=NOW + number * HOUR / 60) for number in range(5)]
    others = replace(SESSION, id="d" * 64, user="bob")
    for session in (*mine, others):
        await store.add_session(session)
    assert await store.end_oldest_sessions("ada", keep=5) == 0
    assert await store.end_oldest_sessions("ada", keep=3) == 2
    assert list(await store.sessions("ada")) == mine[:1:-1]
    assert await store.end_sessions("ada", keep=mine[3].id) == 2
    assert list(await store.sessions("ada")) == [mine[3]]
    assert list(await store.sessions("bob")) == [others]


async def test_a_session_is_bound_to_another_credential(store: AccessStore) -> None:
    await store.add_session(SESSION)
    assert not await store.rebind_session("bob", SESSION.id, "other")
    assert not await store.rebind_session("ada", "0" * 64, "other")
    assert await store.rebind_session("ada", SESSION.id, "other")
    assert await store.session(SESSION.id) == replace(SESSION, credential="other")


async def test_many_are_read_at_once(store: AccessStore) -> None:
    bob, second = replace(ADA, name="bob"), replace(SESSION, id="e" * 64, user="bob")
    for user in (ADA, bob):
        await store.add_user(user)
    for session in (SESSION, second):
        await store.add_session(session)
    found = await store.sessions_by_id([second.id, SESSION.id, "$ne"])
    assert sorted(found, key=lambda session: session.user) == [SESSION, second]
    assert sorted(await store.users_by_name({"bob", "ada", "eve"}), key=lambda user: user.name) == [ADA, bob]
    assert (list(await store.sessions_by_id([])), list(await store.users_by_name([]))) == ([], [])


async def test_requests_are_counted_by_side_and_window(store: AccessStore) -> None:
    counts = await asyncio.gather(*(store.count_requests("key:a", NOW, 5) for _ in range(8)))
    # None is lost. That each sees another count holds on MongoDB; the sandbox's store may tell a later one's, too.
    assert min(counts) >= 5
    assert max(counts) == 40
    assert await store.count_requests("key:a", NOW, 0) == 40
    assert await store.count_requests("key:b", NOW, 1) == 1
    assert await store.count_requests("key:a", NOW + HOUR, 2) == 2
    for side in HOSTILE:
        assert await store.count_requests(side, NOW, 3) == 3


async def test_of_many_tries_at_once_one_counts(store: AccessStore) -> None:
    assert await store.login_attempts("x") is None
    assert sum(await asyncio.gather(*(store.swap_login_attempts("x", None, LOGIN_ATTEMPTS) for _ in range(8)))) == 1
    assert await store.login_attempts("x") == LOGIN_ATTEMPTS
    after = LoginAttempts(2, NOW + HOUR, NOW + 2 * HOUR)
    assert sum(await asyncio.gather(*(store.swap_login_attempts("x", LOGIN_ATTEMPTS, after) for _ in range(8)))) == 1
    assert await store.login_attempts("x") == after
    assert not await store.swap_login_attempts("x", replace(after, count=3), LOGIN_ATTEMPTS)
    assert not await store.swap_login_attempts("y", LOGIN_ATTEMPTS, after)
    await store.forget_login_attempts("x")
    assert await store.login_attempts("x") is None


async def test_moments_finer_than_a_millisecond_are_swapped_as_well(store: AccessStore) -> None:
    fine = LoginAttempts(1, NOW + timedelta(microseconds=1), NOW + timedelta(microseconds=999))
    assert await store.swap_login_attempts("x", None, fine)
    assert await store.swap_login_attempts("x", fine, LOGIN_ATTEMPTS)


@pytest.mark.parametrize("text", HOSTILE)
async def test_no_text_is_read_as_an_operator(store: AccessStore, text: str) -> None:
    await store.add_user(ADA)
    await store.add_key(KEY)
    await store.add_session(SESSION)
    await store.swap_login_attempts("x", None, LOGIN_ATTEMPTS)
    assert await store.user(text) is None
    assert await store.key(text) is None
    assert await store.session(text) is None
    assert await store.user_by_account(text) is None
    assert await store.login_attempts(text) is None
    assert list(await store.sessions(text)) == []
    assert not await store.revoke_key(text, NOW)
    assert await store.end_sessions(text) == 0
    assert await store.add_user(replace(ADA, name=text))
    assert (await store.user("ada"), await store.session(SESSION.id)) == (ADA, SESSION)
