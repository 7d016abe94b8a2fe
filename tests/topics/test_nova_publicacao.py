"""The topic `nova_publicacao`: what is accepted, what is the same publication, and what must not be stored."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge.domain.task import TypedValue
from bridge.domain.variables import encode, read_input
from bridge.testing import LogEntry, MemoryRecords, RecordingLog, make_context
from bridge.topic import BpmnError
from topics.nova_publicacao import Publicacao, PublicacaoRegistrada, normalizar_numero, nova_publicacao

# Not looked up in a register: their check digits agree with the digit-by-digit computation below.
REAL = ["5046512-94.2016.4.04.7000", "5021365-32.2017.4.04.7000", "5063130-17.2016.4.04.7000"]

NUMBERS = st.tuples(st.from_regex(r"[0-9]{7}", fullmatch=True), st.from_regex(r"[0-9]{4}[1-9][0-9]{6}", fullmatch=True))


def check_digits(sequence: str, rest: str) -> str:
    """Return the digits digit by digit, as ISO 7064 describes it: not the way of the code under test."""
    remainder = 0
    for digit in f"{sequence}{rest}00":
        remainder = (remainder * 10 + int(digit)) % 97
    return f"{98 - remainder:02}"


def publication(**changes: Any) -> Publicacao:
    fields = {
        "numero_processo": REAL[0],
        "tribunal": "TRF4",
        "data_disponibilizacao": "2026-01-08",
        "data_publicacao": "2026-01-09",
        "texto": "Intime-se a parte autora.",
        "orgao_julgador": "13ª Vara Federal de Curitiba",
    }
    return Publicacao.model_validate({**fields, **changes})


@pytest.mark.parametrize("number", REAL)
def test_a_number_is_accepted_with_and_without_punctuation(number: str) -> None:
    bare = number.replace("-", "").replace(".", "")
    assert normalizar_numero(number) == normalizar_numero(bare) == normalizar_numero(f" {bare}\n") == number


@pytest.mark.parametrize(
    "number",
    [
        "5046512-95.2016.4.04.7000",
        "5021365-23.2017.4.04.7000",
        "5063130-71.2016.4.04.7000",
        "5046521-94.2016.4.04.7000",
        "5046512-94.2016.4.04.7001",
    ],
)
def test_wrong_check_digits_are_refused(number: str) -> None:
    with pytest.raises(ValidationError, match="dígitos verificadores"):
        publication(numero_processo=number)


@pytest.mark.parametrize(
    "number",
    ["", "504651-94.2016.4.04.7000", REAL[0] + "0", REAL[0].replace(".", "/"), REAL[0].replace(".4.", ".0."), "٥" * 20],
)
def test_another_form_is_refused(number: str) -> None:
    with pytest.raises(ValidationError, match="não é um número CNJ"):
        publication(numero_processo=number)


@given(NUMBERS)
def test_the_right_check_digits_are_accepted(parts: tuple[str, str]) -> None:
    sequence, rest = parts
    number = f"{sequence}{check_digits(sequence, rest)}{rest}"
    normal = normalizar_numero(number)
    assert normal.replace("-", "").replace(".", "") == number
    assert normalizar_numero(normal) == normal


@given(NUMBERS, st.integers(0, 19), st.integers(1, 9))
def test_one_changed_digit_is_always_noticed(parts: tuple[str, str], place: int, step: int) -> None:
    sequence, rest = parts
    number = f"{sequence}{check_digits(sequence, rest)}{rest}"
    changed = f"{number[:place]}{(int(number[place]) + step) % 10}{number[place + 1 :]}"
    with pytest.raises(ValueError, match="CNJ"):
        normalizar_numero(changed)


@given(NUMBERS, st.integers(0, 99))
def test_no_other_check_digits_are_accepted(parts: tuple[str, str], other: int) -> None:
    sequence, rest = parts
    if f"{other:02}" != check_digits(sequence, rest):
        with pytest.raises(ValueError, match="dígitos"):
            normalizar_numero(f"{sequence}{other:02}{rest}")


@pytest.mark.parametrize(
    ("given_as", "day"),
    [
        ("2026-01-09", date(2026, 1, 9)),
        ("09/01/2026", date(2026, 1, 9)),
        (date(2026, 1, 9), date(2026, 1, 9)),
        (datetime(2026, 1, 9, tzinfo=UTC), date(2026, 1, 9)),
        ("2026-01-09T23:30:00-03:00", date(2026, 1, 9)),
        # text is the day that it names; what has the engine's zone is a Date variable
        ("2026-01-10T02:30:00.000+0000", date(2026, 1, 10)),
        ("2026-01-09T22:30:00", date(2026, 1, 9)),
    ],
)
def test_a_date_is_read_in_every_form_it_comes_in(given_as: Any, day: date) -> None:
    assert publication(data_publicacao=given_as, data_disponibilizacao=None).data_publicacao == day


@pytest.mark.parametrize("given_as", ["", "32/01/2026", "2026-02-30", "ontemT", None])
def test_what_is_no_date_is_refused(given_as: Any) -> None:
    with pytest.raises(ValidationError, match="data_publicacao"):
        publication(data_publicacao=given_as)


def test_the_publication_is_never_before_the_gazette() -> None:
    with pytest.raises(ValidationError, match="anterior a data_disponibilizacao"):
        publication(data_disponibilizacao="2026-01-10", data_publicacao="2026-01-09")
    same_day = publication(data_disponibilizacao="2026-01-09", data_publicacao="2026-01-09")
    assert same_day.data_publicacao == same_day.data_disponibilizacao


@pytest.mark.parametrize("field", ["texto", "tribunal"])
@pytest.mark.parametrize("blank", ["", " \n\t"])
def test_what_must_say_something_is_not_blank(field: str, blank: str) -> None:
    with pytest.raises(ValidationError, match="não pode ser vazio"):
        publication(**{field: blank})


def test_an_error_does_not_repeat_the_text() -> None:
    with pytest.raises(ValidationError) as caught:
        publication(texto="conteúdo reservado", numero_processo="1")
    assert "reservado" not in str(caught.value)


async def test_a_publication_is_stored_once() -> None:
    records, log = MemoryRecords(), RecordingLog()
    context = make_context(put_once=records.put_once, log=log)
    first = await nova_publicacao(publication(), context)
    again = await nova_publicacao(publication(), make_context(put_once=records.put_once))
    assert first == PublicacaoRegistrada(
        publicacao_id=publication().impressao_digital, nova=True, numero_processo=REAL[0]
    )
    assert again == first.model_copy(update={"nova": False})
    assert log.entries == [
        LogEntry("info", "publicacao registrada", {"publicacao_id": first.publicacao_id, "nova": True})
    ]
    assert records.kept == {
        ("publicacoes", first.publicacao_id): {
            "numero_processo": REAL[0],
            "tribunal": "TRF4",
            "data_publicacao": "2026-01-09",
            "data_disponibilizacao": "2026-01-08",
            "texto": "Intime-se a parte autora.",
            "orgao_julgador": "13ª Vara Federal de Curitiba",
            "tipo_comunicacao": None,
        }
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"numero_processo": REAL[0].replace("-", "").replace(".", "")},
        {"tribunal": " trf-4 "},
        {"data_publicacao": "09/01/2026"},
        {"texto": "Intime-se\r\n  a parte  autora. "},
        {"orgao_julgador": None},
    ],
)
def test_the_same_publication_in_another_dress_is_the_same(changes: dict[str, Any]) -> None:
    assert publication(**changes).impressao_digital == publication().impressao_digital


@pytest.mark.parametrize(
    "changes",
    [
        {"numero_processo": REAL[1]},
        {"tribunal": "TRF3"},
        {"data_publicacao": "2026-01-12"},
        {"texto": "Intime-se a parte ré."},
    ],
)
def test_another_publication_is_another(changes: dict[str, Any]) -> None:
    assert publication(**changes).impressao_digital != publication().impressao_digital


def test_the_fingerprint_never_changes_between_releases() -> None:
    expected = "42f40956fffe004ba4e159d8b7f7930300c838d855f383d2bca7b46b164a7344"
    assert publication().impressao_digital == expected


async def test_a_sealed_publication_is_a_bpmn_error_and_is_not_stored() -> None:
    records, log = MemoryRecords(), RecordingLog()
    with pytest.raises(BpmnError) as caught:
        await nova_publicacao(publication(segredo_justica=True), make_context(put_once=records.put_once, log=log))
    assert caught.value.code == "PUBLICACAO_SIGILOSA"
    assert records.kept == {}
    assert log.entries == []
    assert "texto" in nova_publicacao.secrets


@pytest.mark.parametrize(
    ("sent", "day"),
    [
        # midnight in Brasília, in winter and in the summer time that was
        ("2026-01-09T03:00:00.000+0000", date(2026, 1, 9)),
        ("2018-01-09T02:00:00.000+0000", date(2018, 1, 9)),
        ("2026-01-09T00:00:00.000-0300", date(2026, 1, 9)),
        ("2026-01-10T02:30:00.000+0000", date(2026, 1, 9)),
    ],
)
def test_a_date_variable_is_a_day_in_the_engines_zone(sent: str, day: date) -> None:
    variables = {**encode(json.loads(publication().model_dump_json())), "data_disponibilizacao": TypedValue("Null")}
    variables["data_publicacao"] = TypedValue("Date", sent)
    assert read_input(Publicacao, variables, ZoneInfo("America/Sao_Paulo")).data_publicacao == day


def test_it_reads_what_the_engine_sends() -> None:
    sent = {
        **encode({**json.loads(publication().model_dump_json()), "texto": "x" * 5000, "outra": 1}),
        "data_publicacao": TypedValue("Date", "2026-01-09T00:00:00.000-0300"),
    }
    read = read_input(Publicacao, sent, ZoneInfo("America/Sao_Paulo"))
    assert (read.data_publicacao, len(read.texto), read.segredo_justica) == (date(2026, 1, 9), 5000, False)
