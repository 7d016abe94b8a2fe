"""The demo's models of each kind: drawn whole, right where they are, and each planted fault is found."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from bridge.registry import load_topics
from sandbox.demo.engine import LogKind
from sandbox.demo.gateway import environment
from sandbox.demo.models import MODELS, Ended, Model, problems_of

BPMN = "{http://www.omg.org/spec/BPMN/20100524/MODEL}"
DI = "{http://www.omg.org/spec/BPMN/20100524/DI}"
CAMUNDA = "{http://camunda.org/schema/1.0/bpmn}"


def as_it_must_be(model: Model) -> Ended:
    return Ended("COMPLETED", (model.end,), model.log, model.results)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.key)
def test_nothing_is_found_where_all_is_well(model: Model) -> None:
    assert problems_of(model, as_it_must_be(model)) == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.key)
def test_each_planted_fault_is_found(model: Model) -> None:
    well = as_it_must_be(model)
    assert problems_of(model, replace(well, state="ACTIVE")) == ["is ACTIVE, not COMPLETED"]
    assert problems_of(model, replace(well, ends=("elsewhere",))) == [f"ended at elsewhere, not at {model.end}"]
    twice = {**model.log, LogKind.SUCCESS: model.log.get(LogKind.SUCCESS, 0) + 1}
    assert len(problems_of(model, replace(well, log=twice))) == 1
    for name, values in model.results.items():
        overwritten = {**model.results, name: [values[0]] * max(2, len(values))}
        assert len(problems_of(model, replace(well, results=overwritten))) == 1


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.key)
def test_everything_in_the_process_is_drawn_and_its_end_is_there(model: Model) -> None:
    root = ElementTree.parse(model.file)
    (process,) = root.iter(f"{BPMN}process")
    flow = {"startEvent", "endEvent", "serviceTask", "subProcess", "boundaryEvent", "sequenceFlow"}
    elements = {element.get("id") for name in flow for element in root.iter(f"{BPMN}{name}")}
    drawn = {shape.get("bpmnElement") for tag in ("BPMNShape", "BPMNEdge") for shape in root.iter(f"{DI}{tag}")}
    assert process.get("id") == model.key
    assert drawn == elements
    assert model.end in {end.get("id") for end in process.findall(f"{BPMN}endEvent")}


def test_the_demos_gateway_works_every_topic_of_the_models() -> None:
    topics = load_topics(environment({})["TOPICS_PACKAGE"])
    tasks = [task for model in MODELS for task in ElementTree.parse(model.file).iter(f"{BPMN}serviceTask")]
    assert {task.get(f"{CAMUNDA}topic") for task in tasks} <= set(topics)
    assert {"nova_publicacao", "say_hello"} < set(topics)
