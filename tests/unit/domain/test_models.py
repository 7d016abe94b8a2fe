"""Which activities may throw a BPMN error is read out of any model, and out of no other XML."""

from __future__ import annotations

import pytest

from bridge.adapters.camunda.models import MOST_BYTES, find_throwing_activities
from bridge.domain.errors import ModelUnreadable

_DEFINITIONS = """<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:ext="{namespace}">
  <bpmn:process id="order">{content}</bpmn:process>
</bpmn:definitions>"""
_THROWS = """<bpmn:extensionElements>
  <ext:errorEventDefinition id="thrown" errorRef="refused" expression="${paid == false}"/>
</bpmn:extensionElements>"""
CAMUNDA = "http://camunda.org/schema/1.0/bpmn"


def model(content: str, namespace: str = CAMUNDA) -> str:
    return _DEFINITIONS.format(namespace=namespace, content=content)


@pytest.mark.parametrize("namespace", [CAMUNDA, "http://operaton.org/schema/1.0/bpmn", "http://activiti.org/bpmn"])
@pytest.mark.parametrize(
    ("content", "found"),
    [
        (f'<bpmn:serviceTask id="pay">{_THROWS}</bpmn:serviceTask><bpmn:sendTask id="mail"/>', {"pay"}),
        (f'<bpmn:subProcess id="each"><bpmn:sendTask id="ação">{_THROWS}</bpmn:sendTask></bpmn:subProcess>', {"ação"}),
        (
            '<bpmn:intermediateThrowEvent id="told"><bpmn:messageEventDefinition id="message">'
            f"{_THROWS}</bpmn:messageEventDefinition></bpmn:intermediateThrowEvent>",
            {"told"},
        ),
        (
            '<bpmn:serviceTask id="pay"><bpmn:extensionElements><ext:properties/></bpmn:extensionElements>'
            '</bpmn:serviceTask><bpmn:boundaryEvent id="caught"><bpmn:extensionElements/>'
            '<bpmn:errorEventDefinition id="e" errorRef="refused"/></bpmn:boundaryEvent>',
            set(),
        ),
    ],
)
def test_the_activities_of_a_model(content: str, found: set[str], namespace: str) -> None:
    assert find_throwing_activities(model(content, namespace)) == found


@pytest.mark.parametrize(
    "declared",
    [
        '<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE d [<!ENTITY secret SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE d SYSTEM "http://127.0.0.1:1/model.dtd">',
        "<!DOCTYPE d>",
    ],
)
def test_a_document_type_is_refused_before_any_of_its_entities_is_read(declared: str) -> None:
    with pytest.raises(ModelUnreadable, match="document type declaration"):
        find_throwing_activities(f"<?xml version='1.0'?>{declared}<definitions>&b;</definitions>")


@pytest.mark.parametrize("text", ["", "no XML", "<a>", "<a>&undeclared;</a>", "<a:b/>", "None"])
def test_what_is_no_xml_is_unreadable(text: str) -> None:
    with pytest.raises(ModelUnreadable, match="no XML"):
        find_throwing_activities(text)


def test_a_model_that_is_too_large_is_not_read() -> None:
    with pytest.raises(ModelUnreadable, match="read at the most"):
        find_throwing_activities(f"<a>{' ' * MOST_BYTES}</a>")
