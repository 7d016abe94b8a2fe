"""The keys of programs, by the pages of admins: made and shown once, revoked, and all of it in the audit."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.domain.access import Role, Scope
from bridge.domain.errors import Unauthenticated
from bridge.domain.records import AuditEntry
from tests.web.dashboard.operations_lab import (
    HOSTILE,
    OperationsLab,
    Person,
    audited,
    entries_of,
    form_of,
    person,
    told,
)
from tests.web.dashboard.test_pages_people import secret_of

KEYS = "/dashboard/settings/keys"


@pytest.fixture
def lab() -> OperationsLab:
    return audited()


@pytest.fixture
async def admin(lab: OperationsLab) -> Person:
    return await person(lab, Role.ADMIN)


async def entries(lab: OperationsLab) -> list[AuditEntry]:
    return await entries_of(lab, "key.")


async def filled(admin: Person, **fields: Any) -> dict[str, Any]:
    """Return the form as the page has it, filled in."""
    form = form_of(await admin.get(KEYS), KEYS)
    return {**form, "label": "order service", "scope": ["submit", "read"], "topics": "", **fields}


async def test_a_key_is_shown_once_and_opens_what_it_says(lab: OperationsLab, admin: Person) -> None:
    form = await filled(admin, topics='ship, charge_card ship "Ação/de cobrança 1";"a\\"b"', reason="goes live")
    key = secret_of(await admin.post(KEYS, form))
    who = await lab.access.session_service.by_key(key)
    assert who.scopes == {Scope.SUBMIT, Scope.READ}
    assert who.topics == frozenset({"ship", "charge_card", "Ação/de cobrança 1", 'a"b'})
    assert key not in await admin.get(KEYS)
    prefix = str(form["prefix"])
    assert key not in await admin.get(f"{KEYS}/{prefix}")
    (entry,) = await entries(lab)
    assert (entry.action, entry.target, entry.reason) == ("key.create", f"key:{prefix}", "goes live")
    assert entry.after == {
        "label": "order service",
        "scopes": ["read", "submit"],
        "topics": ["ship", "charge_card", "Ação/de cobrança 1", 'a"b'],
    }
    assert key not in str(entry)


async def test_the_same_form_sent_twice_makes_one_key(lab: OperationsLab, admin: Person) -> None:
    form = await filled(admin)
    key = secret_of(await admin.post(KEYS, form))
    again = await admin.post(KEYS, form)
    assert "already created" in told(again)
    assert key not in again
    assert len(await lab.access.accounts.keys()) == 1
    assert len(await entries(lab)) == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"label": " "}, "Say which program uses it"),
        ({"label": "x" * 101}, "Say which program uses it"),
        ({"scope": []}, "Select at least one"),
        ({"scope": ["everything"]}, "Select at least one"),
        ({"scope": ["admin"], "topics": "ship"}, "be limited to topics"),
        ({"topics": "x" * 256}, "Name at most 50 topics"),
        ({"topics": " ".join(map(str, range(51)))}, "Name at most 50 topics"),
    ],
)
async def test_what_cannot_be_made_is_shown_as_it_was_typed(
    lab: OperationsLab, admin: Person, fields: dict[str, Any], said: str
) -> None:
    form = await filled(admin, **fields)
    shown = await admin.post(KEYS, {**form, "reason": "because"}, 422)
    assert said in shown
    assert 'value="because"' in shown
    assert form_of(shown, KEYS)["prefix"] == form["prefix"]
    assert list(await lab.access.accounts.keys()) == []
    assert await entries(lab) == []


async def test_a_key_is_revoked_with_a_reason(lab: OperationsLab, admin: Person) -> None:
    text = await lab.access.key(Scope.READ)
    page = f"{KEYS}/{text.split('_')[1]}"
    form = form_of(await admin.get(page), f"{page}/revoke")
    assert "Nothing was changed" in told(await admin.post(f"{page}/revoke", {**form, "reason": " "}))
    await lab.access.session_service.by_key(text)
    shown = await admin.post(f"{page}/revoke", {**form, "reason": "it leaked"})
    assert "Key revoked" in told(shown)
    assert f'action="{page}/revoke"' not in shown
    with pytest.raises(Unauthenticated):
        await lab.access.session_service.by_key(text)
    assert "already revoked" in told(await admin.post(f"{page}/revoke", {"reason": "again"}))
    (entry,) = await entries(lab)
    assert (entry.action, entry.reason, entry.after) == ("key.revoke", "it leaked", {"revoked": True})


async def test_the_revoked_stand_apart_and_the_audit_leads_to_each(lab: OperationsLab, admin: Person) -> None:
    await admin.post(KEYS, form := await filled(admin, label=HOSTILE))
    listed = await admin.get(KEYS)
    assert "<script>alert" not in listed
    assert 'id="revoked"' not in listed
    page = f"{KEYS}/{form['prefix']}"
    assert f'href="{page}"' in await admin.get("/dashboard/audit?action=key.create")
    await admin.post(f"{page}/revoke", {"reason": "x"})
    assert 'id="revoked"' in await admin.get(KEYS)


async def test_what_is_no_key(admin: Person) -> None:
    await admin.get(f"{KEYS}/nothing", 404)
    await admin.post(f"{KEYS}/nothing/revoke", {"reason": "x"}, 404)


async def test_nobody_but_admins(lab: OperationsLab) -> None:
    page = f"{KEYS}/{(await lab.access.key(Scope.READ)).split('_')[1]}"
    operator = await person(lab, Role.OPERATOR)
    for path in (KEYS, page):
        await operator.get(path, 403)
    await operator.post(KEYS, {"label": "mine", "scope": ["admin"]}, 403)
    await operator.post(f"{page}/revoke", {"reason": "x"}, 403)
    (key,) = await lab.access.accounts.keys()
    assert key.revoked_at is None
