"""What the demo starts: valid data, the same for the same seed, and each kind of end."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import TypeVar
from xml.etree import ElementTree

import pytest
from pydantic import BaseModel, ValidationError

from bridge.domain.task import TypedValue
from bridge.domain.variables import read_input
from bridge.testing import make_context
from bridge.topic import BpmnError
from sandbox.demo.definitions import DEFINITIONS, PUBLICACOES, SAUDACAO, Definition
from sandbox.demo.samples import NEVER, End, Sample, samples
from topics.nova_publicacao import Publicacao, normalizar_numero, nova_publicacao
from topics.say_hello import Person, say_hello

Model = TypeVar("Model", bound=BaseModel)
BPMN = "{http://www.omg.org/spec/BPMN/20100524/MODEL}"
DI = "{http://www.omg.org/spec/BPMN/20100524/DI}"
CAMUNDA = "{http://camunda.org/schema/1.0/bpmn}"

MANY = samples(400, 7, "demo-run")


def received(model: type[Model], sample: Sample) -> Model:
    """Return the input that a handler gets by way of the engine."""
    wired = {name: TypedValue(str(entry["type"]), entry["value"]) for name, entry in sample.wired().items()}
    return read_input(model, wired)


def of(definition: Definition, *ends: End) -> list[Sample]:
    return [sample for sample in MANY if sample.definition is definition and sample.end in ends]


def test_the_same_seed_makes_the_same_data_and_another_makes_other() -> None:
    assert samples(400, 7, "demo-run") == MANY
    assert [sample.variables for sample in samples(400, 7, "demo-other")] == [sample.variables for sample in MANY]
    assert [sample.variables for sample in samples(400, 8, "demo-run")] != [sample.variables for sample in MANY]


def test_fewer_are_the_first_of_more() -> None:
    assert samples(33, 7, "demo-run") == MANY[:33]


def test_business_keys_differ_and_name_the_run() -> None:
    keys = {sample.business_key for sample in MANY}
    assert len(keys) == len(MANY)
    assert all(key.startswith("demo-run-") for key in keys)
    # LIKE takes these for wildcards
    assert not any(wildcard in key for key in keys for wildcard in "_%")


def test_both_topics_have_their_half_and_most_succeed() -> None:
    assert Counter(sample.definition.key for sample in MANY) == {"saudacao": 200, "publicacoes": 200}
    mix = Counter(sample.end for sample in MANY)
    assert set(mix) == set(End)
    assert mix[End.COMPLETED] + mix[End.RETRIED] > 0.8 * len(MANY)


def test_the_smallest_demo_has_every_end() -> None:
    assert {sample.end for sample in samples(10, 7, "demo-run")} == set(End)


def test_every_valid_number_is_valid_and_every_misread_one_is_not() -> None:
    for sample in of(PUBLICACOES, End.COMPLETED, End.BPMN_ERROR):
        normalizar_numero(str(sample.variables["numero_processo"]))
    for sample in of(PUBLICACOES, End.REJECTED):
        with pytest.raises(ValueError, match="dígitos verificadores"):
            normalizar_numero(str(sample.variables["numero_processo"]))


def test_a_publication_is_read_as_it_was_meant() -> None:
    for sample in of(PUBLICACOES, End.COMPLETED):
        read = received(Publicacao, sample)
        assert read.data_disponibilizacao is not None
        assert read.data_disponibilizacao < read.data_publicacao
        assert {read.data_disponibilizacao.weekday(), read.data_publicacao.weekday()} <= set(range(5))
        assert date(2025, 9, 1) <= read.data_publicacao < date(2026, 1, 1)
        assert read.numero_processo in read.texto
    for sample in of(PUBLICACOES, End.REJECTED):
        with pytest.raises(ValidationError, match="numero_processo"):
            received(Publicacao, sample)


def test_some_publications_come_twice_in_another_dress() -> None:
    alike: dict[str, list[Sample]] = {}
    for sample in of(PUBLICACOES, End.COMPLETED):
        alike.setdefault(received(Publicacao, sample).impressao_digital, []).append(sample)
    assert Counter(len(group) for group in alike.values()) == {1: 110, 2: 30}
    for first, again in (group for group in alike.values() if len(group) == 2):
        assert first.publication == again.publication
        assert first.variables != again.variables
    assert len({group[0].publication for group in alike.values()}) == len(alike)


async def test_the_sealed_end_in_a_bpmn_error() -> None:
    for sample in of(PUBLICACOES, End.BPMN_ERROR):
        with pytest.raises(BpmnError) as caught:
            await nova_publicacao(received(Publicacao, sample), make_context())
        assert caught.value.code in error_codes(PUBLICACOES)


def test_greetings_fail_as_often_as_their_end_says() -> None:
    for sample in of(SAUDACAO, End.COMPLETED, End.RETRIED, End.EXHAUSTED):
        person = received(Person, sample)
        times = person.fail_times
        assert (times == 0, 1 <= times <= 2, times == NEVER) == (
            sample.end is End.COMPLETED,
            sample.end is End.RETRIED,
            sample.end is End.EXHAUSTED,
        )
        assert str(sample.variables["name"]) in say_hello(person, make_context(attempt=times + 1)).greeting
    for sample in of(SAUDACAO, End.BPMN_ERROR):
        with pytest.raises(BpmnError) as caught:
            say_hello(received(Person, sample), make_context())
        assert caught.value.code in error_codes(SAUDACAO)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.key)
def test_the_process_is_what_the_checks_take_it_for(definition: Definition) -> None:
    root = ElementTree.parse(definition.file)
    (process,) = root.iter(f"{BPMN}process")
    (task,) = root.iter(f"{BPMN}serviceTask")
    ends = {end.get("id") for end in root.iter(f"{BPMN}endEvent")}
    assert process.get("id") == definition.key
    assert (task.get("id"), task.get(f"{CAMUNDA}topic")) == (definition.task, definition.topic)
    assert ends == {*definition.ends, definition.error_end}


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.key)
def test_everything_in_the_process_is_drawn(definition: Definition) -> None:
    root = ElementTree.parse(definition.file)
    (process,) = root.iter(f"{BPMN}process")
    elements = {element.get("id") for element in process}
    drawn = {shape.get("bpmnElement") for tag in ("BPMNShape", "BPMNEdge") for shape in root.iter(f"{DI}{tag}")}
    assert drawn == elements


def error_codes(definition: Definition) -> set[str | None]:
    return {error.get("errorCode") for error in ElementTree.parse(definition.file).iter(f"{BPMN}error")}
