"""Who may do what, and how somebody comes in: the decisions, without HTTP and without a server."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from bridge.access.accounts import Accounts
from bridge.adapters.passwords import Argon2Passwords
from bridge.domain.access import (
    ACCOUNT,
    ADDRESS,
    Kind,
    Principal,
    Role,
    Scope,
    anybody,
    digest,
    is_name,
    may,
    may_some,
    neighbourhood,
    new_prefix,
    new_secret,
    next_login_attempts,
    program,
    read_key,
    wait_of,
    write_key,
)
from bridge.domain.errors import Refusal, SetupError, TooManyLoginAttempts, Unauthenticated
from bridge.domain.redaction import mask_text
from gateway.cli.audit import RecordedActions
from gateway.settings import read_settings
from tests.web.auth.access_lab import LIFETIME, PASSWORD, AccessLab

NOW = datetime(2026, 1, 31, 8, tzinfo=UTC)
WHO = {"address": "10.0.0.1", "agent": "test"}


@pytest.fixture
def lab() -> AccessLab:
    return AccessLab()


def cheap() -> Argon2Passwords:
    return Argon2Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


# -- decisions


@pytest.mark.parametrize("action", Scope)
def test_a_scope_allows_itself_alone(action: Scope) -> None:
    for scope in Scope:
        holder = Principal("x", Kind.KEY, frozenset({scope}))
        assert may(holder, action) is (action is scope)
    assert not may(Principal("x", Kind.KEY, frozenset()), action)
    assert may(anybody(), action)


def test_topics_bound_what_a_scope_allows() -> None:
    bound = Principal("x", Kind.KEY, frozenset({Scope.READ}), frozenset({"a"}))
    assert [may(bound, Scope.READ, topic) for topic in ("a", "b", "", None)] == [True, False, False, False]
    assert not may(bound, Scope.SUBMIT, "a")
    assert may_some(bound, Scope.READ)
    assert not may_some(replace(bound, topics=frozenset()), Scope.READ)
    assert not may_some(bound, Scope.OPERATE)


def test_a_key_is_read_as_it_was_written_and_nothing_else_is() -> None:
    prefix, secret = new_prefix(), new_secret()
    key = write_key(prefix, secret)
    assert read_key(key) == (prefix, secret)
    assert len(bytes.fromhex(secret)) * 8 == 256
    assert len({new_secret() for _ in range(100)}) == 100
    for other in ("", key[:-1], key + "0", key.upper(), f" {key}", key + "\n", "wag__", f"wag_{secret}_{prefix}"):
        assert read_key(other) is None, other


@pytest.mark.parametrize("name", ["", "Ada", "a b", "$ne", "a\n", "a" * 65, "-a", "ä"])
def test_what_is_no_name(name: str) -> None:
    assert not is_name(name)


def test_the_wait_grows_after_the_free_tries_and_is_forgotten() -> None:
    login_attempts, waits = None, []
    for _ in range(20):
        login_attempts = next_login_attempts(login_attempts, NOW, ACCOUNT)
        waits.append(wait_of(login_attempts, NOW).total_seconds())
    assert waits[:8] == [0, 0, 0, 0, 2, 4, 8, 16]
    assert waits[-1] == ACCOUNT.most.total_seconds()
    assert wait_of(login_attempts, NOW + ACCOUNT.forget) == timedelta(0)
    assert next_login_attempts(login_attempts, NOW + ACCOUNT.forget, ACCOUNT).count == 1


def test_tries_are_counted_by_who_can_have_the_address() -> None:
    assert neighbourhood("10.0.0.1") == neighbourhood("::ffff:10.0.0.1") == "10.0.0.1"
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8:0:0:ffff::9") != neighbourhood("2001:db8:0:1::1")
    assert len(neighbourhood("x" * 500)) == 64


def test_the_gateways_own_keys_are_masked_in_text() -> None:
    key = write_key(new_prefix(), new_secret())
    assert mask_text(f"sent {key}, got 401") == f"sent {key[:17]}***, got 401"
    assert mask_text(key[:17]) == key[:17]


# -- keys


async def test_a_key_comes_in_until_it_is_revoked(lab: AccessLab) -> None:
    key, text = await lab.accounts.create_key("courier", [Scope.SUBMIT], ["a"])
    found = await lab.session_service.by_key(text)
    assert (found.kind, found.scopes, found.topics) == (Kind.KEY, frozenset({Scope.SUBMIT}), frozenset({"a"}))
    assert key.prefix in found.name
    await lab.accounts.revoke_key(key.prefix)
    with pytest.raises(Unauthenticated):
        await lab.session_service.by_key(text)
    with pytest.raises(Refusal, match="no key"):
        await lab.accounts.revoke_key(key.prefix)


@pytest.mark.parametrize(("topics", "kept"), [(None, {}), (["ship", "a"], {"topics": ["a", "ship"]})])
async def test_the_audit_of_the_command_has_what_a_key_is_for(
    lab: AccessLab, topics: list[str] | None, kept: dict[str, object]
) -> None:
    recorded = RecordedActions()
    accounts = Accounts(lab.store, lab.passwords, lab.clock, recorded)
    key, text = await accounts.create_key("courier", [Scope.SUBMIT, Scope.READ], topics)
    (entry,) = recorded.entries(NOW)
    assert (entry.action, entry.target, entry.role) == ("key.create", f"key:{key.prefix}", "command")
    assert entry.after == {"label": "courier", "scopes": ["read", "submit"], **kept}
    assert text not in str(entry)


async def test_all_keys_that_are_not_good_are_refused_alike(lab: AccessLab) -> None:
    key, text = await lab.accounts.create_key("courier", [Scope.SUBMIT])
    _, revoked = await lab.accounts.create_key("old", [Scope.SUBMIT])
    await lab.accounts.revoke_key(revoked.split("_")[1])
    said = set()
    for wrong in ("", "x", write_key(key.prefix, new_secret()), write_key(new_prefix(), text[-64:]), revoked):
        with pytest.raises(Unauthenticated) as caught:
            await lab.session_service.by_key(wrong)
        said.add(str(caught.value))
    assert len(said) == 1


async def test_what_is_kept_of_a_key_opens_nothing(lab: AccessLab) -> None:
    key, text = await lab.accounts.create_key("courier", [Scope.SUBMIT])
    kept = await lab.store.key(key.prefix)
    assert kept is not None
    assert text[-64:] not in repr(kept) + kept.secret
    with pytest.raises(Unauthenticated):
        await lab.session_service.by_key(write_key(kept.prefix, kept.secret))


async def test_a_use_of_a_key_is_known_to_the_minute(lab: AccessLab) -> None:
    _, text = await lab.accounts.create_key("courier", [Scope.SUBMIT])
    written: list[datetime] = []
    keep = lab.store.use_key

    async def counted(prefix: str, at: datetime) -> None:
        written.append(at)
        await keep(prefix, at)

    lab.store.use_key = counted  # type: ignore[method-assign]
    for _ in range(5):
        await lab.session_service.by_key(text)
        lab.clock.pass_(seconds=30)
    assert [(at - written[0]).total_seconds() for at in written] == [0, 60, 120]


async def test_the_scope_admin_of_a_key_is_all_of_them(lab: AccessLab) -> None:
    key, _ = await lab.accounts.create_key("deployer", [Scope.ADMIN])
    assert program(key).scopes == frozenset(Scope)


@pytest.mark.parametrize(
    ("label", "scopes", "topics"),
    [("", [Scope.READ], None), ("x\n", [], None), ("x\ny", [Scope.READ], None), ("x", [Scope.ADMIN], ["a"])],
)
async def test_keys_that_make_no_sense_are_not_made(
    lab: AccessLab, label: str, scopes: list[Scope], topics: list[str] | None
) -> None:
    with pytest.raises(Refusal):
        await lab.accounts.create_key(label, scopes, topics)
    assert list(await lab.accounts.keys()) == []


# -- people


async def test_a_login_opens_a_session_that_ends_by_itself(lab: AccessLab) -> None:
    await lab.accounts.add_user("Ada", Role.OPERATOR, PASSWORD)
    opened = await lab.session_service.login(" ADA ", PASSWORD, **WHO)
    found = await lab.session_service.by_session(opened.secret)
    assert found is not None
    assert (found.name, found.role, found.kind) == ("ada", Role.OPERATOR, Kind.PERSON)
    assert opened.session.id == digest(opened.secret) != opened.secret
    assert await lab.session_service.by_session(opened.session.id) is None, "what is kept opens nothing"
    lab.clock.moment += LIFETIME - timedelta(seconds=1)
    assert await lab.session_service.by_session(opened.secret) is not None
    assert len(await lab.session_service.sessions("ada")) == 1
    lab.clock.pass_(seconds=1)
    assert await lab.session_service.by_session(opened.secret) is None
    assert list(await lab.session_service.sessions("ada")) == []


async def test_whoever_can_not_log_in_is_told_the_same_after_the_same_work(lab: AccessLab) -> None:
    for name in ("ada", "bob"):
        await lab.accounts.add_user(name, Role.VIEWER, PASSWORD)
    await lab.accounts.disable("bob")
    said, work = set(), []
    for name, password in (("ada", "wrong"), ("nobody", PASSWORD), ("bob", PASSWORD), ("$ne", "x"), ("", "")):
        before = len(lab.passwords.compared)
        with pytest.raises(Unauthenticated) as caught:
            await lab.session_service.login(name, password, **WHO)
        said.add(str(caught.value))
        work.append(len(lab.passwords.compared) - before)
    assert len(said) == 1
    assert work == [1] * 5


async def test_a_disabled_person_and_one_with_another_password_are_out_at_once(lab: AccessLab) -> None:
    first, second = [await lab.session(Role.VIEWER, name) for name in ("ada", "bob")]
    await lab.accounts.disable("ada")
    await lab.accounts.set_password("bob", PASSWORD + "!")
    assert [await lab.session_service.by_session(secret) for secret in (first, second)] == [None, None]
    await lab.accounts.enable("ada")
    assert await lab.session_service.by_session(first) is None
    assert (await lab.session_service.login("ada", PASSWORD, **WHO)).session.user == "ada"


async def test_a_role_counts_from_the_next_request_on(lab: AccessLab) -> None:
    secret = await lab.session(Role.ADMIN, "ada")
    await lab.accounts.set_role("ada", Role.VIEWER)
    found = await lab.session_service.by_session(secret)
    assert found is not None
    assert found.scopes == {Scope.READ}


async def test_sessions_are_revoked_one_by_one_and_only_by_their_owner(lab: AccessLab) -> None:
    await lab.session(Role.VIEWER, "ada")
    other = await lab.session_service.login("ada", PASSWORD, **WHO)
    assert not await lab.session_service.revoke("bob", other.session.id)
    assert await lab.session_service.revoke("ada", other.session.id)
    assert await lab.session_service.by_session(other.secret) is None
    assert len(await lab.session_service.sessions("ada")) == 1


@pytest.mark.parametrize(
    ("name", "password"), [("a b", PASSWORD), ("ada", "x" * 11), ("ada", "x" * 257), ("taken", PASSWORD)]
)
async def test_who_can_not_be_added(lab: AccessLab, name: str, password: str) -> None:
    await lab.accounts.add_user("taken", Role.VIEWER, PASSWORD)
    with pytest.raises(Refusal):
        await lab.accounts.add_user(name, Role.ADMIN, password)
    assert [user.name for user in await lab.accounts.users()] == ["taken"]


async def test_nobody_is_changed_who_is_not_there(lab: AccessLab) -> None:
    for change in (
        lab.accounts.set_password("eve", PASSWORD),
        lab.accounts.set_role("eve", Role.ADMIN),
        lab.accounts.disable("eve"),
        lab.accounts.enable("eve"),
    ):
        with pytest.raises(Refusal, match="no user eve"):
            await change


async def test_the_first_admin_is_made_once(lab: AccessLab) -> None:
    assert await lab.accounts.first_admin("Root", PASSWORD)
    assert not await lab.accounts.first_admin("root", "another password")
    await lab.accounts.set_role("root", Role.VIEWER)
    assert not await lab.accounts.first_admin("root", PASSWORD)
    assert [(user.name, user.role) for user in await lab.accounts.users()] == [("root", Role.VIEWER)]


# -- backoff


async def fail(lab: AccessLab, name: str = "ada", address: str = "10.0.0.1") -> None:
    with pytest.raises(Unauthenticated):
        await lab.session_service.login(name, "wrong", address=address, agent="")


async def wait(lab: AccessLab, name: str = "ada", address: str = "10.0.0.1") -> int:
    compared = len(lab.passwords.compared)
    with pytest.raises(TooManyLoginAttempts) as caught:
        await lab.session_service.login(name, PASSWORD, address=address, agent="")
    assert len(lab.passwords.compared) == compared, "a try that must wait costs no comparison"
    return caught.value.wait


async def test_an_account_waits_longer_with_each_try_whatever_the_address(lab: AccessLab) -> None:
    await lab.accounts.add_user("ada", Role.VIEWER, PASSWORD)
    for number in range(5):
        await fail(lab, address=f"10.0.0.{number}")
    for seconds in (2, 4, 8):
        assert await wait(lab, address="10.0.1.1") == seconds
        lab.clock.pass_(seconds=seconds - 1)
        assert await wait(lab) == 1
        lab.clock.pass_(seconds=1)
        await fail(lab)
    lab.clock.pass_(seconds=16)
    await lab.session_service.login("ada", PASSWORD, **WHO)
    for _ in range(5):
        await fail(lab)
    assert await wait(lab) == 2


async def test_an_unknown_name_waits_as_a_known_one_does(lab: AccessLab) -> None:
    for _ in range(5):
        await fail(lab, name="nobody")
    assert await wait(lab, name="nobody") == 2


async def test_an_address_waits_whatever_the_account_and_one_good_login_does_not_free_it(lab: AccessLab) -> None:
    await lab.accounts.add_user("mallory", Role.VIEWER, PASSWORD)
    for number in range(ADDRESS.free - 1):
        await fail(lab, name=f"victim-{number}")
    await lab.session_service.login("mallory", PASSWORD, **WHO)
    await fail(lab, name="victim-x")
    assert await wait(lab, name="mallory") == 2
    await lab.session_service.login("mallory", PASSWORD, address="10.0.0.2", agent="")


async def test_of_many_tries_at_once_no_more_are_heard_than_one_after_another(lab: AccessLab) -> None:
    await lab.accounts.add_user("ada", Role.VIEWER, PASSWORD)
    guesses = [
        lab.session_service.login("ada", f"guess {number}", address=str(number), agent="") for number in range(50)
    ]
    ends = await asyncio.gather(*guesses, return_exceptions=True)
    assert len(lab.passwords.compared) <= ACCOUNT.free
    assert {type(end) for end in ends} == {Unauthenticated, TooManyLoginAttempts}


# -- passwords


async def test_passwords_are_kept_by_argon2id() -> None:
    passwords = Argon2Passwords()
    kept = await passwords.make(PASSWORD)
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert PASSWORD not in kept
    assert await passwords.verify(kept, PASSWORD)
    assert not await passwords.verify(kept, PASSWORD + "x")


async def test_nobodys_password_costs_a_comparison_and_never_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []
    compare = PasswordHasher.verify

    def counted(self: PasswordHasher, kept: str, password: str) -> bool:
        compared.append(kept.rsplit("$", 2)[0])
        return compare(self, kept, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    passwords = cheap()
    kept = await passwords.make(PASSWORD)
    assert not await passwords.verify(None, PASSWORD)
    assert await passwords.verify(kept, PASSWORD)
    assert compared[0] == compared[1], "with the same parameters, so it takes as long"


async def test_a_hash_that_can_not_be_read_fits_nothing() -> None:
    assert not await cheap().verify("no hash", PASSWORD)


# -- settings


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"gateway_admin_user": "ada"}, "GATEWAY_ADMIN_PASSWORD"),
        ({"gateway_admin_password": PASSWORD}, "GATEWAY_ADMIN_USER"),
        ({"alpine_integrity": "sha384-abc"}, "ALPINE_URL"),
        ({"alpine_url": "https://x/; script-src *"}, "ALPINE_URL"),
        ({"alpine_url": "javascript:alert"}, "ALPINE_URL"),
        ({"auth": "off"}, "AUTH"),
        ({"trusted_proxies": "10.0.0.1,*"}, "TRUSTED_PROXIES"),
        ({"session_lifetime": 100_000}, "SESSION_LIFETIME"),
    ],
)
def test_settings_that_do_not_fit_are_told_without_their_secrets(
    change: dict[str, object], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SetupError, match=says) as caught:
        read_settings(**change)
    assert PASSWORD not in str(caught.value)
