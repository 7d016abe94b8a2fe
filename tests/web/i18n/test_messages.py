"""What went wrong in the reader's language: every message that a page can show is known, with all that is in it."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from babel.messages.pofile import read_po
from pydantic import BaseModel, Field, ValidationError

from bridge.access.accounts import check_password
from bridge.adapters.camunda.answers import Answer, content, document, interpret, nothing, rows
from bridge.documents.messages import from_code, to_code
from bridge.domain import errors
from bridge.domain.access import LEAST_PASSWORD, Kind, Principal, Role, Scope
from bridge.domain.errors import ForeignPage, GatewayError
from bridge.domain.message_texts import TEXTS
from bridge.domain.messages import Message, fault_of, message, message_of
from bridge.domain.task import State
from bridge.domain.variables import encode, parse_submitted
from bridge.flow.handle.run import explained
from bridge.operations.actions import Action, ShownVersion, check, reason_against
from tests.web.auth.access_lab import browser
from tests.web.conftest import make_task
from tests.web.dashboard.dashboard_lab import flash, seen
from tests.web.dashboard.operations_lab import OperationsLab
from web.api.problems import PROBLEMS, STATUSES
from web.api.schemas import SubmitRequest
from web.auth.guard import require
from web.auth.security import require_own_page
from web.hosts import AllowedHosts
from web.i18n.messages import translate, translate_result
from web.i18n.texts import ENGLISH, PORTUGUESE, catalog_file, locale_of

NOW = datetime(2026, 1, 31, 8, tzinfo=UTC)
ENGLISH_WORDS = re.compile(
    r"\b(the|is|it|its|can't|not|should|be|must|Expecting|Invalid|Input|valid|answer|held|holds|task|has|have)\b"
)


def said(call: Callable[[], Any]) -> Message:
    """Return what the error says that a call raises."""
    with pytest.raises(GatewayError) as caught:
        call()
    return caught.value.message


def foreign(text: Message) -> str:
    """Return the text in Portuguese, of which nothing may be English any more."""
    assert text.code
    told = translate(PORTUGUESE, text)
    assert told != text
    assert not ENGLISH_WORDS.search(told), told
    assert translate(ENGLISH, text) == text
    kept = from_code(str(text), to_code(text))
    assert kept == text
    assert kept is not None
    assert translate(PORTUGUESE, kept) == told
    return told


CHANGES: list[dict[str, Any]] = [{"state": State.COMPLETED}, {"epoch": 9}, {"updated_at": NOW + timedelta(days=1)}]


@pytest.mark.parametrize("changes", CHANGES)
def test_a_task_that_has_changed(changes: dict[str, Any]) -> None:
    task = make_task("t1", state=State.FAILED)
    told = foreign(said(lambda: ShownVersion.of(task).check(task.changed(**changes))))
    assert "t1" in told


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("state", State)
def test_what_the_state_forbids(action: Action, state: State) -> None:
    task = make_task("t1", state=state)
    if reason_against(action, task) is not None:
        assert "t1" in foreign(said(lambda: check(action, task, None)))


@pytest.mark.parametrize(
    "value",
    [
        {"type": "Integer", "value": "many"},
        {"type": "Integer", "value": 2**40},
        {"type": "Boolean", "value": 1},
        {"type": "Null", "value": 1},
        {"type": "Bytes", "value": "?"},
        {"type": "Date", "value": "soon"},
        {"type": "Json", "value": "{"},
        {"type": "Json", "value": "NaN"},
        {"type": "Json", "value": '{"a" 1}'},
        {"type": "Json", "value": "{a: 1}"},
        {"type": "Json", "value": '"a'},
        {"type": "Json", "value": "1 2"},
        float("nan"),
        "\ud800",
    ],
    ids=str,
)
def test_a_variable_that_cannot_be_used(value: Any) -> None:
    told = foreign(said(lambda: parse_submitted({"amount": value})))
    assert told.startswith("variável 'amount': ")


def test_a_moment_outside_of_the_calendar() -> None:
    early = datetime.fromisoformat("0001-01-01T00:00:00+03:00")
    assert "0001-01-01" in foreign(said(lambda: encode({"due": early})))


def test_a_step_that_takes_longer_than_the_call_may() -> None:
    text = message("outcome.slow_step", time="30 s")
    assert text == "the step after this task takes longer than 30 s in the engine's transaction: set asyncBefore on it"
    assert "asyncBefore" in foreign(text)
    assert "30 s" in foreign(text)


class Item(BaseModel):
    name: str = Field(min_length=2, max_length=4, pattern="^[a-z]+$")


class Order(BaseModel, extra="forbid"):
    amount: int = Field(gt=0, le=10)
    share: float = Field(0, ge=0, lt=1)
    paid: bool = False
    way: Literal["card", "cash"] = "card"
    items: list[Item] = []
    notes: dict[str, str] = {}
    at: datetime = NOW


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"amount": "many"},
        {"amount": 1.5},
        {"amount": None},
        {"amount": 0},
        {"amount": 11},
        {"amount": 1, "share": "x"},
        {"amount": 1, "share": []},
        {"amount": 1, "share": -1},
        {"amount": 1, "share": 1},
        {"amount": 1, "paid": "perhaps"},
        {"amount": 1, "paid": []},
        {"amount": 1, "way": "shells"},
        {"amount": 1, "items": 1},
        {"amount": 1, "items": [1]},
        {"amount": 1, "items": [{"name": 1}]},
        {"amount": 1, "items": [{"name": "a"}]},
        {"amount": 1, "items": [{"name": "abcde"}]},
        {"amount": 1, "items": [{"name": "A1"}]},
        {"amount": 1, "notes": 1},
        {"amount": 1, "at": []},
        {"amount": 1, "other": 1},
        {"amount": 0, "share": 2, "way": "x"},
    ],
    ids=str,
)
def test_what_a_model_refuses(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        Order.model_validate(given)
    text = message("task.input_refused", topic="charge_card", faults=message_of(caught.value))
    assert text == f"topic charge_card doesn't take these variables: {explained(caught.value)}"
    told = foreign(text)
    for error in caught.value.errors():
        assert ".".join(map(str, error["loc"])) in told


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"task_id": 1}, "texto"),
        ({"task_id": "../x"}, "padrão"),
        ({"priority": 1}, "permitid"),
        ({"variables": []}, "objeto"),
        ({"variables": {"": 1}}, "caracteres"),
        ({"variables": {f"v{number}": 1 for number in range(1001)}}, "1000"),
        ({"variables": {"deep": json.loads("[" * 40 + "]" * 40)}}, "níveis"),
    ],
)
def test_a_field_of_a_body(change: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SubmitRequest.model_validate({"task_id": "t", "worker_id": "w", "topic": "orders"} | change)
    (error,) = caught.value.errors()
    assert fault_of(error) == error["msg"]
    assert word in foreign(fault_of(error))


def test_every_kind_of_problem_that_says_the_same_to_everybody() -> None:
    for kind in (*PROBLEMS.values(), *STATUSES.values()):
        if kind.detail is not None:
            foreign(kind.detail)


def test_who_may_not() -> None:
    viewer = Principal("ada", Kind.PERSON, frozenset({Scope.READ}), role=Role.VIEWER)
    bound = replace(viewer, topics=frozenset({"ship"}))
    for call in (
        lambda: require(viewer, Scope.OPERATE),
        lambda: require(bound, Scope.READ, "charge_card"),
        lambda: require(bound, Scope.READ),
    ):
        assert "ada" in foreign(said(call))


def test_a_form_of_another_page() -> None:
    class CrossSiteRequest:
        def __init__(self) -> None:
            self.headers = {"sec-fetch-site": "cross-site"}

    with pytest.raises(ForeignPage) as caught:
        require_own_page(CrossSiteRequest(), insecure=False)  # type: ignore[arg-type]
    foreign(caught.value.message)


READS: dict[str, Any] = {
    "nothing": nothing,
    "content": content,
    "rows": rows(lambda row: row["id"]),
    "document": document(lambda row: row["id"]),
}


@pytest.mark.parametrize(
    "answer",
    [
        *(Answer(status, b"") for status in (302, 400, 401, 403, 404, 407, 408, 429, 500, 502, 503, 504)),
        Answer(413, b"", asked=2**20),
        Answer(200, b"", "text/html; charset=utf-8"),
        Answer(200, b"{", "application/json"),
        Answer(200, b"{}", "application/json"),
        Answer(205, b""),
    ],
    ids=lambda answer: f"{answer.status} {answer.content_type}",
)
@pytest.mark.parametrize("read", READS)
def test_what_answers_in_the_engines_place(answer: Answer, read: str) -> None:
    said_so = said(lambda: interpret("complete", answer, READS[read]))
    told = foreign(said_so)
    assert told.startswith("complete: o endereço do motor responde ")
    waits = foreign(message("engine.waiting", error=said_so))
    assert waits == f"o motor não tem respondido; logo se tenta novamente: {told}"


def test_what_others_said_stays_in_their_own_words() -> None:
    refused = Message("set: HTTP 400: cannot parse it", "engine.rejected")
    told = translate(PORTUGUESE, message("task.variables_refused", task="t1", error=refused))
    assert told == "o motor não aceita as variáveis da tarefa t1: set: HTTP 400: cannot parse it"
    assert translate(PORTUGUESE, "something that nobody knows") == "something that nobody knows"
    assert translate(PORTUGUESE, "it is completed") == "it is completed"


async def test_a_refused_form_is_told_in_portuguese_and_the_audit_keeps_english() -> None:
    lab = OperationsLab()
    task = await lab.parts.failed()
    secret = await lab.access.session(Role.OPERATOR)
    async with browser(lab.app(), secret) as client:
        client.headers["accept-language"] = "pt-BR"
        path = f"/dashboard/tasks/{task.id}/edit"
        wrong = await client.post(path, data=seen(task, secret, variables='{"amount_cents": NaN'))
        assert "esperava-se" in wrong.text
        wrong = await client.post(path, data=seen(task, secret, variables='{"share": NaN}'))
        assert "não é um número que o motor possa guardar" in wrong.text
        answer = await client.post(path, data=seen(task, secret, variables=json.dumps({"amount_cents": "many"})))
        assert "amount_cents: o valor deve ser um número inteiro" in await flash(client, answer)
        assert "Input should be a valid integer" in str([entry.after for entry in lab.dashboard_store.audit])
        missing = await client.get("/dashboard/tasks/nothing")
        assert "nenhuma tarefa nothing é guardada aqui" in missing.text


# -- codes


@pytest.mark.parametrize("language", [ENGLISH, PORTUGUESE])
def test_each_code_has_a_text_in_both_catalogs(language: str) -> None:
    with catalog_file(language).open("rb") as file:
        catalog = read_po(file, locale=locale_of(language))
    known = {entry.id for entry in catalog if entry.string}
    assert [code for code, text in TEXTS.items() if text not in known] == []


@pytest.mark.parametrize("code", TEXTS)
def test_nothing_of_a_text_is_english_to_a_reader_of_portuguese(code: str) -> None:
    names = re.findall(r"%\((\w+)\)s", TEXTS[code])
    told = translate(PORTUGUESE, message(code, **{name: Message("<7>") for name in names}))
    assert not ENGLISH_WORDS.search(told), told
    assert told.count("<7>") >= len(set(names))


def test_each_error_has_a_code_of_its_own() -> None:
    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, GatewayError)]
    codes = [each.__dict__["default_code"] for each in classes]
    assert len(classes) > 40
    assert len(set(codes)) == len(codes)
    assert not set(codes) & set(TEXTS), "a code of the table has the parameters of its text"
    found = errors.TaskConflict("a text of its own").message
    assert (found, found.code) == ("a text of its own", "task.conflict")


def test_a_message_is_its_english_text_wherever_it_is_written() -> None:
    found = message("task.unknown", task="t1")
    assert (found, found.code, dict(found.parameters)) == (
        "no task t1 is kept here; check the id", "task.unknown", {"task": "t1"},
    )  # fmt: skip
    assert json.dumps({"why": found}) == '{"why": "no task t1 is kept here; check the id"}'
    again = pickle.loads(pickle.dumps(found))
    assert (again, again.code, again.parameters) == (found, found.code, found.parameters)
    with pytest.raises(KeyError):
        message("task.unknown", id="t1")


@pytest.mark.parametrize(
    "stored",
    [
        None,
        "task.unknown",
        {},
        {"code": 1, "parameters": {}},
        {"code": "task.of_tomorrow", "parameters": {}},
        {"code": "task.unknown", "parameters": {"id": "t1"}},
        {"code": "task.unknown", "parameters": {"task": 1}},
        {"code": "task.unknown", "parameters": {"task": {"text": 1}}},
        {"code": "task.unknown"},
    ],
    ids=str,
)
def test_a_document_without_a_usable_code_shows_its_english_text(stored: Any) -> None:
    text = from_code("no task t1 is kept here", stored)
    assert text == "no task t1 is kept here"
    assert translate(PORTUGUESE, text) == text
    assert translate_result(PORTUGUESE, text) == text
    assert from_code(None, stored) is None


def test_messages_that_stand_too_deep_within_each_other_are_english() -> None:
    found = message("lock.taken")
    for _ in range(20):
        found = message("engine.waiting", error=found)
    assert not isinstance(from_code(str(found), to_code(found)), Message)


async def test_a_problem_has_a_code() -> None:
    lab = OperationsLab()
    async with browser(lab.app(), await lab.access.session(Role.OPERATOR)) as client:
        problem = (await client.get("/tasks/nothing/status")).json()
        assert problem["code"] == "task.not_kept"
        missing = (await client.get("/nothing")).json()
        assert (missing["code"], missing["detail"]) == ("request.no_such_path", TEXTS["request.no_such_path"])


def test_a_refused_host_is_told_in_both_languages() -> None:
    refused = said(lambda: AllowedHosts(["gateway.example"]).check("evil.example"))
    assert refused.code == "request.host"
    assert "'evil.example'" in foreign(refused)


def test_a_refused_password_is_told_in_both_languages() -> None:
    refused = said(lambda: check_password("short"))
    assert refused.code == "user.password"
    assert str(LEAST_PASSWORD) in foreign(refused)
